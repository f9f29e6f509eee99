"""The processes that train one model, as the training loop sees them: nobody, unless something says otherwise.

`data_parallel` adds up gradients after every step, `local_sgd` weights after many. Both read a part of the same batches: the
stream stays a function of seed and step, and the rank says which rows of it are read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.training.trainer import Trainer


class ProcessLostError(AxlError):
    """A process that this one cannot go on without has gone; what is here is whole, as it was before the step."""


class ProcessGroup:
    """`world_size` processes, of which this one is number `rank`. This class is one that trains alone."""

    rank, world_size = 0, 1
    local_world_size = 1  # how many of them share the RAM of this machine
    together = False  # whether a step is one step of all, on gradients that are added up

    @property
    def leads(self) -> bool:
        """Whether this process writes what comes of it."""
        return self.rank == 0 or not self.together

    def rows(self, batch: int) -> slice:
        """Which of the `batch` windows of a step are read here."""
        own = batch // self.world_size
        return slice(self.rank * own, (self.rank + 1) * own)

    def begin(self, trainer: Trainer) -> None:
        """Called before the first step."""

    def added(self, parameters: Sequence[nn.Parameter], loss: float) -> float:
        """Put the sums of all gradients into `grad`; returns the sum of the losses."""
        return loss

    def after_step(self, trainer: Trainer) -> None:
        """Called after each step, within the time box."""

    def clock(self, seconds: float) -> float:
        """The seconds that all go by, given those that this process counts."""
        return seconds

    def end(self, trainer: Trainer) -> None:
        """Called when the time is over."""

    def dtype(self, own: torch.dtype) -> torch.dtype:
        """What all compute in, given what is best here."""
        return own


ALONE = ProcessGroup()
