"""Published names under `multiscale_transformer.export`."""
