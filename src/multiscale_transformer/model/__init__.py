"""The multi-scale byte transformer and its config, cache, checkpoint and reference generation."""
