"""Near-duplicates are found: files that say what another file says, save for a name or a comment.

A held-out file with a twin in the training files measures memory, not learning. Files are compared as BigCode did for The
Stack (Kocetkov et al. 2022, arXiv 2211.15533): the Jaccard similarity of their sets of five successive tokens, estimated by
MinHash (Broder 1997). Tokens are hashed by whole-array arithmetic, and rensa folds the hashes into signatures; that is
what makes 30 MB a matter of seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

from multiscale_transformer.data.documents import Documents

PERMUTATIONS = 128
BAND_ROWS = 4  # 32 bands of 4: a pair that is 0.7 alike shares a band with probability 0.9998
SHINGLE = 5

_GROUP_BYTES = 1 << 20
_MAX_BYTES = 1 << 22  # of one document; the rest of a longer one does not count
_SEED = 20_240_711

_Hashes = npt.NDArray[np.uint64]

_MARK, _WORD = 1, 2
_BASE = 0x9E3779B97F4A7C15


def near_duplicates(
    documents: Documents, order: Sequence[int], threshold: float = 0.7, *, originals: int | None = None
) -> dict[int, int]:
    """For each document to be dropped the one that stays in its place; both by their indices in `documents`.

    Two documents are near-duplicates when their estimated Jaccard similarity is `threshold` or more (standard error 0.04 at
    0.7); white space does not count. Among what stays no two are, so no split of the rest can part a pair of twins. `order` are
    all indices, those that are to stay first: of two near-duplicates the earlier one in it does. With `originals` only the
    documents before that index have duplicates; those behind it may be alike among themselves.
    """
    signatures = _signatures(documents)
    buckets: dict[tuple[int, bytes], list[int]] = {}
    duplicates: dict[int, int] = {}
    for index in order:
        signature = signatures[index]
        keys = [(band, signature[band : band + BAND_ROWS].tobytes()) for band in range(0, PERMUTATIONS, BAND_ROWS)]
        candidates = sorted({candidate for key in keys for candidate in buckets.get(key, ())})
        if candidates:
            similarity = (signatures[candidates] == signature).mean(axis=1)
            if similarity.max() >= threshold:
                duplicates[index] = candidates[int(similarity.argmax())]
                continue
        if originals is None or index < originals:
            for key in keys:
                buckets.setdefault(key, []).append(index)
    return duplicates


def _signatures(documents: Documents) -> npt.NDArray[np.uint32]:
    """MinHash signatures, (documents, PERMUTATIONS)."""
    rows = [np.empty((0, PERMUTATIONS), np.uint32)]
    for text, starts in _groups(documents):
        shingles, counts = _shingles(text, starts)
        offsets = np.zeros(len(counts) + 1, np.uint64)
        np.cumsum(counts, out=offsets[1:])
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(shingles, offsets, PERMUTATIONS, _SEED)
        rows.append(np.array(matrix.to_rows(), np.uint32))
    return np.concatenate(rows)


def _groups(documents: Documents) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    """Successive documents in groups of about _GROUP_BYTES: their bytes and where in those each document starts."""
    begin = 0
    while begin < len(documents):
        limit = documents.offsets[begin] + _GROUP_BYTES
        end = max(begin + 1, int(np.searchsorted(documents.offsets, limit, "right")) - 1)
        offsets = documents.offsets[begin : end + 1]
        yield documents.data[offsets[0] : min(offsets[-1], offsets[0] + _MAX_BYTES)], offsets[:-1] - offsets[0]
        begin = end


def _shingles(text: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]) -> tuple[_Hashes, npt.NDArray[np.int64]]:
    """Hashes of all runs of SHINGLE tokens inside each document, and how many each document has.

    A document with fewer tokens has one shingle of them all, one without tokens has none.
    """
    tokens, token_starts = _tokens(text, starts)
    document = np.searchsorted(starts, token_starts, "right")
    padded = np.concatenate((tokens, np.zeros(SHINGLE - 1, np.uint64)))
    padded_document = np.concatenate((document, np.zeros(SHINGLE - 1, document.dtype)))
    shingles = np.zeros(len(tokens), np.uint64)
    for offset in range(SHINGLE):
        inside = padded_document[offset : offset + len(tokens)] == document
        shingles = _mixed(shingles + padded[offset : offset + len(tokens)] * inside)
    first_of_document = np.diff(document, prepend=0) > 0
    counted = inside | first_of_document
    return shingles[counted], np.bincount(document[counted], minlength=len(starts) + 1)[1:]


def _tokens(text: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]) -> tuple[_Hashes, npt.NDArray[np.int64]]:
    """A hash and the position of every token: a run of letters, digits, underscores and non-ASCII, or one other mark."""
    kind = _KIND[text]
    begins = kind > 0
    begins[1:] &= (kind[1:] == _MARK) | (kind[:-1] != _WORD)
    begins[starts[starts < len(text)]] = kind[starts[starts < len(text)]] > 0
    positions = np.flatnonzero(begins)
    if not len(positions):
        return np.zeros(0, np.uint64), positions
    # Each byte weighs a power of an odd base by its place in the text; dividing by the power at the start of its token
    # leaves a hash that depends on the token alone. White space weighs nothing.
    size = _GROUP_BYTES if len(text) <= _GROUP_BYTES else _MAX_BYTES
    values = _VALUE[text] * _powers(_BASE, size)[: len(text)]
    return _mixed(np.add.reduceat(values, positions) * _powers(pow(_BASE, -1, 1 << 64), size)[positions]), positions


@functools.cache
def _powers(base: int, size: int) -> _Hashes:
    """base⁰, base¹ … modulo 2⁶⁴, `size` of them."""
    factors = np.full(size, base, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


def _mixed(hashes: _Hashes) -> _Hashes:
    """The finalizer of splitmix64: every bit of the input reaches every bit of the output."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def _kinds() -> npt.NDArray[np.uint8]:
    kinds = [_WORD if byte >= 128 or chr(byte).isalnum() or chr(byte) == "_" else _MARK for byte in range(256)]
    for space in b" \t\n\r\f\v":
        kinds[space] = 0
    return np.array(kinds, np.uint8)


_KIND = _kinds()
_VALUE = _mixed(np.arange(1, 257, dtype=np.uint64)) * (_KIND > 0)
