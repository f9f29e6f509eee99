"""Looking up along one text as it grows: what decoding needs."""

# Shape suffixes: T positions.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from multiscale_transformer.memory.context import new_chains
from multiscale_transformer.memory.lookup import NO_HISTORY, CorpusMemory
from multiscale_transformer.memory.recall import END, PART, PREFIX, SUFFIX, new_reader, new_scratch, read, read_history
from multiscale_transformer.model.recall import Recall, nothing

ROOM = 4096  # bytes that a text may grow by before its tables are copied into larger ones


class MemoryReader:
    """Reads a text (as ids, in as many pieces as one likes) and says what the memories make of the byte after each."""

    def __init__(self, memory: CorpusMemory) -> None:
        self._rows = memory.rows
        self._chains, self._scratch = new_chains(ROOM), new_scratch()
        self._reader = new_reader(len(memory.shards))
        read_history(self._rows, self._chains, self._reader, NO_HISTORY, True)

    def read(self, ids: Sequence[int]) -> Recall:
        """The recall (1, T) after each of T further ids."""
        recall = nothing(1, len(ids))
        where = self._reader.where
        prefix = int(where[END]) if where[PART] in (PREFIX, SUFFIX) else 0  # it is written once more when the hole is reached
        self._make_room(2 * len(ids) + prefix + 4)
        out = (recall.symbols_BTM[0].numpy(), recall.states_BTMJ[0].numpy(), recall.depths_BT2[0].numpy())
        read(self._rows, self._chains, self._reader, self._scratch, np.asarray(ids, np.int64), 0, *out)
        return recall

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
