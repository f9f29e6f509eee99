"""The memories in plain Python, counted from their definition: the oracle of the kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from memory.plain_structure import structure_counts
from multiscale_transformer.kernels.context_search import CANDIDATES, HISTORY, LONG, SHORT
from multiscale_transformer.model.memory_spec import CONTEXT_ORDERS, CORPUS_ORDERS

START = "\0"


def corpus_counts(corpus: Sequence[bytes], before: bytes, order: int) -> Counter[int]:
    """What came next (0: the end) after the last `order` bytes of `before`, which begins with a zero at a document's start."""
    counts: Counter[int] = Counter()
    context = before[-order:]
    if len(context) < order or b"\0" in context[1:]:
        return counts
    for content in corpus:
        text = b"\0" + content + b"\0"
        for end in range(1, len(text)):
            if text[max(0, end - order) : end] == context:
                counts[text[end]] += 1
    return counts


def context_places(text: bytes, width: int) -> list[tuple[int, int]]:
    """(length, next byte) of the newest occurrences of the last `width` bytes within `text`, newest first."""
    end, places = len(text), []
    for place in range(end - 1, width - 1, -1):
        if place - width < max(0, end - HISTORY) or len(places) == CANDIDATES:
            break
        length = 0
        while length < 32 and place - 1 - length >= 0 and text[place - 1 - length] == text[end - 1 - length] != 0:
            length += 1
        if length >= width:
            places.append((length, text[place]))
    return places


def context_counts(text: bytes, order: int) -> Counter[int]:
    """What came next after the last `order` bytes of `text` within it, as far as the chains look."""
    places = context_places(text, SHORT if order < LONG else LONG)
    return Counter(byte for length, byte in places if length >= order)


def all_counts(
    corpus: Sequence[bytes], text: bytes, before: bytes | None = None, floor: int | None = None
) -> list[Counter[int]]:
    """Counts of every order but the last, for the byte after `text`; `before` is the text as the corpus sees it, and the open
    document goes back to `floor` (of the text behind a zero)."""
    before = b"\0" + text if before is None else before
    of_corpus = [corpus_counts(corpus, before, order) for order in CORPUS_ORDERS]
    lengths = of_corpus + [context_counts(text, order) for order in CONTEXT_ORDERS]
    return lengths + structure_counts(corpus, b"\0" + text, 1 if floor is None else floor)
