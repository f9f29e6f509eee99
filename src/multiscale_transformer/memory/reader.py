"""Incremental retrieval: looking up along one text as it grows, and rolling back rejected drafts: what decoding needs."""

# Shape suffixes: T positions, M candidates, J orders.

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.context_search import new_chains
from multiscale_transformer.kernels.memory_features import (
    PREFIX,
    SUFFIX,
    new_reader,
    new_scratch,
    read,
    read_history,
    unwrite,
)
from multiscale_transformer.model.memory_spec import CANDIDATE_COUNT, NO_CANDIDATE, NUM_ORDERS

if TYPE_CHECKING:
    from multiscale_transformer.memory.lookup import CorpusMemory
    from multiscale_transformer.model.memory_tensors import MemoryTensors

ROOM = 4096  # bytes that a text may grow by before its tables are copied into larger ones
NOTHING_READ = np.frombuffer(b"", np.uint8)


class MemoryFeatures(NamedTuple):
    """What the memories say after T ids: `model.memory_tensors.MemoryTensors` without its batch dimension, as arrays."""

    symbols_TM: npt.NDArray[np.int16]  # candidates for the next byte, NO_CANDIDATE where there are fewer
    bins_TMJ: npt.NDArray[np.uint8]  # of each candidate, the bin of its counts at every order
    lengths_T2: npt.NDArray[np.uint8]  # how many orders match in the corpus, and the step of the match length in the document

    def part(self, where: slice | npt.NDArray[np.bool_]) -> MemoryFeatures:
        """What they say after some of the ids."""
        return MemoryFeatures(self.symbols_TM[where], self.bins_TMJ[where], self.lengths_T2[where])


def joined(features: Sequence[MemoryFeatures]) -> MemoryFeatures:
    """Features after neighbouring runs of ids as one."""
    return features[0] if len(features) == 1 else MemoryFeatures(*map(np.concatenate, zip(*features, strict=True)))


def no_features(count: int) -> MemoryFeatures:
    """What a memory that knows nothing says after `count` ids."""
    return MemoryFeatures(
        np.full((count, CANDIDATE_COUNT), NO_CANDIDATE, np.int16),
        np.zeros((count, CANDIDATE_COUNT, NUM_ORDERS), np.uint8),
        np.zeros((count, 2), np.uint8),
    )


class TextReader:
    """Reads a text (as ids, in as many pieces as one likes) and says what the memories make of the byte after each."""

    def __init__(self, memory: CorpusMemory) -> None:
        self._memory, self._corpus = memory, memory.corpus
        self._chains, self._scratch = new_chains(ROOM), new_scratch()
        self._reader = new_reader(len(memory.shards))
        self._saved: list[npt.NDArray[Any]] = []
        read_history(self._corpus, self._chains, self._reader, NOTHING_READ, True)

    def read(self, ids: Sequence[int], n_skip: int = 0) -> MemoryFeatures:
        """What the memories say after each further id but the first `n_skip`, which are only followed, many times faster."""
        features = no_features(len(ids) - n_skip)
        state = self._reader.state[0]
        prefix = int(state["end"]) if state["part"] in (PREFIX, SUFFIX) else 0  # it is written once more before the middle
        self._make_room(2 * len(ids) + prefix + 4)
        read(self._corpus, self._chains, self._reader, self._scratch, np.asarray(ids, np.int64), n_skip, 0, *features)
        return features

    def keep(self) -> None:
        """Remember where the text ends, for `restore`."""
        self._saved = [array.copy() for array in self._position()]

    def restore(self) -> None:
        """Go back to where `keep` was called; only plain text may have been read since."""
        *_, state = self._saved
        unwrite(self._chains, self._reader, int(state["end"][0]))
        for array, saved in zip(self._position(), self._saved, strict=True):
            array[...] = saved

    def _position(self) -> tuple[npt.NDArray[Any], ...]:
        """All that says where the text ends, but the chains."""
        search, words = self._reader.search, self._reader.words
        return search.ranges_SK2, search.depths_S, search.recent, words.ranges_SK2, words.at, self._reader.state

    def _make_room(self, more: int) -> None:
        end, old = int(self._reader.state["end"][0]), self._chains
        if end + more <= len(old.text_T):
            return
        grown = new_chains(2 * (end + more) + ROOM)
        grown.text_T[:end] = old.text_T[:end]
        for name in ("short_heads_H", "long_heads_H", "short_before_T", "long_before_T"):
            array = getattr(old, name)
            getattr(grown, name)[: len(array)] = array
        parts: list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] = list(zip(old.structure, grown.structure, strict=True))
        for old_part, part in parts:
            part[..., : old_part.shape[-1]] = old_part
        self._chains = grown


class MemoryReader:
    """A `TextReader` for the reference path: memory features as tensors."""

    def __init__(self, memory: CorpusMemory) -> None:
        self._reader = TextReader(memory)

    def read(self, ids: Sequence[int]) -> MemoryTensors:
        """The features (1, T) after each of T further ids."""
        import torch

        from multiscale_transformer.model.memory_tensors import MemoryTensors

        return MemoryTensors(*(torch.from_numpy(array)[None] for array in self._reader.read(ids)))
