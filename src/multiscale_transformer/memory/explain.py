"""Where a completion comes from: the files that hold what was written, and what is long and exact enough to be a copy.

The completion is covered from its end with the longest matches that begin or end in it. A match is found by backward search up
to its depth, and then followed in the text of the file for as long as it goes on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.search import DEPTH, REMOVED, extend, new_search, restart

LEAST = 12  # bytes that a match must have to be worth naming: shorter ones are everywhere
COPY = 100  # bytes of a completion, all as in one file, that make it a copy
PLACES = 32  # files that are tried for the longest continuation of a match
_HEADER_LINES = 40
_LICENCE = re.compile(rb"SPDX-License-Identifier|copyright|licen[sc]e", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """Bytes `begin` to `end` of a completion stand in the document `name` from `line` on, `length` bytes with what is before.

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


def sources(memory: CorpusMemory, prompt: bytes, completion: bytes) -> list[Source]:
    """The parts of `completion` that stand in documents of `memory`, in order.

    Raises AxlError when the texts of an index are damaged.
    """
    text, first = prompt + completion, len(prompt)
    matches = _matches(memory, text, first)
    found: list[Source] = []
    end = len(text)
    while end > first:
        depth, shard, rows = matches[end - first - 1]
        source = _longest(memory, text, first, end, shard, rows) if depth >= min(LEAST, end) else None
        if source is None or source.length < LEAST:
            end -= 1
            continue
        found.append(source)
        end = first + source.begin
    return found[::-1]


def _matches(memory: CorpusMemory, text: bytes, first: int) -> list[tuple[int, int, Sequence[int]]]:
    """For each place of the completion: the depth of the longest match that ends there, its shard, and some of its rows."""
    rows, search = memory.rows, new_search(len(memory.shards))
    restart(rows, search)
    begin = max(0, first - DEPTH - 1)
    matches: list[tuple[int, int, Sequence[int]]] = []
    for at in range(begin, len(text)):
        extend(rows, search, text[at])
        if at < first:
            continue
        shard = int(np.argmax(search.depths_S)) if len(search.depths_S) else 0
        depth = int(search.depths_S[shard]) if len(search.depths_S) else 0
        low, high = map(int, search.ranges_SK2[shard, depth]) if depth else (0, 0)
        matches.append((depth, shard, range(low, high, max(1, (high - low) // PLACES))))
    return matches


def _longest(memory: CorpusMemory, text: bytes, first: int, end: int, number: int, rows: Sequence[int]) -> Source | None:
    """The document among those of `rows` in which the match that ends at `end` is longest."""
    shard, best = memory.shards[number], None
    for row in rows:
        if len(memory.rows.documents_N) and memory.rows.documents_N[memory.rows.first_rows[number] + row] == REMOVED:
            continue
        document, offset = shard.place(row)
        content = shard.text(document)
        length = _agreeing(content, offset, text, end)
        if best is None or length > best[0]:
            best = (length, document, offset, content)
    if best is None:
        return None
    length, document, offset, content = best
    begin = max(first, end - length)
    copied = end - begin >= COPY
    line = content.count(b"\n", 0, offset - (end - begin)) + 1
    return Source(begin - first, end - first, shard.names[document], line, length, copied, _licence(content) if copied else "")


def _agreeing(content: bytes, offset: int, text: bytes, end: int) -> int:
    """How many bytes before `offset` of a document and before `end` of the text agree."""
    length = 0
    while length < min(offset, end) and content[offset - 1 - length] == text[end - 1 - length]:
        length += 1
    return length


def _licence(content: bytes) -> str:
    """The first line near the head of a file that speaks of a licence or a copyright."""
    for line in content.split(b"\n", _HEADER_LINES)[:_HEADER_LINES]:
        if _LICENCE.search(line):
            return line.decode("utf-8", "replace").strip(" \t\r#/*-;")[:120]
    return ""
