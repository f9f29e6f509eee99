"""The published Lion optimizer."""

from multiscale_transformer.training.optimizers.lion import Lion

__all__ = ["Lion"]
