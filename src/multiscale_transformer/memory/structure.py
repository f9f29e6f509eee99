"""The structural part of an index: places where words begin in the corpus, sorted by what kind of place they are.

It is made when a shard is written, kept beside its suffix array, and read by `kernels.structure_search`. Of a key that has more
places than anybody looks at, an even share is kept.
"""

# Shape suffixes: N bytes of text (its padding included), M places, K kinds, D documents, X places of all kinds.

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.structure_keys import BLANKS, WORD_BYTES, new_line
from multiscale_transformer.kernels.structure_search import (
    CHECK_BITS,
    PADDING,
    SORTED_BYTES,
    keys_of_places,
)
from multiscale_transformer.memory.arrays import map_array, write_array
from multiscale_transformer.model.memory_spec import NUM_CORPUS_STRUCTURES

STRUCTURE_FILES = ("text.npy", "places.npy", "checks.npy", "buckets.npy")  # in the folder of a shard
KEPT_PLACES = 64  # of a key; a look-up samples 16 of those that go on as the word that is written
BUCKET_BITS = (10, 22)  # fewest and most; a key passes for another one of its bucket once in thousands of look-ups
PLACES_A_BUCKET = 32  # before most of them are dropped; a few are left
_ASKED = ~np.isin(np.arange(256), BLANKS)  # bytes that may follow a place: what follows a blank is asked about behind it


@dataclass(frozen=True, eq=False)
class Structure:
    """Of one shard: its text, and the places of each kind one behind the other.

    `places_X` (int32) are places in `text_N` (uint8), `checks_X` (uint16) bits of their keys, and `buckets_KB` (uint32, K by
    2^bits + 1) says where the keys with the same first bits begin.
    """

    text_N: npt.NDArray[np.uint8]
    places_X: npt.NDArray[np.int32]
    checks_X: npt.NDArray[np.uint16]
    buckets_KB: npt.NDArray[np.uint32]

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """All its parts."""
        return self.text_N, self.places_X, self.checks_X, self.buckets_KB

    def copy(self) -> Structure:
        """The same in RAM."""
        text_N, places_X = np.array(self.text_N, np.uint8), np.array(self.places_X, np.int32)
        return Structure(text_N, places_X, np.array(self.checks_X, np.uint16), np.array(self.buckets_KB, np.uint32))


def structure_of(text: bytes | bytearray) -> Structure:
    """The structure of the text of a shard: documents between separators."""
    text_N = np.concatenate((np.frombuffer(text, np.uint8), np.zeros(PADDING, np.uint8)))
    places_M = _places(text_N)
    by_text_M = np.argsort(_following(text_N, places_M), kind="stable").astype(np.uint32)
    keys_KM = np.empty((NUM_CORPUS_STRUCTURES, len(places_M)), np.uint32)
    keys_of_places(text_N, places_M, new_line(), keys_KM)
    bits = min(max((len(places_M) // PLACES_A_BUCKET).bit_length(), BUCKET_BITS[0]), BUCKET_BITS[1])
    kinds = [_sorted(places_M, keys_M, by_text_M, bits) for keys_M in keys_KM]
    places, checks, buckets = zip(*kinds, strict=True)
    return Structure(text_N, np.concatenate(places), np.concatenate(checks), np.stack(buckets))


def _places(text_N: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Where a word may begin and no blank follows."""
    wanted = ~WORD_BYTES[text_N[: -PADDING - 1]] & _ASKED[text_N[1:-PADDING]]
    return (np.flatnonzero(wanted) + 1).astype(np.int32)


def _following(text_N: npt.NDArray[np.uint8], places_M: npt.NDArray[np.int32]) -> npt.NDArray[np.uint64]:
    """The first bytes after each place as one number, which is larger where a later byte order is."""
    following_M = np.zeros(len(places_M), np.uint64)
    for depth in range(SORTED_BYTES):
        following_M = (following_M << np.uint64(8)) | text_N[places_M + depth].astype(np.uint64)
    return following_M


def _sorted(
    places_M: npt.NDArray[np.int32], keys_M: npt.NDArray[np.uint32], by_text_M: npt.NDArray[np.uint32], bits: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16], npt.NDArray[np.uint32]]:
    """Places by key and following text, at most KEPT_PLACES of a key; their checks; and where each bucket begins."""
    both_M = (keys_M[by_text_M].astype(np.uint64) << np.uint64(32)) | np.arange(len(places_M), dtype=np.uint64)
    both_M.sort()
    keys_M = (both_M >> np.uint64(32)).astype(np.uint32)
    kept_M = _evenly(keys_M)
    keys_M, order_M = keys_M[kept_M], (both_M[kept_M] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    checks_M = ((keys_M << np.uint32(bits)) >> np.uint32(32 - CHECK_BITS)).astype(np.uint16)
    edges = np.arange((1 << bits) + 1, dtype=np.uint64) << np.uint64(32 - bits)
    return places_M[by_text_M[order_M]], checks_M, np.searchsorted(keys_M, edges).astype(np.uint32)


def _evenly(keys_M: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Which of the sorted keys to keep: of more than KEPT_PLACES equal ones, as many, evenly spread."""
    firsts = np.flatnonzero(np.concatenate(([True], keys_M[1:] != keys_M[:-1])))
    counts = np.diff(np.append(firsts, len(keys_M)))
    kept_M = np.ones(len(keys_M), np.bool_)
    spread = (np.arange(KEPT_PLACES) + 0.5) / KEPT_PLACES
    for first, count in zip(firsts[counts > KEPT_PLACES].tolist(), counts[counts > KEPT_PLACES].tolist(), strict=True):
        kept_M[first : first + count] = False
        kept_M[first + (spread * count).astype(np.int64)] = True
    return kept_M


def write_structure(folder: Path, structure: Structure) -> None:
    """Write the files of a structure into the folder of a shard. Raises OSError when the disk is full."""
    for name, array in zip(STRUCTURE_FILES, structure.arrays, strict=True):
        write_array(folder / name, array.dtype.type, array.shape, [array])


def load_structure(folder: Path, length: int) -> Structure:
    """Map the structure of a shard whose text has `length` bytes.

    Raises OSError or ValueError when a file is missing, damaged, or would lead a look-up out of its array.
    """
    text, places, checks, buckets = (folder / name for name in STRUCTURE_FILES)
    structure = Structure(
        map_array(text, np.uint8), map_array(places, np.int32), map_array(checks, np.uint16), map_array(buckets, np.uint32, 2)
    )
    count, width = len(structure.places_X), structure.buckets_KB.shape[1] - 1
    ends_K = structure.buckets_KB[:, -1].astype(np.int64)
    if len(structure.text_N) != length + PADDING or structure.text_N[length:].any():
        raise ValueError(f"{text.name} has the wrong size")
    if len(ends_K) != NUM_CORPUS_STRUCTURES or ends_K.sum() != count or len(structure.checks_X) != count:
        raise ValueError(f"{buckets.name}, {places.name} and {checks.name} do not fit together")
    if width.bit_count() != 1 or not BUCKET_BITS[0] <= width.bit_length() - 1 <= BUCKET_BITS[1]:
        raise ValueError(f"{buckets.name} has the wrong size")
    if (structure.buckets_KB[:, 1:] < structure.buckets_KB[:, :-1]).any() or structure.buckets_KB[:, 0].any():
        raise ValueError(f"{buckets.name} does not ascend")
    if count and not 0 <= structure.places_X.min() <= structure.places_X.max() <= length:
        raise ValueError(f"{places.name} names places outside of the text")
    return structure
