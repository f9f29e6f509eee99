"""The published training logger."""

from multiscale_transformer.training.logger import TrainLogger

__all__ = ["TrainLogger"]
