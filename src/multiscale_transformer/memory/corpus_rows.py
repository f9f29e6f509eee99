"""All shards of an index behind one another, as the kernels of backward search read them."""

# Shape suffixes: N rows, C checkpoints, S shards.

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.memory_search import CHECKPOINT_BITS, REMOVED, Rows, count_checkpoints
from multiscale_transformer.memory.shard import Shard
from multiscale_transformer.memory.structure import joined, without_documents
from multiscale_transformer.model.memory_spec import NOTHING, SEPARATOR


def rows_of(shards: Sequence[Shard], removed: Sequence[Sequence[int]] = (), *, with_documents: bool = False) -> Rows:
    """Lay the shards behind one another, in RAM: numpy asks for huge pages, without which every look-up pays twice.

    `removed` lists documents for each shard.
    Rows know their document when something is removed or `with_documents` asks for it, which takes 4 bytes of RAM a row.
    """
    removed = removed or [()] * len(shards)
    next_N = np.concatenate([np.empty(0, np.uint8), *(shard.next_N for shard in shards)])
    first_rows = np.cumsum([0, *(len(shard.next_N) for shard in shards)], dtype=np.int64)
    # Counted in the copy: mapped arrays cannot be written, which for the compiler is another type.
    tables = [count_checkpoints(next_N[begin:end], CHECKPOINT_BITS) for begin, end in pairwise(first_rows)]
    documents = [np.empty(0, np.int32)]
    if with_documents or any(map(len, removed)):
        first = 0
        for shard, gone in zip(shards, removed, strict=True):
            names = np.arange(first, first + len(shard), dtype=np.int32)
            names[list(gone)] = REMOVED
            documents.append(names[shard.document_of_row()])
            first += len(shard)
    return Rows(
        next_N,
        np.concatenate([np.empty((0, 256), np.uint32), *tables]),
        first_rows,
        np.cumsum([0, *(len(table) for table in tables)], dtype=np.int64)[:-1],
        np.stack([_starts(table) for table in tables]) if tables else np.empty((0, 257), np.int64),
        np.concatenate(documents),
        joined(
            [without_documents(shard.structure, shard.starts, gone) for shard, gone in zip(shards, removed, strict=True)],
            [shard.starts for shard in shards],
        ),
    )


def _starts(checkpoints_C256: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    counts = checkpoints_C256[-1].astype(np.int64)
    counts[SEPARATOR] += 1  # the first byte of the text comes after nothing, so no row has it as its next byte;
    counts[NOTHING] -= 1  # that row has NOTHING instead
    return np.concatenate(([0], np.cumsum(counts)))
