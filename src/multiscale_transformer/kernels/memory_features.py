"""Memory features at a position (retrieval): candidates for the next byte, and the bin of each one's counts at every order.

An order is a length of context in one memory ("after the same 8 bytes, in the corpus"). A bin says in how many of the sampled
occurrences the candidate came next, and in how many another byte did, both in eight steps. The kernels only count: the net
learns a value for each bin (as PAQ's adaptive maps do, Mahoney 2005) and when to listen to which order (`model.memory_fusion`).
"""

# Shape suffixes: T positions, M candidates, J orders, of which JC in the corpus come first, S shards.

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
from multiscale_transformer.kernels.corpus import group_of, is_skipped, load_int32, load_uint8
from multiscale_transformer.kernels.jit import jit_device, jit_entry, without_refcounts
from multiscale_transformer.kernels.memory_search import DEPTH, Search, extend, forget, new_search, restart
from multiscale_transformer.kernels.records import Records, record
from multiscale_transformer.kernels.structure_keys import word_begin
from multiscale_transformer.kernels.structure_search import (
    CORPUS_KINDS,
    STRUCTURE_SAMPLES,
    WordSearch,
    agree,
    agrees_with_corpus,
    is_left_out,
    narrowed,
    new_word_search,
    places_under,
)
from multiscale_transformer.model.memory_spec import (
    CANDIDATE_COUNT,
    CONTEXT_ORDERS,
    CORPUS_ORDERS,
    LENGTH_STEPS,
    NO_CANDIDATE,
    NOTHING,
    NUM_CORPUS_STRUCTURES,
    NUM_ORDERS,
    NUM_STRUCTURES,
    SEPARATOR,
)
from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, VOCAB_SIZE

SAMPLES = 64  # occurrences of an order that are looked at, evenly spread over all ...
FEW_SAMPLES, FEW_BELOW = 16, 5  # ... and of the orders below this one, which say little and miss the caches
STRUCTURE_HISTORY = 8192  # bytes in which words are searched that began in a place of the same kind
TRUST = 1.6  # how much more the next higher order weighs when candidates are chosen
TRUST_STRUCTURE = TRUST**1.5  # of an order of structure, between those of 3 and 4 bytes

_CORPUS = np.array(CORPUS_ORDERS, np.int64)
_CONTEXT = np.array(CONTEXT_ORDERS, np.int64)
_JC, _JD = len(CORPUS_ORDERS), len(CORPUS_ORDERS) + len(CONTEXT_ORDERS)  # where the next part of the orders begins
_JS, _J, _M = _JD + NUM_STRUCTURES, NUM_ORDERS - 1, CANDIDATE_COUNT
_LENGTH_ORDER = NUM_ORDERS - 1  # the last place: the newest longest match in the document
# Steps of a count: 0, 1, 2, 3-4, 5-8, 9-16, 17-32, more.
_STEP = np.array([0, 1, 2, 3, 3, *[4] * 4, *[5] * 8, *[6] * 16, *[7] * 32], np.uint8)
# Steps of a match length: 0 to 15 by the table of LENGTH_STEPS.
_LENGTH_STEP = (np.searchsorted(LENGTH_STEPS, np.arange(DEPTH + 1), side="right") - 1).astype(np.uint8)
_TRUSTED = [TRUST ** np.searchsorted(CORPUS_ORDERS, order) for order in (*CORPUS_ORDERS, *CONTEXT_ORDERS)]
_WEIGHT = np.array([*_TRUSTED, *[TRUST_STRUCTURE] * (NUM_STRUCTURES + NUM_CORPUS_STRUCTURES)], np.float32)

BOS_WITHIN = VOCAB_SIZE  # an id of look-ups alone: training reads a document in pieces that begin as texts do

PLAIN, PREFIX, SUFFIX, MIDDLE = 0, 1, 2, 3  # which part of a prompt is being read
# Where a reader stands: how long the text is, the part of a prompt that is read, where the prefix of a fill-in-the-middle
# prompt begins and ends in the text, how far back the document goes, and its number where documents are left out (or -1).
READER_STATE = record("end", "part", "prefix_begin", "prefix_end", "floor", "own_document")


