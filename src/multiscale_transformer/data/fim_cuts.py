"""Where training text is cut for fill-in-the-middle (FIM): as editors ask, and not only at random.

An editor asks for what is missing at the cursor: the rest of a line, a part of it, a line, a block. Two uniform cuts
(Bavarian et al. 2022, arXiv 2207.14255) almost never leave such a middle, so a model that has seen only them neither knows
what is wanted nor where it ends. `MIX` says how often each kind is cut; a kind that the text has no place for becomes uniform.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Cuts = tuple[int, int]

NEWLINE, SPACE, TAB = 0x0A, 0x20, 0x09
MAX_BLOCK = 8  # lines


def rest_of_line(text: Ids, rng: np.random.Generator) -> Cuts | None:
    """From a random byte of a line to its end."""
    begin, end = _line_at(text, rng)
    return None if begin == end else (int(rng.integers(begin, end)), end)


def part_of_line(text: Ids, rng: np.random.Generator) -> Cuts | None:
    """Between two bytes of a line."""
    begin, end = _line_at(text, rng)
    if end - begin < 2:
        return None
    first, second = np.sort(rng.choice(np.arange(begin, end + 1), 2, replace=False))
    return int(first), int(second)


def whole_line(text: Ids, rng: np.random.Generator) -> Cuts | None:
    """A line behind its indentation."""
    begin, end = _line_at(text, rng)
    return None if begin == end else (begin, end)


def block(text: Ids, rng: np.random.Generator) -> Cuts | None:
    """From a line on for as long as no line is indented less, up to MAX_BLOCK lines; blank lines at the end stay outside."""
    begin, end = _line_at(text, rng)
    if begin == end:
        return None
    indentation, lines = begin - _line_begin(text, begin), int(rng.integers(2, MAX_BLOCK + 1))
    last = end
    for _ in range(lines - 1):
        if end >= len(text):
            break
        start = end + 1
        end = _line_end(text, start)
        first = start
        while first < end and text[first] in (SPACE, TAB):
            first += 1
        if first < end:
            if first - start < indentation:
                break
            last = end
    return begin, last


def uniform(text: Ids, rng: np.random.Generator) -> Cuts:
    """Two positions anywhere."""
    first, second = np.sort(rng.integers(len(text) + 1, size=2))
    return int(first), int(second)


Kind = Callable[[Ids, np.random.Generator], Cuts | None]
MIX: tuple[tuple[Kind, float], ...] = (
    (rest_of_line, 0.35),
    (part_of_line, 0.2),
    (whole_line, 0.15),
    (block, 0.15),
    (uniform, 0.15),
)


def draw_cuts(text: Ids, rng: np.random.Generator) -> Cuts:
    """Two positions with 0 <= first <= second <= len(text), by `MIX`."""
    kind = MIX[int(rng.choice(len(MIX), p=[share for _, share in MIX]))][0]
    return kind(text, rng) or uniform(text, rng)


def _line_begin(text: Ids, at: int) -> int:
    before = np.flatnonzero(text[:at] == NEWLINE)
    return int(before[-1]) + 1 if len(before) else 0


def _line_end(text: Ids, at: int) -> int:
    after = np.flatnonzero(text[at:] == NEWLINE)
    return at + int(after[0]) if len(after) else len(text)


def _line_at(text: Ids, rng: np.random.Generator) -> Cuts:
    """The line under a random byte, without its indentation and its newline; empty where it is blank or cut by the end."""
    if not len(text):
        return 0, 0
    at = int(rng.integers(len(text)))
    begin, end = _line_begin(text, at), _line_end(text, at)
    while begin < end and text[begin] in (SPACE, TAB):
        begin += 1
    return begin, end if end < len(text) else begin
