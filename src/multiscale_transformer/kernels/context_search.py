"""Context memory: where the last bytes of the open document occurred before in it, newest first.

Two hash chains over the text so far (as in LZ77 compressors), one on its last 3 bytes for the low orders and one on its last 6
for the high ones, so that runs of spaces do not crowd out the long matches.
"""

# Shape suffixes: T bytes of text, H hash slots, J orders.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.jit import jit_device, jit_entry
from multiscale_transformer.kernels.memory_search import DEPTH
from multiscale_transformer.kernels.structure_keys import begins_word
from multiscale_transformer.kernels.structure_search import DocumentStructure, enter, leave, new_document_structure
from multiscale_transformer.model.memory_spec import SEPARATOR

HISTORY = 32_768  # bytes that are looked back
SHORT, LONG = 3, 6  # bytes that a chain is hashed on
CANDIDATES = 24  # occurrences of each chain that are looked at
HASH_BITS = 16

Int32s = npt.NDArray[np.int32]


class Chains(NamedTuple):
    """Text with, for each place, the one before that has the same hash (or -1), for both chains; and its structure."""

    text_T: npt.NDArray[np.uint8]
    short_heads_H: Int32s
    short_before_T: Int32s
    long_heads_H: Int32s
    long_before_T: Int32s
    structure: DocumentStructure


def new_chains(capacity: int) -> Chains:
    """Empty chains for a text of up to `capacity` bytes."""
    heads, before = (lambda: np.full(1 << HASH_BITS, -1, np.int32)), (lambda: np.empty(capacity + 1, np.int32))
    return Chains(np.zeros(capacity, np.uint8), heads(), before(), heads(), before(), new_document_structure(capacity))


@jit_entry
def clear(chains):
    """Forget every place."""
    chains.short_heads_H[:] = -1
    chains.long_heads_H[:] = -1
    chains.structure.heads_KH[:] = -1
    chains.structure.line[0] = -1


@jit_device
def _slot(value):
    return np.int64((value * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(64 - HASH_BITS))


@jit_device
def roll(text_T, end):
    """The last LONG bytes before `end` as one number."""
    value = np.uint64(0)
    for at in range(max(0, end - LONG), end):
        value = (value << np.uint64(8)) | np.uint64(text_T[at])
    return value


@jit_device
def remember(chains, end, recent, structural):
    """Enter the place `end` (the byte that will be written there comes next) under the bytes before it, `roll` of them.

    `structural` also enters it under its keys of structure, if a word may begin there.
    """
    at = _slot(recent & np.uint64((1 << (8 * SHORT)) - 1))
    chains.short_before_T[end] = chains.short_heads_H[at]
    chains.short_heads_H[at] = end
    at = _slot(recent & np.uint64((1 << (8 * LONG)) - 1))
    chains.long_before_T[end] = chains.long_heads_H[at]
    chains.long_heads_H[at] = end
    if structural and begins_word(chains.text_T, end):
        enter(chains.structure, chains.text_T, end)


@jit_device
def forget_place(chains, end):
    """Take back the newest `remember`, of `end`."""
    if begins_word(chains.text_T, end):
        leave(chains.structure, end)
    recent = roll(chains.text_T, end)
    chains.short_heads_H[_slot(recent & np.uint64((1 << (8 * SHORT)) - 1))] = chains.short_before_T[end]
    chains.long_heads_H[_slot(recent & np.uint64((1 << (8 * LONG)) - 1))] = chains.long_before_T[end]


@jit_device
def common(text_T, place, end):
    """How many bytes before `place` and `end` agree, up to DEPTH; a separator agrees with nothing."""
    length = 0
    while length < DEPTH:
        byte = text_T[end - 1 - length]
        if byte == SEPARATOR or text_T[place - 1 - length] != byte:
            break
        length += 1
    return length
