"""Loss and gradients of some windows, compiled by torch.compile on CUDA as long as that works.

Compiling needs Triton and takes a while for each shape; a CPU and Apple's GPUs do without. Where it fails, a warning says so
and the same function runs as it is.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from multiscale_transformer.model.memory_tensors import MemoryTensors
from multiscale_transformer.training.loss import Targets

COMPILED_ON = ("cuda",)

Result = TypeVar("Result")
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

        def gradients(loss_of: Loss) -> tuple[float, Gradients]:
            loss, shown = loss_of(inputs)
            of_parameters = torch.autograd.grad(loss * share, parameters, allow_unused=True)
            return shown.item() * share, of_parameters  # in this order: reading a number waits for the device

        return self._tried(gradients)

    def accumulate(self, inputs: Inputs, share: float) -> float:
        """Add the gradients to `grad`, without a second set of them; returns the shown loss as above.

        A loss that is no number leaves no gradients: weights that are updated on the way would be spoiled.
        """

        def accumulated(loss_of: Loss) -> float:
            loss, shown = loss_of(inputs)
            nats = shown.item() * share
            if math.isfinite(nats):
                (loss * share).backward()  # type: ignore[no-untyped-call]
            return nats

        return self._tried(accumulated)

    def _tried(self, work: Callable[[Loss], Result]) -> Result:
        """`work` with the compiled loss, or without when that fails."""
        try:
            return work(self._loss)
        except Exception as error:
            if self._loss is self._plain or isinstance(error, torch.OutOfMemoryError):
                raise
            warnings.warn(f"torch.compile failed ({_first_line(error)}); training goes on without it", stacklevel=3)
            self._loss = self._plain
        return work(self._loss)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
