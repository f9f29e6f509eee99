"""Loss and gradients of some windows, compiled by torch.compile on CUDA as long as that works.

Compiling needs Triton and takes a while for each shape; a CPU and Apple's GPUs do without. Where it fails, a warning says so
and the same function runs as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from multiscale_transformer.model.memory_tensors import MemoryTensors
from multiscale_transformer.training.loss import Targets

COMPILED_ON = ("cuda",)

Gradients = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class Inputs:
    """Some windows: the ids that are read, what follows each of them, and what the memories say there."""

    ids_BT: Tensor
    targets: Targets
    features: MemoryTensors | None


Loss = Callable[[Inputs], tuple[Tensor, Tensor]]  # as it is learned from, and as it is shown


class GradientFunction:
    """The gradients of `loss` on `device`."""

    def __init__(self, loss: Loss, device: torch.device) -> None:
        self._plain = self._loss = loss
        if device.type in COMPILED_ON:
            self._loss = torch.compile(loss, dynamic=False)  # there are few shapes, and each is computed thousands of times

    def __call__(self, inputs: Inputs, parameters: Sequence[nn.Parameter], share: float) -> tuple[float, Gradients]:
        """The loss that is shown (nats per byte) and the gradients, both times the `share` of these windows in their batch."""
        try:
            return _gradients(self._loss, inputs, parameters, share)
        except Exception as error:
            if self._loss is self._plain or isinstance(error, torch.OutOfMemoryError):
                raise
            warnings.warn(f"torch.compile failed ({_first_line(error)}); training goes on without it", stacklevel=2)
            self._loss = self._plain
        return _gradients(self._loss, inputs, parameters, share)


def _gradients(loss_of: Loss, inputs: Inputs, parameters: Sequence[nn.Parameter], share: float) -> tuple[float, Gradients]:
    loss, shown = loss_of(inputs)
    gradients = torch.autograd.grad(loss * share, parameters, allow_unused=True)
    return shown.item() * share, gradients  # in this order: reading a number waits for the device


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
