"""What the memories say at a position: candidates for the next byte, and how each source has seen each of them.

A source is one order of one memory ("after the same 8 bytes, in the corpus"). For every candidate it has a state: in how many
of the sampled occurrences the candidate came next, and in how many another byte did, both in eight steps. How far to trust a
state is nothing that is calculated here: the net learns a value for each (as PAQ's adaptive maps do, Mahoney 2005) and
when to listen to which source (`model.memory_fusion`).
"""

# Shape suffixes: B rows, T positions, M candidates, J sources, K orders, S shards.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.context_search import (
    CANDIDATES,
    HISTORY,
    LONG,
    SHORT,
    common,
    forget_place,
    remember,
    roll,
)
from multiscale_transformer.kernels.jit import jit_device, jit_entry, without_refcounts
from multiscale_transformer.kernels.memory_search import DEPTH, REMOVED, Search, extend, forget, new_search, restart
from multiscale_transformer.model.memory_spec import (
    CANDIDATE_COUNT,
    CONTEXT_ORDERS,
    CORPUS_ORDERS,
    LENGTH_STEPS,
    NO_CANDIDATE,
    NOTHING,
    NUM_ORDERS,
    SEPARATOR,
)
from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

SAMPLES = 64  # occurrences of an order that are looked at, evenly spread over all ...
FEW_SAMPLES, FEW_BELOW = 16, 5  # ... and of the orders below this one, which say little and miss the caches
TRUST = 1.6  # how much more a source of the next higher order weighs when candidates are chosen

_CORPUS = np.array(CORPUS_ORDERS, np.int64)
_CONTEXT = np.array(CONTEXT_ORDERS, np.int64)
_J, _JC, _M = len(CORPUS_ORDERS) + len(CONTEXT_ORDERS), len(CORPUS_ORDERS), CANDIDATE_COUNT
_LENGTH_SOURCE = NUM_ORDERS - 1
# Steps of a count: 0, 1, 2, 3-4, 5-8, 9-16, 17-32, more.
_STEP = np.array([0, 1, 2, 3, 3, *[4] * 4, *[5] * 8, *[6] * 16, *[7] * 32], np.uint8)
# Steps of a match length: 0 to 15 by the table of LENGTH_STEPS.
_LENGTH_STEP = (np.searchsorted(LENGTH_STEPS, np.arange(DEPTH + 1), side="right") - 1).astype(np.uint8)
_WEIGHT = np.array([TRUST ** np.searchsorted(CORPUS_ORDERS, order) for order in (*CORPUS_ORDERS, *CONTEXT_ORDERS)], np.float32)

PLAIN, PREFIX, SUFFIX, MIDDLE = 0, 1, 2, 3  # which part of a prompt is being read
END, PART, PREFIX_BEGIN, PREFIX_END, FLOOR, OWN = range(6)  # entries of `Reader.where`


class Scratch(NamedTuple):
    """Counts of the position at hand, by source and byte; only entries in `seen` are ever not zero."""

    counts_J256: npt.NDArray[np.int32]
    seen_J256: npt.NDArray[np.uint8]
    distinct_J: npt.NDArray[np.int64]
    totals_J: npt.NDArray[np.int64]
    scores_256: npt.NDArray[np.float32]
    touched_256: npt.NDArray[np.uint8]


class Reader(NamedTuple):
    """State of reading one text: the rows of its last bytes, and where it stands (END to OWN)."""

    search: Search
    where: npt.NDArray[np.int64]


def new_scratch() -> Scratch:
    """Empty counts."""
    return Scratch(
        np.zeros((_J, 256), np.int32),
        np.zeros((_J, 256), np.uint8),
        np.zeros(_J, np.int64),
        np.zeros(_J, np.int64),
        np.zeros(256, np.float32),
        np.zeros(256, np.uint8),
    )


def new_reader(shards: int) -> Reader:
    """A reader that has read nothing."""
    reader = Reader(new_search(shards), np.zeros(6, np.int64))
    reader.where[OWN] = -1
    return reader


@jit_device
def _count(scratch, source, symbol):
    if scratch.counts_J256[source, symbol] == 0:
        scratch.seen_J256[source, scratch.distinct_J[source]] = symbol
        scratch.distinct_J[source] += 1
    scratch.counts_J256[source, symbol] += 1
    scratch.totals_J[source] += 1


