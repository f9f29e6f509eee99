"""Provenance of a completion: the indexed files that hold what was written, and what is long and exact enough to be a copy.

The completion is covered from its end with the longest matches that begin or end in it. A match is found by backward search up
to its depth, and then followed in the text of the file for as long as it goes on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.memory_search import DEPTH, follow, new_search
from multiscale_transformer.memory.lookup import CorpusMemory

MIN_MATCH = 12  # bytes that a match must have to be worth naming: shorter ones are everywhere
COPY = 100  # bytes of a completion, all as in one file, that make it a copy
PLACES = 32  # files that are tried for the longest continuation of a match
_HEADER_LINES = 40
_LICENCE = re.compile(rb"SPDX-License-Identifier|copyright|licen[sc]e", re.IGNORECASE)


@dataclass(frozen=True)
class Provenance:
    """Bytes `begin` to `end` of a completion stand in the document `name` from `line` on, `length` bytes with what is before.

    `name` begins with as much of the document's source as tells it from the other sources of the memory.
    `copied` says that so much of the completion is the same that it is a copy; `licence` is then what the head of the file says
    of its licence, or empty when it says nothing.
    """

    begin: int
    end: int
    name: str
    line: int
    length: int
    copied: bool
    licence: str


class _Matches(NamedTuple):
    """For each place of the completion: the depth of the longest match that ends there, its shard, and its rows (from, to)."""

    depths_N: npt.NDArray[np.int64]
    shards_N: npt.NDArray[np.int64]
    ranges_N2: npt.NDArray[np.int64]


def provenance(memory: CorpusMemory, prompt: bytes, completion: bytes) -> list[Provenance]:
    """The parts of `completion` that stand in documents of `memory`, in order.

    Raises AxlError when the texts of an index are damaged.
    """
    text, first = prompt + completion, len(prompt)
    matches = _matches(memory, text, first)
    origins: list[Provenance] = []
    end = len(text)
    while end > first:
        deep = matches.depths_N[end - first - 1] >= min(MIN_MATCH, end)
        origin = _longest(memory, text, first, end, matches) if deep else None
        if origin is None or origin.length < MIN_MATCH:
            end -= 1
            continue
        if completion[origin.begin : origin.end].strip():  # runs of spaces stand everywhere
            origins.append(origin)
        end = first + origin.begin
    return origins[::-1]


def _matches(memory: CorpusMemory, text: bytes, first: int) -> _Matches:
    count = len(text) - first
    matches = _Matches(np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros((count, 2), np.int64))
    seen = np.frombuffer(text, np.uint8)[max(0, first - DEPTH - 1) :]
    follow(memory.corpus, new_search(len(memory.shards)), seen, len(seen) - count, *matches)
    return matches


def _longest(memory: CorpusMemory, text: bytes, first: int, end: int, matches: _Matches) -> Provenance | None:
    """The document in which the match that ends at `end` is longest."""
    number, depth = int(matches.shards_N[end - first - 1]), int(matches.depths_N[end - first - 1])
    low, high = map(int, matches.ranges_N2[end - first - 1])
    shard, best = memory.shards[number], None
    for row in range(low, high, max(1, (high - low) // PLACES)):
        document, offset = shard.place(row)
        if memory.is_removed(number, document):
            continue
        content = shard.text(document)
        length = _agreeing(content, offset, text, end)
        if best is None or length > best[0]:
            best = (length, document, offset, content)
        if depth < DEPTH:
            break  # a match that ends before the search does is as long in all of them
    if best is None:
        return None
    length, document, offset, content = best
    begin = max(first, end - length)
    copied = end - begin >= COPY
    line = content.count(b"\n", 0, offset - (end - begin)) + 1
    name = memory.shown_name(number, document)
    return Provenance(begin - first, end - first, name, line, length, copied, _licence(content) if copied else "")


def _agreeing(content: bytes, offset: int, text: bytes, end: int) -> int:
    """How many bytes before `offset` of a document and before `end` of the text agree."""
    limit = min(offset, end)
    same = np.frombuffer(content, np.uint8)[offset - limit : offset] == np.frombuffer(text, np.uint8)[end - limit : end]
    different = np.flatnonzero(~same)
    return limit if not len(different) else limit - 1 - int(different[-1])


def _licence(content: bytes) -> str:
    """The first line near the head of a file that speaks of a licence or a copyright."""
    for line in content.split(b"\n", _HEADER_LINES)[:_HEADER_LINES]:
        if _LICENCE.search(line):
            return line.decode("utf-8", "replace").strip(" \t\r#/*-;")[:120]
    return ""
