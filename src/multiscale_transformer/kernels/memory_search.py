"""Backward search: for every order at once, the rows of a corpus memory that share the last bytes with a context.

Appending one byte to a context maps the rows of order k to those of order k + 1 (Ferragina & Manzini 2000), so following a text
costs two counts for each order whose rows differ from those of the next lower one. Counts start from a checkpoint every few
hundred rows and finish with a short scan.
"""

# Shape suffixes: N rows, C checkpoints, S shards, K orders (0 to DEPTH).

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.corpus import load_uint8, load_uint32
from multiscale_transformer.kernels.jit import jit_device, jit_entry, without_refcounts
from multiscale_transformer.model.memory_spec import SEPARATOR

DEPTH = 32  # the longest context that is looked up, in bytes
CHECKPOINT_BITS = 9  # a checkpoint every 512 rows: 2 bytes of RAM for each byte of corpus
KEPT_ORDERS = 4  # at most the four bytes that `Search.recent` holds
KEPT_BITS = 14


class Search(NamedTuple):
    """The rows of the last bytes of a text in every shard, and those of low orders as they were found before.

    Short contexts come again and again, and theirs are the counts that miss every cache: so the ranges of the lowest
    KEPT_ORDERS orders are kept by the hash of as many bytes.
    """

    ranges_SK2: npt.NDArray[np.int64]
    depths_S: npt.NDArray[np.int64]
    recent: npt.NDArray[np.uint32]  # one number: the last four bytes
    kept_keys_SX: npt.NDArray[np.uint32]
    kept_SXK2: npt.NDArray[np.int32]


def new_search(shards: int) -> Search:
    """A search that knows nothing of the context yet."""
    return Search(
        np.zeros((shards, DEPTH + 1, 2), np.int64),
        np.zeros(shards, np.int64),
        np.zeros(1, np.uint32),
        np.zeros((shards, 1 << KEPT_BITS), np.uint32),
        np.zeros((shards, 1 << KEPT_BITS, KEPT_ORDERS, 2), np.int32),
    )


@jit_entry
def count_checkpoints(next_N, bits):
    """How often each byte comes next in the rows before each checkpoint; the last one counts all rows."""
    count = (len(next_N) >> bits) + 2
    table = np.empty((count, 256), np.uint32)
    running = np.zeros(256, np.uint32)
    for checkpoint in range(count):
        table[checkpoint] = running
        for row in range(checkpoint << bits, min((checkpoint + 1) << bits, len(next_N))):
            running[next_N[row]] += 1
    return table


@jit_device
def _count_before(corpus, shard, symbol, row):
    """How many of the first `row` rows of a shard have `symbol` next."""
    place = corpus.shards[shard]
    nearest = (row + (1 << (CHECKPOINT_BITS - 1))) >> CHECKPOINT_BITS
    edge = min(nearest << CHECKPOINT_BITS, place.rows)
    counted = load_uint32(place.checkpoints_C256, nearest * 256 + symbol)
    if edge <= row:
        return counted + _count_among(place.next_N, edge, row, symbol)
    return counted - _count_among(place.next_N, row, edge, symbol)


@jit_device
def _count_among(next_N, begin, end, symbol):
    count = 0
    for at in range(begin, end):
        count += load_uint8(next_N, at) == symbol
    return count


@jit_device
def restart(corpus, search):
    """Go to the beginning of a document: the rows that follow a separator."""
    ranges_SK2, depths_S = search.ranges_SK2, search.depths_S
    search.recent[0] = SEPARATOR
    for shard in range(len(depths_S)):
        ranges_SK2[shard, 0, 0] = 0
        ranges_SK2[shard, 0, 1] = corpus.shards[shard].rows
        ranges_SK2[shard, 1, 0] = 0
        ranges_SK2[shard, 1, 1] = corpus.starts_S257[shard, SEPARATOR + 1]
        depths_S[shard] = 1


@jit_device
def forget(corpus, search):
    """Go to where nothing is known of the context: all rows."""
    restart(corpus, search)
    search.depths_S[:] = 0


@jit_device
def extend(corpus, search, symbol):
    """Append a byte to the context: `ranges_SK2[s, k]` become the rows (from, to) of its last k bytes, up to `depths_S[s]`."""
    ranges_SK2, depths_S = search.ranges_SK2, search.depths_S
    search.recent[0] = (search.recent[0] << np.uint32(8)) | np.uint32(symbol)
    recent = search.recent[0]
    slot = np.int64((np.uint32(recent * np.uint32(0x9E3779B1))) >> np.uint32(32 - KEPT_BITS))
    for shard in range(len(depths_S)):
        start = corpus.starts_S257[shard, symbol]
        low, high = ranges_SK2[shard, 0]
        new_low, new_high = start, corpus.starts_S257[shard, symbol + 1]
        complete = depths_S[shard] >= KEPT_ORDERS - 1
        known = complete and search.kept_keys_SX[shard, slot] == recent
        depth = 0
        while new_low < new_high:
            depth += 1
            next_low, next_high = ranges_SK2[shard, depth]
            ranges_SK2[shard, depth, 0] = new_low
            ranges_SK2[shard, depth, 1] = new_high
            if depth > depths_S[shard] or depth == DEPTH:
                break
            same = next_low == low and next_high == high  # then the same rows lead to the same rows
            low, high = next_low, next_high
            if known and depth < KEPT_ORDERS:
                new_low = search.kept_SXK2[shard, slot, depth, 0]
                new_high = search.kept_SXK2[shard, slot, depth, 1]
            elif not same:
                new_low, new_high = _step(corpus, shard, start, low, high, symbol)
        depths_S[shard] = depth
        if complete and not known:
            search.kept_keys_SX[shard, slot] = recent
            for order in range(1, KEPT_ORDERS + 1):
                for side in range(2):
                    kept = ranges_SK2[shard, order, side] if order <= depth else 0
                    search.kept_SXK2[shard, slot, order - 1, side] = kept


@jit_entry
def follow(corpus, search, text_T, first, depths_N, shards_N, ranges_N2):
    """Append a text; for each byte from `first` on, depth, shard and rows of the deepest match that ends with it."""
    _follow(
        without_refcounts(corpus), without_refcounts(search), without_refcounts(text_T), first, depths_N, shards_N, ranges_N2
    )


@jit_device
def _follow(corpus, search, text_T, first, depths_N, shards_N, ranges_N2):
    restart(corpus, search)
    for at in range(len(text_T)):
        extend(corpus, search, np.int64(text_T[at]))
        if at < first:
            continue
        for shard in range(len(search.depths_S)):
            depth = search.depths_S[shard]
            if depth > depths_N[at - first]:
                depths_N[at - first], shards_N[at - first] = depth, shard
                ranges_N2[at - first, 0] = search.ranges_SK2[shard, depth, 0]
                ranges_N2[at - first, 1] = search.ranges_SK2[shard, depth, 1]


@jit_device
def _step(corpus, shard, start, low, high, symbol):
    if high - low <= 1 << (CHECKPOINT_BITS - 3):  # few rows: see whether there is anything to count at all
        among = _count_among(corpus.shards[shard].next_N, low, high, symbol)
        if among == 0:
            return start, start
        begin = start + _count_before(corpus, shard, symbol, low)
        return begin, begin + among
    return start + _count_before(corpus, shard, symbol, low), start + _count_before(corpus, shard, symbol, high)
