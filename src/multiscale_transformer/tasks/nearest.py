"""The most alike of known texts by their words (BM25, Robertson & Zaragoza 2009): what a skill retrieves, and its rival.

Words are the parts of names, lower case, so that `read_file` and `readFile` share two.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

K1, B = 1.2, 0.75
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")


def parts_of_names(text: str) -> list[str]:
    """The words of a text as they stand in it, names taken apart at underscores and capitals."""
    return _PART.findall(text)


class Nearest:
    """Texts by their words; ones that have a word in common are found."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(texts)
        counts = [Counter(_words(text)) for text in texts]
        lengths = np.array([count.total() for count in counts], np.float64)
        norms = K1 * (1 - B + B * lengths / max(1.0, lengths.mean() if len(lengths) else 1.0))
        postings: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for number, count in enumerate(counts):
            for word, times in count.items():
                postings[word][0].append(number)
                postings[word][1].append(times)
        self._size = len(texts)
        self._weights: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]] = {}
        for word, (numbers, often) in postings.items():
            rows, frequency = np.array(numbers), np.array(often, np.float64)
            rarity = np.log1p((self._size - len(rows) + 0.5) / (len(rows) + 0.5))
            self._weights[word] = rows, rarity * frequency * (K1 + 1) / (frequency + norms[rows])

    def scores(self, text: str) -> npt.NDArray[np.float64]:
        """How alike each known text is; 0 where no word is shared."""
        scores = np.zeros(self._size)
        for word in dict.fromkeys(_words(text)):  # in one order, so that sums are the same every time
            if word in self._weights:
                rows, weights = self._weights[word]
                scores[rows] += weights
        return scores

    def likeness(self, text: str, number: int) -> float:
        """How alike a known text is, from 0 to 1, where 1 is itself."""
        own = self.scores(self._texts[number])[number]
        return min(1.0, float(self.scores(text)[number] / own)) if own else 0.0

    def best(self, text: str) -> int | None:
        """The number of the text most alike, the first of equals; None where none shares a word."""
        scores = self.scores(text)
        return int(scores.argmax()) if self._size and scores.max() > 0 else None


def _words(text: str) -> list[str]:
    return [word.lower() for word in parts_of_names(text)]
