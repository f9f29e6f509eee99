"""Looking up along one text as it grows, and taking back what was only tried: what decoding needs."""

# Shape suffixes: T positions, M candidates, J sources.

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.context_search import new_chains
from multiscale_transformer.kernels.memory_features import (
    END,
    PART,
    PREFIX,
    SUFFIX,
    new_reader,
    new_scratch,
    read,
    read_history,
    unwrite,
)
from multiscale_transformer.kernels.memory_search import Rows
from multiscale_transformer.model.memory_spec import CANDIDATE_COUNT, NO_CANDIDATE, NUM_ORDERS

if TYPE_CHECKING:
    from multiscale_transformer.memory.lookup import CorpusMemory
    from multiscale_transformer.model.memory_tensors import MemoryTensors

ROOM = 4096  # bytes that a text may grow by before its tables are copied into larger ones
NOTHING_READ = np.frombuffer(b"", np.uint8)


class MemoryFeatures(NamedTuple):
    """What the memories say after T ids: `model.memory_tensors.MemoryTensors` without its batch dimension, as arrays."""

    symbols_TM: npt.NDArray[np.int16]
    states_TMJ: npt.NDArray[np.uint8]
    depths_T2: npt.NDArray[np.uint8]

    def part(self, where: slice) -> MemoryFeatures:
        """What they say after some of the ids."""
        return MemoryFeatures(self.symbols_TM[where], self.states_TMJ[where], self.depths_T2[where])


def no_features(count: int) -> MemoryFeatures:
    """What a memory that knows nothing says after `count` ids."""
    return MemoryFeatures(
        np.full((count, CANDIDATE_COUNT), NO_CANDIDATE, np.int16),
        np.zeros((count, CANDIDATE_COUNT, NUM_ORDERS), np.uint8),
        np.zeros((count, 2), np.uint8),
    )


class TextReader:
    """Reads a text (as ids, in as many pieces as one likes) and says what the memories make of the byte after each."""

    def __init__(self, rows: Rows, shards: int) -> None:
        self._rows = rows
        self._chains, self._scratch = new_chains(ROOM), new_scratch()
        self._reader = new_reader(shards)
        self._kept: list[npt.NDArray[Any]] = []
        read_history(self._rows, self._chains, self._reader, NOTHING_READ, True)

    def read(self, ids: Sequence[int], quiet: int = 0) -> MemoryFeatures:
        """What the memories say after each further id but the first `quiet`, which are only followed, many times faster."""
        found = no_features(len(ids) - quiet)
        where = self._reader.where
        prefix = int(where[END]) if where[PART] in (PREFIX, SUFFIX) else 0  # it is written once more when the hole is reached
        self._make_room(2 * len(ids) + prefix + 4)
        read(self._rows, self._chains, self._reader, self._scratch, np.asarray(ids, np.int64), quiet, 0, *found)
        return found

    def keep(self) -> None:
        """Remember where the text ends, for `restore`."""
        search = self._reader.search
        self._kept = [part.copy() for part in (search.ranges_SK2, search.depths_S, search.recent, self._reader.where)]

    def restore(self) -> None:
        """Go back to where `keep` was called; only plain text may have been read since."""
        search, where = self._reader.search, self._kept[3]
        unwrite(self._chains, self._reader, int(where[END]))
        parts: tuple[npt.NDArray[Any], ...] = (search.ranges_SK2, search.depths_S, search.recent, self._reader.where)
        for part, kept in zip(parts, self._kept, strict=True):
            part[...] = kept

    def _make_room(self, more: int) -> None:
        end, old = int(self._reader.where[END]), self._chains
        if end + more <= len(old.text_T):
            return
        grown = new_chains(2 * (end + more) + ROOM)
        grown.text_T[:end] = old.text_T[:end]
        for to, part in ((grown.short_heads_H, old.short_heads_H), (grown.long_heads_H, old.long_heads_H)):
            to[:] = part
        for to, part in ((grown.short_before_T, old.short_before_T), (grown.long_before_T, old.long_before_T)):
            to[: len(part)] = part
        self._chains = grown


class MemoryReader:
    """A `TextReader` for the reference path: what it finds as tensors."""

    def __init__(self, memory: CorpusMemory) -> None:
        self._reader = TextReader(memory.rows, len(memory.shards))

    def read(self, ids: Sequence[int]) -> MemoryTensors:
        """The recall (1, T) after each of T further ids."""
        import torch

        from multiscale_transformer.model.memory_tensors import MemoryTensors

        return MemoryTensors(*(torch.from_numpy(part)[None] for part in self._reader.read(ids)))
