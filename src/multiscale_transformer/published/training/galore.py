"""The published GaLore optimizer."""

from multiscale_transformer.training.optimizers.galore import GaLore

__all__ = ["GaLore"]
