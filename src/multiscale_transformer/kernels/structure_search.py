"""Structural search: how words went on that began in places of the same kind, earlier in the document or in the corpus.

A place where a word may begin has a key of each kind (`structure_keys`). In the open document, places with the same key are
chained, newest first. In the corpus, the places of each kind are sorted by their key, and equal keys by the text that follows;
so those that go on as the word that is being written are one range, which every further byte narrows.
"""

# Shape suffixes: T bytes of text, K kinds (those of the corpus are the CORPUS_STRUCTURES), H hash slots, N bytes of a shard,
# X places of all kinds in it, S shards, D documents, M places.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.corpus import is_skipped, load_int32, load_int64, load_uint8, load_uint16, load_uint32
from multiscale_transformer.kernels.jit import jit_device, jit_entry, without_refcounts
from multiscale_transformer.kernels.structure_keys import keys_at, new_line
from multiscale_transformer.model.memory_spec import CORPUS_STRUCTURES, NUM_CORPUS_STRUCTURES, NUM_STRUCTURES

SLOT_BITS = 12
STRUCTURE_SAMPLES = 16  # places under a key that are looked at: in the document the newest, in the corpus evenly spread
SORTED_BYTES = 8  # of the text that follows, by which places with the same key are sorted
CHECK_BITS = 16  # of a key that are kept with a place; its first bits are the number of its bucket
PADDING = 64  # zero bytes behind the text of each shard: more than a word has

CORPUS_KINDS = np.array(CORPUS_STRUCTURES)

Bytes = npt.NDArray[np.uint8]
Keys = npt.NDArray[np.uint32]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]


class DocumentStructure(NamedTuple):
    """For each kind the newest place in each slot, and for each place its key and the place before it in the slot (or -1)."""

    heads_KH: Int32s
    before_KT: Int32s
    keys_KT: Keys
    line: Int64s  # see `structure_keys`


class WordSearch(NamedTuple):
    """The places of the corpus under the keys of the word that is being written, as ranges of X, and where it stood then."""

    ranges_SK2: Int64s
    at: Int64s  # one number: the end of the text when the ranges were found, or -1


def new_document_structure(capacity: int) -> DocumentStructure:
    """No places yet, of a text of up to `capacity` bytes."""
    shape = (NUM_STRUCTURES, capacity + 1)
    heads_KH = np.full((NUM_STRUCTURES, 1 << SLOT_BITS), -1, np.int32)
    return DocumentStructure(heads_KH, np.full(shape, -1, np.int32), np.zeros(shape, np.uint32), new_line())


def new_word_search(shards: int) -> WordSearch:
    """A search that has found nothing."""
    return WordSearch(np.zeros((shards, NUM_CORPUS_STRUCTURES, 2), np.int64), np.full(1, -1, np.int64))


@jit_device
def _slot(key):
    return np.int64(np.uint32((key ^ (key >> np.uint32(15))) * np.uint32(0x85EBCA6B)) >> np.uint32(32 - SLOT_BITS))


@jit_device
def enter(document, text_T, end):
    """Enter a place where a word may begin."""
    keys = keys_at(text_T, end, document.line)
    for kind in range(NUM_STRUCTURES):
        slot = _slot(keys[kind])
        document.keys_KT[kind, end] = keys[kind]
        document.before_KT[kind, end] = document.heads_KH[kind, slot]
        document.heads_KH[kind, slot] = end


@jit_device
def leave(document, end):
    """Take back the newest `enter`, of `end`."""
    document.line[0] = -1
    for kind in range(NUM_STRUCTURES):
        document.heads_KH[kind, _slot(document.keys_KT[kind, end])] = document.before_KT[kind, end]


@jit_entry
def keys_of_places(text_T, places_M, line, keys_KM):
    """The keys of places of a text, of the kinds that are looked up in the corpus."""
    text_T, places_M = without_refcounts(text_T), without_refcounts(places_M)
    line, keys_KM = without_refcounts(line), without_refcounts(keys_KM)
    for m in range(len(places_M)):
        keys = keys_at(text_T, np.int64(places_M[m]), line)
        for kind in range(NUM_CORPUS_STRUCTURES):
            keys_KM[kind, m] = keys[CORPUS_KINDS[kind]]


@jit_device
def places_under(corpus, shard, kind, key):
    """The range of X of the places of a shard whose key of a kind this is."""
    of, first = corpus.shards[shard], corpus.place_begins_SK[shard, kind]
    bucket = corpus.bucket_begins_SK[shard, kind] + (np.int64(key) >> (32 - of.bits))
    check = np.int64(np.uint16((key << np.uint32(of.bits)) >> np.uint32(32 - CHECK_BITS)))
    low, end = first + load_uint32(of.buckets, bucket), first + load_uint32(of.buckets, bucket + 1)
    low = _first_of_check(of.checks_X, low, end, check)
    high = low
    while high < end and load_uint16(of.checks_X, high) == check and high - low < STRUCTURE_SAMPLES:
        high += 1
    if high - low == STRUCTURE_SAMPLES:
        high = _first_of_check(of.checks_X, high, end, check + 1)
    return low, high


@jit_device
def _first_of_check(checks_X, low, high, check):
    """The first of some places whose check is at least this one."""
    while low < high:
        middle = (low + high) >> 1
        if load_uint16(checks_X, middle) < check:
            low = middle + 1
        else:
            high = middle
    return low


@jit_device
def narrowed(corpus, shard, low, high, depth, symbol):
    """Of places whose next `depth` bytes agree, sorted by what follows, the range of those that go on with `symbol`."""
    if depth >= SORTED_BYTES:
        return low, high
    places_X, text_N = corpus.shards[shard].places_X, corpus.shards[shard].text_N + depth
    end = high
    while low < high:
        middle = (low + high) >> 1
        if load_uint8(text_N, load_int32(places_X, middle)) < symbol:
            low = middle + 1
        else:
            high = middle
    first, high = low, end
    while low < high:
        middle = (low + high) >> 1
        if load_uint8(text_N, load_int32(places_X, middle)) <= symbol:
            low = middle + 1
        else:
            high = middle
    return first, low


@jit_device
def is_left_out(corpus, shard, place, own_group):
    """Whether a place in the text of a shard is of a removed document, or of one of the group `own_group` (-1: of none)."""
    of = corpus.shards[shard]
    if of.gone_D == 0 and own_group < 0:
        return False
    low, high = np.int64(0), of.documents  # the document is the last one that begins at or before the place
    while high - low > 1:
        middle = (low + high) >> 1
        if load_int64(of.starts_D, middle) <= place:
            low = middle
        else:
            high = middle
    return is_skipped(corpus, shard, low, own_group)


@jit_device
def agree(text_T, begin, place, count):
    """Whether a text has the same `count` bytes from `begin` and from `place` on."""
    at = 0
    while at < count and text_T[begin + at] == text_T[place + at]:
        at += 1
    return at >= count


@jit_device
def agrees_with_corpus(text_T, begin, text_N, place, count):
    """Whether `count` bytes of a text are those of a shard from `place` on, of which the first SORTED_BYTES are known to be."""
    at = SORTED_BYTES
    while at < count and text_T[begin + at] == load_uint8(text_N, place + at):
        at += 1
    return at >= count
