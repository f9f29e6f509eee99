"""The training logger under the path the published system gave it: `multiscale_transformer.published.viz.TrainLogger`."""

from multiscale_transformer.training.logger import TrainLogger

__all__ = ["TrainLogger"]
