"""The word stack: deep layers that run once a word, between the first fine layer and the others.

Where a word ends (`model.word_ends`) the fine state becomes a row of this stack, which reads the rows of earlier words. What it
gives is added to the byte that ended the word and to those that follow, until the next row, with an embedding of how many
bytes that was ago. Rows are stamped with the byte that ended the word, so the rule of time holds as it stands. The map back to
the bytes starts at zero: a fresh word stack is silent.

A scale of fixed stride cuts words anywhere; with rows where words end the same compute buys more, as SpaceByte has it for
prose (Slagle 2024, arXiv 2404.14408).
"""

# Shape suffixes: B batch, T new bytes, N rows, E model width, D head width.

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multiscale_transformer.model.blocks import Angles, Block
from multiscale_transformer.model.cache import Cache, WordRows
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.layers import Linear
from multiscale_transformer.model.passes import by_hand, rms_norm
from multiscale_transformer.model.word_ends import ALWAYS, IN_WORD, KINDS, MOST_SINCE, OTHER

ROW_STEPS = 16  # on accelerators the number of rows is one of so many: a compiled step is compiled anew for each

Run = Callable[..., Any]  # applies a block, with or without keeping its activations


def word_ends(ids_BT: Tensor) -> Tensor:
    """Where a row is made, (B, T) booleans; before the first id stands none."""
    kinds_BT = _kinds(ids_BT.device)[ids_BT]
    before_BT = F.pad(kinds_BT[:, :-1], (1, 0), value=OTHER)
    return (kinds_BT == ALWAYS) | ((kinds_BT == OTHER) & (before_BT == IN_WORD))


@lru_cache
def _kinds(device: torch.device) -> Tensor:
    return torch.tensor(list(KINDS), dtype=torch.uint8, device=device)


def newest(ends_BT: Tensor) -> Tensor:
    """The rule of time here: how many rows are made at each byte or before it, (B, T)."""
    return ends_BT.cumsum(1)


class WordScale(nn.Module):
    """The layers of the word stack, and the maps into it and back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.d_model
        self.down = Linear(d, d, bias=False)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.word_layers))
        self.up = Linear(d, d, bias=False)
        self.start_E = nn.Parameter(torch.zeros(d))  # what bytes before the first row take
        self.since = nn.Embedding(MOST_SINCE + 1, d)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.since.weight)

    def forward(self, x_BTE: Tensor, angles: Angles, ids_BT: Tensor, cache: Cache | None, run: Run) -> Tensor:
        """The states of the new bytes with what the words say added, (B, T, E); `angles` are those of the bytes.

        With a cache, which has taken the ids in already, the sequences of a batch are read one by one: each has words of its
        own.
        """
        if cache is None:
            return self._read(x_BTE, angles, word_ends(ids_BT), 0, None, run)
        new = ids_BT.shape[1]
        ends_BT = word_ends(cache.ids_BT.view()[:, -(new + 1) :])[:, -new:]
        sequences = zip(x_BTE[:, None], ends_BT[:, None], cache.word_rows(len(ids_BT)), strict=True)
        return torch.cat([self._read(x_1TE, angles, ends_1T, cache.length, rows, run) for x_1TE, ends_1T, rows in sequences])

    def _read(self, x_BTE: Tensor, angles: Angles, ends_BT: Tensor, first: int, rows: WordRows | None, run: Run) -> Tensor:
        """Make the new rows and give each byte from `first` on the newest one; `rows` are those of one sequence so far."""
        since_BT = _bytes_since(ends_BT, first, rows.last_stamp if rows else -1)
        finished_BNE = rows.newest() if rows else self.start_E.to(x_BTE.dtype).expand(len(x_BTE), 1, -1)
        count = self._row_count(ends_BT, rows)
        if count:
            at_BN = (~ends_BT).byte().argsort(dim=1, stable=True)[:, :count]  # where rows are made; behind them, in shorter
            up_BNE = self._rows(x_BTE, angles, at_BN, rows, run)  # texts of a batch, rows that nobody reads
            finished_BNE = torch.cat((finished_BNE, up_BNE), 1)
            if rows is not None:
                rows.append(up_BNE, at_BN[0] + first)
        since_BTE: Tensor = self.since(since_BT).to(x_BTE.dtype)
        return x_BTE + _taken(finished_BNE, newest(ends_BT)) + since_BTE

    def _row_count(self, ends_BT: Tensor, rows: WordRows | None) -> int:
        """Rows that the batch is given: those of the text that makes the most, and one where none does, for gradients of 0."""
        count = int(ends_BT.sum(1).max())
        if rows is not None:
            return count
        step = 1 if by_hand(ends_BT.device) else -(-ends_BT.shape[1] // ROW_STEPS)
        return min(ends_BT.shape[1], -(-max(1, count) // step) * step)

    def _rows(self, x_BTE: Tensor, angles: Angles, at_BN: Tensor, rows: WordRows | None, run: Run) -> Tensor:
        """New rows out of the states at `at_BN`, through all layers and back to the fine scale: (B, N, E)."""
        cos_B1ND, sin_B1ND = (part[at_BN][:, None] for part in angles)
        x_BNE = self.down(rms_norm(_taken(x_BTE, at_BN)))
        for depth, block in enumerate(self.blocks):
            x_BNE = run(block, x_BNE, (cos_B1ND, sin_B1ND), None if rows is None else rows.layers[depth])
        return self.up(rms_norm(x_BNE))  # type: ignore[no-any-return]


def _bytes_since(ends_BT: Tensor, first: int, last: int) -> Tensor:
    """Bytes since the newest row, (B, T), up to MOST_SINCE; the new bytes begin at `first`, the last row was at `last`."""
    positions_T = torch.arange(first, first + ends_BT.shape[1], device=ends_BT.device)
    rows_BT = torch.where(ends_BT, positions_T, last).cummax(1).values
    return (positions_T - rows_BT).clamp(max=MOST_SINCE)


def _taken(rows_BNE: Tensor, index_BT: Tensor) -> Tensor:
    """Rows by their numbers: (B, T, E). Unlike `gather`, this copies whole rows and adds whole rows in the backward pass."""
    batch, count, _ = rows_BNE.shape
    first_B1 = torch.arange(batch, device=index_BT.device)[:, None] * count
    return rows_BNE.flatten(0, 1).index_select(0, (index_BT + first_B1).flatten()).view(*index_BT.shape, -1)
