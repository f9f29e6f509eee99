"""Structural contexts in plain Python: keys as tuples of what they are made of, counted from their definition."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from multiscale_transformer.kernels.memory_features import STRUCTURE_HISTORY
from multiscale_transformer.kernels.structure_keys import HEADER_LINES, LONGEST_CALL, LONGEST_WORD
from multiscale_transformer.kernels.structure_search import STRUCTURE_SAMPLES
from multiscale_transformer.model.memory_spec import CORPUS_STRUCTURES, NUM_STRUCTURES

WORD = rb"[0-9A-Za-z_\x80-\xff]"
PIECES = re.compile(rb"%s+|[^0-9A-Za-z_\x80-\xff]" % WORD, re.DOTALL)
Keys = tuple[Any, ...]


def is_word(piece: bytes) -> bool:
    return re.match(WORD, piece) is not None


def line_before(text: bytes, end: int) -> bytes:
    """The line that `end` stands in, up to there."""
    return re.split(rb"[\n\0]", text[:end])[-1]


def opening(line: bytes) -> tuple[int, bytes]:
    """Indentation and first word or mark of a line."""
    rest = line.lstrip(b" \t")
    return len(line) - len(rest), (PIECES.findall(rest) or [b""])[0]


def lines_above(text: bytes, begin: int) -> list[bytes]:
    """The lines of the document above the one that begins at `begin`, nearest first."""
    document = text[:begin].split(b"\0")[-1]
    return document.split(b"\n")[-2::-1]


def joint(pieces: Iterable[bytes]) -> bytes:
    """What stands between words, runs of one blank as one."""
    return re.sub(rb" +|\t+", b" ", b"".join(pieces))


def kind_of(word: bytes) -> bytes:
    return b"a" if word[0] > ord("9") else b"0"


def call_or_block(text: bytes, end: int, begin: int, indentation: int, above: bytes | None, count: int) -> Keys:
    """The call that the place is in, or else the block."""
    depth = commas = 0
    for at in range(end - 1, max(0, end - LONGEST_CALL), -1):
        byte = text[at : at + 1]
        if byte == b"\0":
            break
        if byte in (b")", b"]", b"}"):
            depth += 1
        elif byte in (b"(", b"[", b"{") and depth:
            depth -= 1
        elif byte in (b"(", b"[", b"{"):
            name = re.search(rb"%s{0,%d}\Z" % (WORD, LONGEST_WORD), text[:at], re.DOTALL)
            return name.group() if name else b"", byte, min(commas, 7)
        elif byte == b"," and not depth:
            commas += 1
    if not count:
        return above, 0
    headers = (opening(line) for line in lines_above(text, begin)[:HEADER_LINES] if line)
    header = next((word for less, word in headers if less < indentation), None)
    return header, min(count, 4)


def keys_at(text: bytes, end: int) -> Keys:
    """What the keys of a place are hashes of."""
    line = line_before(text, end)
    begin = end - len(line)
    pieces: list[bytes] = PIECES.findall(line)
    places = [index for index, piece in enumerate(pieces) if is_word(piece)]
    marks = [piece for piece in pieces if not is_word(piece) and piece not in (b" ", b"\t")]
    solid = [piece for piece in pieces if piece not in (b" ", b"\t")]
    indentation, first = opening(line)
    above_lines = lines_above(text, begin)
    if len(above_lines) > 1 and not above_lines[0]:
        above_lines = above_lines[1:]
    above_indentation, above = opening(above_lines[0]) if above_lines else (0, None)
    cuts = [-1, *places]
    gap = joint(pieces[cuts[-1] + 1 :])
    before_gap = joint(pieces[cuts[-2] + 1 : cuts[-1]]) if places else None
    count, mark = len(places), marks[-1] if marks else None
    first_place = places[0] if places else len(pieces)
    lead = [piece for piece in pieces[:first_place] if piece not in (b" ", b"\t")]
    skeleton = b"".join(lead) + joint(kind_of(piece) if is_word(piece) else piece for piece in pieces[first_place:])
    last_piece = (b"a" if is_word(solid[-1]) else solid[-1]) if solid else None
    return (
        (gap, pieces[places[-1]] if places else None, None if places else above),
        (before_gap, pieces[places[-2]] if count > 1 else None, gap),
        (first if places else above, mark, min(count, 3)),
        (above, (indentation > above_indentation) - (indentation < above_indentation), mark, min(count, 7)),
        skeleton,
        (*call_or_block(text, end, begin, indentation, above, count), last_piece),
    )


def begins(text: bytes, place: int) -> bool:
    return place > 0 and not is_word(text[place - 1 : place])


def written(text: bytes, end: int) -> bytes | None:
    """The word that is being written at `end`."""
    word = re.search(rb"%s*\Z" % WORD, text[:end], re.DOTALL)
    assert word is not None
    return word.group() if len(word.group()) <= LONGEST_WORD else None


def structure_counts(corpus: Sequence[bytes], text: bytes, floor: int = 1) -> list[Counter[int]]:
    """What came next, in the document from `floor` on and in the corpus, in words that began as the last one of `text`."""
    counts: list[Counter[int]] = [Counter() for _ in range(NUM_STRUCTURES + len(CORPUS_STRUCTURES))]
    end, word = len(text), written(text, len(text))
    if word is None or (begin := end - len(word)) < floor:
        return counts
    keys = keys_at(text, begin)
    seen = [0] * NUM_STRUCTURES
    for place in range(begin - 1, max(floor, end - STRUCTURE_HISTORY) - 1, -1):
        if begins(text, place):
            for kind, key in enumerate(keys_at(text, place)):
                if key == keys[kind] and seen[kind] < STRUCTURE_SAMPLES:
                    seen[kind] += 1
                    if text[place:].startswith(word):
                        counts[kind][text[place + len(word)]] += 1
    for content in corpus:
        document = b"\0" + content + b"\0"
        for place in range(1, len(document)):
            following = document[place:]
            if begins(document, place) and not following.startswith((b" ", b"\t")) and following.startswith(word):
                keys_there = keys_at(document, place)
                for order, kind in enumerate(CORPUS_STRUCTURES, NUM_STRUCTURES):
                    if keys_there[kind] == keys[kind] and place + len(word) < len(document):
                        counts[order][document[place + len(word)]] += 1
    return counts