@jit_device
def _count_corpus(rows, reader, scratch):
    """Count what came next after the same last bytes in the corpus, leaving out the document that is read."""
    own = reader.where[OWN]
    known = len(rows.documents_N) > 0
    for shard in range(len(reader.search.depths_S)):
        first = rows.first_rows[shard]
        for source in range(_JC):
            order = _CORPUS[source]
            if order > reader.search.depths_S[shard]:
                break
            low, high = reader.search.ranges_SK2[shard, order]
            size = high - low
            most = SAMPLES if order >= FEW_BELOW else FEW_SAMPLES
            for sample in range(min(size, most)):
                row = first + low + (sample if size <= most else (2 * sample + 1) * size // (2 * most))
                symbol = rows.next_N[row]
                if symbol == NOTHING:
                    continue
                if known:
                    document = rows.documents_N[row]
                    if document == own or document == REMOVED:  # noqa: PLR1714, SIM109 (the kernel makes no tuple)
                        continue
                _count(scratch, source, symbol)


@jit_device
def _count_context(chains, reader, scratch):
    """Count what came next earlier in the document; returns the longest match and the byte after its newest place."""
    end = reader.where[END]
    oldest = max(reader.where[FLOOR], end - HISTORY)
    longest, newest = 0, 0
    for chain in range(2):
        width = SHORT if chain == 0 else LONG
        if end - width < oldest:
            break
        place = chains.short_before_T[end] if chain == 0 else chains.long_before_T[end]
        for _ in range(CANDIDATES):
            if place - width < oldest:
                break
            length = common(chains.text_T, place, end)
            if length >= width:
                symbol = chains.text_T[place]
                if length > longest:
                    longest, newest = length, symbol
                for index in range(len(_CONTEXT)):
                    order = _CONTEXT[index]
                    if order > length or (chain == 0 and order >= LONG):
                        break
                    if chain == 0 or order >= LONG:
                        _count(scratch, _JC + index, symbol)
            place = chains.short_before_T[place] if chain == 0 else chains.long_before_T[place]
    return longest, newest


@jit_device
def _choose(scratch, symbols_M):
    """The candidates: bytes that high orders say, and say often, first."""
    touched = 0
    for source in range(_J):
        if scratch.totals_J[source] == 0:
            continue
        worth = _WEIGHT[source] / np.float32(scratch.totals_J[source])
        for index in range(scratch.distinct_J[source]):
            symbol = scratch.seen_J256[source, index]
            if scratch.scores_256[symbol] == 0.0:
                scratch.touched_256[touched] = symbol
                touched += 1
            scratch.scores_256[symbol] += worth * np.float32(scratch.counts_J256[source, symbol])
    chosen = 0
    for index in range(touched):
        symbol = np.int64(scratch.touched_256[index])
        score = scratch.scores_256[symbol]
        place = chosen
        while place > 0:  # insert among the best so far, equal scores by their byte
            other = symbols_M[place - 1]
            if scratch.scores_256[other] > score or (scratch.scores_256[other] == score and other < symbol):
                break
            if place < _M:
                symbols_M[place] = other
            place -= 1
        if place < _M:
            symbols_M[place] = symbol
            chosen = min(chosen + 1, _M)
    for index in range(touched):
        scratch.scores_256[scratch.touched_256[index]] = 0.0


@jit_device
def look_up(rows, chains, reader, scratch, symbols_M, states_MJ, depths_2):
    """Write candidates and their states for the byte after the text that `reader` has read."""
    _count_corpus(rows, reader, scratch)
    longest, newest = _count_context(chains, reader, scratch)
    _choose(scratch, symbols_M)
    depths_2[0] = 0
    for source in range(_JC):
        if scratch.totals_J[source] > 0:
            depths_2[0] = source + 1
    depths_2[1] = _LENGTH_STEP[longest]
    for candidate in range(_M):
        symbol = symbols_M[candidate]
        if symbol == NO_CANDIDATE:
            break
        for source in range(_J):
            count = scratch.counts_J256[source, symbol]
            other = scratch.totals_J[source] - count
            states_MJ[candidate, source] = 8 * _STEP[min(count, SAMPLES)] + _STEP[min(other, SAMPLES)]
        states_MJ[candidate, _LENGTH_SOURCE] = depths_2[1] + (16 if longest > 0 and symbol == newest else 0)
        if symbol == SEPARATOR:
            symbols_M[candidate] = EOS
    for source in range(_J):
        for index in range(scratch.distinct_J[source]):
            scratch.counts_J256[source, scratch.seen_J256[source, index]] = 0
        scratch.distinct_J[source] = 0
        scratch.totals_J[source] = 0


@jit_device
def _write(rows, chains, reader, symbol, search):
    """Append a byte to the text; `search` also follows it in the corpus."""
    end = reader.where[END]
    chains.text_T[end] = symbol
    reader.where[END] = end + 1
    remember(chains, end + 1, roll(chains.text_T, end + 1))
    if search and symbol == SEPARATOR:
        restart(rows, reader.search)
    elif search:
        extend(rows, reader.search, symbol)


@jit_entry
def read_history(rows, chains, reader, history_T, from_start):
    """Read text that nothing is asked about; `from_start` says that a document begins with it."""
    rows, chains, reader, history_T = (
        without_refcounts(rows),
        without_refcounts(chains),
        without_refcounts(reader),
        without_refcounts(history_T),
    )
    _write(rows, chains, reader, SEPARATOR, True)
    reader.where[FLOOR] = reader.where[END]
    if not from_start:
        forget(rows, reader.search)
    searched = max(0, len(history_T) - DEPTH - 1)
    end = reader.where[END]
    recent = np.uint64(0)
    for at in range(searched):
        chains.text_T[end] = history_T[at]
        end += 1
        recent = (recent << np.uint64(8)) | np.uint64(history_T[at])
        remember(chains, end, recent)
    reader.where[END] = end
    for at in range(searched, len(history_T)):
        _write(rows, chains, reader, history_T[at], True)
    # The search began in the middle of the history when that is long: the same rows, for they depend on DEPTH bytes only.


@jit_device
def _copy_prefix(rows, chains, reader):
    """The hole is reached: write the prefix once more behind the suffix, so that the text goes on where the hole is."""
    begin, end = reader.where[PREFIX_BEGIN], reader.where[PREFIX_END]
    _write(rows, chains, reader, SEPARATOR, True)
    for at in range(begin, end):
        _write(rows, chains, reader, chains.text_T[at], at >= end - DEPTH - 1)
    reader.where[FLOOR] = end + 1


@jit_entry
def read(rows, chains, reader, scratch, ids_T, quiet, documents, symbols_TM, states_TMJ, depths_T2):
    """Read ids and write, for each after the first `quiet` ones, what the memories say of the byte after it.

    The outputs must be NO_CANDIDATE and zero before. `documents` is the number of documents that BOS counts through while
    leaving out each in turn, or 0 when none is left out. Nothing is said of the suffix of a prompt with a hole.
    """
    rows, chains, reader, scratch, ids_T = (
        without_refcounts(rows),
        without_refcounts(chains),
        without_refcounts(reader),
        without_refcounts(scratch),
        without_refcounts(ids_T),
    )
    symbols_TM, states_TMJ, depths_T2 = (
        without_refcounts(symbols_TM),
        without_refcounts(states_TMJ),
        without_refcounts(depths_T2),
    )
    where = reader.where
    unsearched = quiet - DEPTH - 1  # what was read longer ago no look-up depends on
    if unsearched > 0:
        forget(rows, reader.search)
    for t in range(len(ids_T)):
        symbol = ids_T[t]
        if symbol == EOS:
            where[PART] = PLAIN
            continue
        if symbol == BOS:
            if documents > 0 and t > 0:
                where[OWN] = (where[OWN] + 1) % documents
            _write(rows, chains, reader, SEPARATOR, True)
            where[FLOOR] = where[END]
            where[PART] = PLAIN
        elif symbol == FIM_PREFIX and where[PART] == PLAIN and chains.text_T[where[END] - 1] == SEPARATOR:
            where[PART], where[PREFIX_BEGIN] = PREFIX, where[END]
        elif symbol == FIM_SUFFIX and where[PART] == PREFIX:
            where[PART], where[PREFIX_END] = SUFFIX, where[END]
            _write(rows, chains, reader, SEPARATOR, False)
        elif symbol == FIM_MIDDLE and where[PART] == SUFFIX:
            where[PART] = MIDDLE
            _copy_prefix(rows, chains, reader)
        else:
            _write(rows, chains, reader, symbol, where[PART] != SUFFIX and t >= unsearched)
        if where[PART] != SUFFIX and t >= quiet:
            at = t - quiet
            look_up(rows, chains, reader, scratch, symbols_TM[at], states_TMJ[at], depths_T2[at])


@jit_entry
def unwrite(chains, reader, end):
    """Forget the text after `end` in the chains; the search must be set back by its owner (`restore`)."""
    for place in range(reader.where[END], end, -1):
        forget_place(chains, place)
    reader.where[END] = end
