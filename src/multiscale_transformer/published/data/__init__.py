"""Published names under `multiscale_transformer.data`."""
