"""What a model is handed from outside its weights: candidates for the next byte and how often each was seen where.

The tensors are made by `memory/`; this module only says what they look like, so that the model need not know how looking up
works.
"""

# Shape suffixes: B rows, T positions, M candidates, J sources.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from multiscale_transformer.model.memory_spec import CANDIDATE_COUNT, NO_CANDIDATE, SOURCES


@dataclass(frozen=True)
class MemoryTensors:
    """Candidates for the byte after each position.

    `symbols_BTM` (int16) are ids, NO_CANDIDATE where there are fewer; `states_BTMJ` (uint8, below STATES) say how each source
    has seen each candidate, 0 where it has seen nothing; `depths_BT2` (uint8) count the orders that match in the corpus and the
    step of the longest match in the document.
    """

    symbols_BTM: Tensor
    states_BTMJ: Tensor
    depths_BT2: Tensor

    def hints(self) -> Tensor:
        """The first candidate and the two depths, int16 (B, T, 3): what a model is told at its input."""
        return torch.cat((self.symbols_BTM[..., :1], self.depths_BT2.short()), -1)

    def __getitem__(self, where: object) -> MemoryTensors:
        """The recall at some positions: any index of the first two dimensions."""
        return MemoryTensors(self.symbols_BTM[where], self.states_BTMJ[where], self.depths_BT2[where])  # type: ignore[index]


class MemoryTensorReader(Protocol):
    """Reads one text, in pieces, and says after each of its ids what the memories make of the next."""

    def read(self, ids: Sequence[int]) -> MemoryTensors:
        """The recall (1, T) after T further ids."""


def joined(pieces: Sequence[MemoryTensors], dim: int = 1) -> MemoryTensors:
    """Recalls of neighbouring positions as one, or of neighbouring rows (dimension 0)."""
    parts = ((p.symbols_BTM, p.states_BTMJ, p.depths_BT2) for p in pieces)
    return MemoryTensors(*(torch.cat(part, dim) for part in zip(*parts, strict=True)))


def nothing(rows: int, positions: int) -> MemoryTensors:
    """The recall (rows, positions) of a model that has no memory, or of a memory that knows nothing."""
    return MemoryTensors(
        torch.full((rows, positions, CANDIDATE_COUNT), NO_CANDIDATE, dtype=torch.int16),
        torch.zeros((rows, positions, CANDIDATE_COUNT, SOURCES), dtype=torch.uint8),
        torch.zeros((rows, positions, 2), dtype=torch.uint8),
    )
