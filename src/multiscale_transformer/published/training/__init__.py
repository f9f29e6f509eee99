"""Published names under `multiscale_transformer.training`."""
