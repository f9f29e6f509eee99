"""Keys of structure: of a place in a text where a word may begin, what kind of place it is, as one hash for each kind of key.

A context of bytes ends at the first renamed identifier. These look at what stands around instead, as the word, sparse and
indirect models of PAQ do (Mahoney 2005): the words before, with or without the last one, the first word of the line, the line
above, the line with its words taken out, and the call or block that the place is in. A key depends on the text before the
place alone, and on less than a screen of it.
"""

# Shape suffixes: T bytes of text.

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.jit import jit_device
from multiscale_transformer.model.memory_spec import SEPARATOR
from multiscale_transformer.model.word_ends import IN_WORD, KINDS

LONGEST_LINE, LONGEST_WORD, LONGEST_CALL = 512, 48, 100  # bytes that are looked back
HEADER_LINES = 12  # lines above that are searched for the one that opens the block
BLANKS = (32, 9)
_SPACE, _TAB, _NEWLINE, _COMMA = 32, 9, 10, 44

# What is the same for all places of a line, in an array: where the line begins (-1: of no line yet), what stands above it, and
# the word that opened its block (-1: not searched yet).
_BEGIN, _INDENTATION_ABOVE, _ABOVE, _HEADER = range(4)

WORD_BYTES = np.frombuffer(KINDS, np.uint8)[:256] == IN_WORD
_OPENS = np.array([byte in b"([{" for byte in range(256)])
_CLOSES = np.array([byte in b")]}" for byte in range(256)])


def new_line() -> npt.NDArray[np.int64]:
    """Of no line yet."""
    return np.full(4, -1, np.int64)


@jit_device
def _mixed(value, more):
    """The hash of what `value` is the hash of, and one thing more."""
    return np.uint32((value * np.uint32(0x2C9277B5) + np.uint32(more) + np.uint32(1)) * np.uint32(0x9E3779B1))


@jit_device
def _is_blank(byte):
    return byte == _SPACE or byte == _TAB  # noqa: PLR1714 (the kernel makes no tuple)


@jit_device
def begins_word(text_T, end):
    """Whether a word may begin at `end`: no word goes on there."""
    return end == 0 or not WORD_BYTES[text_T[end - 1]]


@jit_device
def word_begin(text_T, end):
    """Where the word begins that ends at `end`, which is `end` itself between words; -1 for a word too long to be one."""
    at = end
    while at > 0 and WORD_BYTES[text_T[at - 1]]:
        if end - at == LONGEST_WORD:
            return -1
        at -= 1
    return at


@jit_device
def _line_begin(text_T, end):
    at, stop = end, max(0, end - LONGEST_LINE)
    while at > stop and text_T[at - 1] != _NEWLINE and text_T[at - 1] != SEPARATOR:
        at -= 1
    return at


@jit_device
def _first_word(text_T, begin, end):
    """Indentation of a line, and the hash of its first word, or of the mark that it begins with."""
    at = begin
    while at < end and _is_blank(text_T[at]):
        at += 1
    indentation, word = at - begin, np.uint32(7)
    if at < end and not WORD_BYTES[text_T[at]]:
        return indentation, _mixed(word, text_T[at])
    while at < end and WORD_BYTES[text_T[at]]:
        word = _mixed(word, text_T[at])
        at += 1
    return indentation, word


@jit_device
def _above(text_T, begin):
    """Indentation and first word of the line above the one that begins at `begin`; one empty line is passed over."""
    if begin == 0 or text_T[begin - 1] != _NEWLINE:
        return 0, np.uint32(3)
    end = begin - 1
    above = _line_begin(text_T, end)
    if above == end and above > 0 and text_T[above - 1] == _NEWLINE:
        end = above - 1
        above = _line_begin(text_T, end)
    return _first_word(text_T, above, end)


@jit_device
def _header(text_T, begin, indentation):
    """The first word of the nearest line above that is indented less: what opened the block."""
    end = begin - 1
    for _ in range(HEADER_LINES):
        if end <= 0 or text_T[end] == SEPARATOR:
            break
        above = _line_begin(text_T, end)
        less, word = _first_word(text_T, above, end)
        if above < end and less < indentation:
            return word
        end = above - 1
    return np.uint32(1)


@jit_device
def _call(text_T, end):
    """The word before the innermost open bracket with the bracket, and how many commas stand since; 0 if none is open."""
    depth, commas = 0, 0
    for at in range(end - 1, max(0, end - LONGEST_CALL), -1):
        byte = text_T[at]
        if byte == SEPARATOR:
            break
        if _CLOSES[byte]:
            depth += 1
        elif _OPENS[byte] and depth > 0:
            depth -= 1
        elif _OPENS[byte]:
            word, before = np.uint32(9), at
            while before > 0 and at - before < LONGEST_WORD and WORD_BYTES[text_T[before - 1]]:
                before -= 1
                word = _mixed(word, text_T[before])
            return _mixed(word, byte), commas
        elif byte == _COMMA and depth == 0:
            commas += 1
    return np.uint32(0), 0


@jit_device
def keys_at(text_T, end, line):
    """The key of each kind (`memory_spec.STRUCTURES`) of the place `end` of a text.

    `line` keeps what is the same along a line; whoever changes the text before `end` sets its first number to -1.
    """
    begin = _line_begin(text_T, end)
    indentation, first = _first_word(text_T, begin, end)
    if line[_BEGIN] != begin:
        line[_BEGIN], line[_HEADER] = begin, -1
        line[_INDENTATION_ABOVE], line[_ABOVE] = _above(text_T, begin)
    above_indentation, above = line[_INDENTATION_ABOVE], np.uint32(line[_ABOVE])
    word = last = before = np.uint32(0)
    gap = before_gap = skeleton = np.uint32(1)
    count, mark, last_byte, inside = 0, 0, 0, False
    for at in range(begin, end):
        byte = text_T[at]
        if WORD_BYTES[byte]:
            if not inside:
                before, before_gap, gap, word, inside = last, gap, np.uint32(1), np.uint32(5), True
                skeleton = _mixed(skeleton, 97 if byte > 57 else 48)
                count += 1
            word, last_byte = _mixed(word, byte), 97
            continue
        if inside:
            last, inside = word, False
        if not _is_blank(byte):
            gap, skeleton = _mixed(gap, byte), _mixed(skeleton, byte)
            mark = last_byte = byte
        elif at == begin or text_T[at - 1] != byte:
            gap = _mixed(gap, _SPACE)
            if count > 0:
                skeleton = _mixed(skeleton, _SPACE)
    call, commas = _call(text_T, end)
    if call == 0 and count > 0 and line[_HEADER] < 0:
        line[_HEADER] = _header(text_T, begin, indentation)
    if call == 0:
        call = _mixed(above if count == 0 else np.uint32(line[_HEADER]), min(count, 4) + 8)
    indented = (indentation > above_indentation) + 2 * (indentation < above_indentation)
    return (
        _mixed(_mixed(gap, last), above if count == 0 else 0),
        _mixed(_mixed(_mixed(before_gap, before), gap), 11 + min(count, 1)),
        _mixed(_mixed(above if count == 0 else first, mark), min(count, 3) + 16),
        _mixed(_mixed(_mixed(above, indented), mark), min(count, 7)),
        _mixed(skeleton, 31),
        _mixed(_mixed(_mixed(call, min(commas, 7)), last_byte), 57),
    )
