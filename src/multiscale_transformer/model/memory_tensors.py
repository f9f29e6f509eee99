"""Retrieval features as tensors: candidates for the next byte and how often each was seen where.

They are made by `memory/` (`memory.reader.MemoryFeatures` is the same for one text, in NumPy); this module only says what they
look like, so that the model need not know how looking up works.
"""

# Shape suffixes: B rows, T positions, M candidates, J orders.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from multiscale_transformer.model.memory_spec import CANDIDATE_COUNT, NO_CANDIDATE, NUM_ORDERS


@dataclass(frozen=True)
class MemoryTensors:
    """Candidates for the byte after each position.

    `symbols_BTM` (int16) are ids, NO_CANDIDATE where there are fewer; `bins_BTMJ` (uint8, below COUNT_BINS) are the bins of
    the counts of each candidate at each order, 0 where it was never seen; `lengths_BT2` (uint8) are match lengths: how many
    orders match in the corpus, and the step (of LENGTH_STEPS) of the longest match in the document.
    """

    symbols_BTM: Tensor
    bins_BTMJ: Tensor
    lengths_BT2: Tensor

    def input_features(self) -> Tensor:
        """The first candidate and the two match lengths, int16 (B, T, 3): what a model is told at its input."""
        return torch.cat((self.symbols_BTM[..., :1], self.lengths_BT2.short()), -1)

    def __getitem__(self, where: object) -> MemoryTensors:
        """The features at some positions: any index of the first two dimensions."""
        return MemoryTensors(self.symbols_BTM[where], self.bins_BTMJ[where], self.lengths_BT2[where])  # type: ignore[index]


class MemoryTensorReader(Protocol):
    """Reads one text, in pieces, and looks up the candidates for the id after each of its own."""

    def read(self, ids: Sequence[int]) -> MemoryTensors:
        """The features (1, T) after T further ids."""


def joined(pieces: Sequence[MemoryTensors], dim: int = 1) -> MemoryTensors:
    """Features of neighbouring positions as one, or of neighbouring rows (dimension 0)."""
    fields = ((piece.symbols_BTM, piece.bins_BTMJ, piece.lengths_BT2) for piece in pieces)
    return MemoryTensors(*(torch.cat(tensors, dim) for tensors in zip(*fields, strict=True)))


def no_features(rows: int, positions: int, device: torch.device | None = None) -> MemoryTensors:
    """The features (rows, positions) of a model without a memory, or of a memory that holds nothing alike."""
    return MemoryTensors(
        torch.full((rows, positions, CANDIDATE_COUNT), NO_CANDIDATE, dtype=torch.int16, device=device),
        torch.zeros((rows, positions, CANDIDATE_COUNT, NUM_ORDERS), dtype=torch.uint8, device=device),
        torch.zeros((rows, positions, 2), dtype=torch.uint8, device=device),
    )