class Scratch(NamedTuple):
    """Counts of the position at hand, by order and byte; only entries in `seen` are ever not zero."""

    counts_J256: npt.NDArray[np.int32]
    seen_J256: npt.NDArray[np.uint8]
    distinct_J: npt.NDArray[np.int64]
    totals_J: npt.NDArray[np.int64]
    scores_256: npt.NDArray[np.float32]
    touched_256: npt.NDArray[np.uint8]


class Reader(NamedTuple):
    """State of reading one text: the rows of its last bytes in the corpus, the words there that begin as its last one, and
    where it stands (one record, READER_STATE)."""

    search: Search
    words: WordSearch
    state: Records


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
    reader = Reader(new_search(shards), new_word_search(shards), np.zeros(1, READER_STATE))
    reader.state["own_document"] = -1
    return reader


@jit_device
def _count(scratch, order, symbol):
    if scratch.counts_J256[order, symbol] == 0:
        scratch.seen_J256[order, scratch.distinct_J[order]] = symbol
        scratch.distinct_J[order] += 1
    scratch.counts_J256[order, symbol] += 1
    scratch.totals_J[order] += 1


@jit_device
def _count_corpus(corpus, reader, scratch):
    """Count what came next after the same last bytes in the corpus, without the group of the document."""
    own = group_of(corpus, reader.state[0].own_document)
    for shard in range(len(reader.search.depths_S)):
        of = corpus.shards[shard]
        for order in range(_JC):
            length = _CORPUS[order]
            if length > reader.search.depths_S[shard]:
                break
            low, high = reader.search.ranges_SK2[shard, length]
            size = high - low
            most = SAMPLES if length >= FEW_BELOW else FEW_SAMPLES
            for sample in range(min(size, most)):
                row = low + (sample if size <= most else (2 * sample + 1) * size // (2 * most))
                symbol = load_uint8(of.next_N, row)
                if symbol == NOTHING:
                    continue
                if of.documents_N != 0 and is_skipped(corpus, shard, load_int32(of.documents_N, row), own):
                    continue
                _count(scratch, order, symbol)


@jit_device
def _count_context(chains, reader, scratch):
    """Count what came next earlier in the document; returns the longest match and the byte after its newest place."""
    end = reader.state[0].end
    oldest = max(reader.state[0].floor, end - HISTORY)
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
                for order in range(len(_CONTEXT)):
                    if _CONTEXT[order] > length or (chain == 0 and _CONTEXT[order] >= LONG):
                        break
                    if chain == 0 or _CONTEXT[order] >= LONG:
                        _count(scratch, _JC + order, symbol)
            place = chains.short_before_T[place] if chain == 0 else chains.long_before_T[place]
    return longest, newest


@jit_device
def _count_document_structure(chains, reader, scratch, begin):
    """Count how words went on earlier in the document that began in places of the same kind."""
    end, text_T, structure = reader.state[0].end, chains.text_T, chains.structure
    oldest = max(reader.state[0].floor, end - STRUCTURE_HISTORY)
    for kind in range(NUM_STRUCTURES):
        place, key = structure.before_KT[kind, begin], structure.keys_KT[kind, begin]
        for _ in range(STRUCTURE_SAMPLES):
            if place < oldest:
                break
            if structure.keys_KT[kind, place] == key and agree(text_T, begin, place, end - begin):
                _count(scratch, _JD + kind, text_T[place + end - begin])
            place = structure.before_KT[kind, place]


@jit_device
def _count_corpus_structure(corpus, chains, reader, scratch, begin):
    """Count how words went on in the corpus that began in places of the same kind, without the group of the document."""
    end, text_T, words = reader.state[0].end, chains.text_T, reader.words
    written, goes_on = end - begin, begin < end and words.at[0] == end - 1
    own, keys_KT = group_of(corpus, reader.state[0].own_document), chains.structure.keys_KT
    for shard in range(len(words.ranges_SK2)):
        places_X, text_N = corpus.shards[shard].places_X, corpus.shards[shard].text_N
        for kind in range(NUM_CORPUS_STRUCTURES):
            if goes_on:
                low, high = words.ranges_SK2[shard, kind, 0], words.ranges_SK2[shard, kind, 1]
                low, high = narrowed(corpus, shard, low, high, written - 1, text_T[end - 1])
            else:
                low, high = places_under(corpus, shard, kind, keys_KT[CORPUS_KINDS[kind], begin])
                for at in range(begin, end):
                    low, high = narrowed(corpus, shard, low, high, at - begin, text_T[at])
            words.ranges_SK2[shard, kind, 0], words.ranges_SK2[shard, kind, 1] = low, high
            size = high - low
            for sample in range(min(size, STRUCTURE_SAMPLES)):
                row = low + (sample if size <= STRUCTURE_SAMPLES else (2 * sample + 1) * size // (2 * STRUCTURE_SAMPLES))
                place = load_int32(places_X, row)
                if agrees_with_corpus(text_T, begin, text_N, place, written) and not is_left_out(corpus, shard, place, own):
                    _count(scratch, _JS + kind, load_uint8(text_N, place + written))
    words.at[0] = end


@jit_device
def _choose(scratch, symbols_M):
    """The candidates: bytes that high orders say, and say often, first."""
    touched = 0
    for order in range(_J):
        if scratch.totals_J[order] == 0:
            continue
        weight = _WEIGHT[order] / np.float32(scratch.totals_J[order])
        for index in range(scratch.distinct_J[order]):
            symbol = scratch.seen_J256[order, index]
            if scratch.scores_256[symbol] == 0.0:
                scratch.touched_256[touched] = symbol
                touched += 1
            scratch.scores_256[symbol] += weight * np.float32(scratch.counts_J256[order, symbol])
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
def look_up(corpus, chains, reader, scratch, symbols_M, bins_MJ, lengths_2):
    """Write candidates and the bins of their counts for the byte after the text that `reader` has read."""
    _count_corpus(corpus, reader, scratch)
    longest, newest = _count_context(chains, reader, scratch)
    begin = word_begin(chains.text_T, reader.state[0].end)
    if begin >= reader.state[0].floor:
        _count_document_structure(chains, reader, scratch, begin)
        _count_corpus_structure(corpus, chains, reader, scratch, begin)
    _choose(scratch, symbols_M)
    lengths_2[0] = 0
    for order in range(_JC):
        if scratch.totals_J[order] > 0:
            lengths_2[0] = order + 1
    lengths_2[1] = _LENGTH_STEP[longest]
    for candidate in range(_M):
        symbol = symbols_M[candidate]
        if symbol == NO_CANDIDATE:
            break
        for order in range(_J):
            count = scratch.counts_J256[order, symbol]
            other = scratch.totals_J[order] - count
            bins_MJ[candidate, order] = 8 * _STEP[min(count, SAMPLES)] + _STEP[min(other, SAMPLES)]
        bins_MJ[candidate, _LENGTH_ORDER] = lengths_2[1] + (16 if longest > 0 and symbol == newest else 0)
        if symbol == SEPARATOR:
            symbols_M[candidate] = EOS
    for order in range(_J):
        for index in range(scratch.distinct_J[order]):
            scratch.counts_J256[order, scratch.seen_J256[order, index]] = 0
        scratch.distinct_J[order] = 0
        scratch.totals_J[order] = 0


@jit_device
def _write(corpus, chains, reader, symbol, search):
    """Append a byte to the text; `search` also follows it in the corpus."""
    end = reader.state[0].end
    chains.text_T[end] = symbol
    reader.state[0].end = end + 1
    remember(chains, end + 1, roll(chains.text_T, end + 1), True)
    if search and symbol == SEPARATOR:
        restart(corpus, reader.search)
    elif search:
        extend(corpus, reader.search, symbol)


@jit_entry
def read_history(corpus, chains, reader, history_T, from_start):
    """Read text that nothing is asked about; `from_start` says that a document begins with it."""
    corpus, chains, reader, history_T = (
        without_refcounts(corpus),
        without_refcounts(chains),
        without_refcounts(reader),
        without_refcounts(history_T),
    )
    _write(corpus, chains, reader, SEPARATOR, True)
    reader.state[0].floor = reader.state[0].end
    if not from_start:
        forget(corpus, reader.search)
    searched = max(0, len(history_T) - DEPTH - 1)
    end = reader.state[0].end
    recent = np.uint64(0)
    for at in range(searched):
        chains.text_T[end] = history_T[at]
        end += 1
        recent = (recent << np.uint64(8)) | np.uint64(history_T[at])
        remember(chains, end, recent, len(history_T) - at <= STRUCTURE_HISTORY)
    reader.state[0].end = end
    for at in range(searched, len(history_T)):
        _write(corpus, chains, reader, history_T[at], True)
    # The search began in the middle of the history when that is long: the same corpus, for they depend on DEPTH bytes only.


@jit_device
def _copy_prefix(corpus, chains, reader):
    """The middle is reached: write the prefix once more behind the suffix, so that the text goes on where the gap is."""
    begin, end = reader.state[0].prefix_begin, reader.state[0].prefix_end
    _write(corpus, chains, reader, SEPARATOR, True)
    for at in range(begin, end):
        _write(corpus, chains, reader, chains.text_T[at], at >= end - DEPTH - 1)
    reader.state[0].floor = end + 1


@jit_entry
def read(corpus, chains, reader, scratch, ids_T, n_skip, documents, symbols_TM, bins_TMJ, lengths_T2):
    """Read ids and write, for each after the first `n_skip` ones, what the memories say of the byte after it.

    The outputs must be NO_CANDIDATE and zero before. `documents` is the number of documents that BOS counts through while
    leaving out each in turn, or 0 when none is left out; BOS_WITHIN is a BOS after which the same one stays out. Nothing is
    said of the suffix of a fill-in-the-middle prompt.
    """
    corpus, chains, reader, scratch, ids_T = (
        without_refcounts(corpus),
        without_refcounts(chains),
        without_refcounts(reader),
        without_refcounts(scratch),
        without_refcounts(ids_T),
    )
    symbols_TM, bins_TMJ, lengths_T2 = (
        without_refcounts(symbols_TM),
        without_refcounts(bins_TMJ),
        without_refcounts(lengths_T2),
    )
    state = reader.state[0]
    unsearched = n_skip - DEPTH - 1  # what was read longer ago no look-up depends on
    if unsearched > 0:
        forget(corpus, reader.search)
    for t in range(len(ids_T)):
        symbol = ids_T[t]
        if symbol == EOS:
            state.part = PLAIN
            continue
        if symbol == BOS or symbol == BOS_WITHIN:  # noqa: PLR1714, SIM109 (the kernel makes no tuple)
            if documents > 0 and t > 0 and symbol == BOS:
                state.own_document = (state.own_document + 1) % documents
            _write(corpus, chains, reader, SEPARATOR, True)
            state.floor = state.end
            state.part = PLAIN
        elif symbol == FIM_PREFIX and state.part == PLAIN and chains.text_T[state.end - 1] == SEPARATOR:
            state.part, state.prefix_begin = PREFIX, state.end
        elif symbol == FIM_SUFFIX and state.part == PREFIX:
            state.part, state.prefix_end = SUFFIX, state.end
            _write(corpus, chains, reader, SEPARATOR, False)
        elif symbol == FIM_MIDDLE and state.part == SUFFIX:
            state.part = MIDDLE
            _copy_prefix(corpus, chains, reader)
        else:
            _write(corpus, chains, reader, symbol, state.part != SUFFIX and t >= unsearched)
        if state.part != SUFFIX and t >= n_skip:
            at = t - n_skip
            look_up(corpus, chains, reader, scratch, symbols_TM[at], bins_TMJ[at], lengths_T2[at])


@jit_entry
def unwrite(chains, reader, end):
    """Forget the text after `end` in the chains; the search must be set back by its owner (`restore`)."""
    for place in range(reader.state[0].end, end, -1):
        forget_place(chains, place)
    reader.state[0].end = end
