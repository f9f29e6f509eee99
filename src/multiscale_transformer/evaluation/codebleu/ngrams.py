"""The two n-gram matches of CodeBLEU, over a corpus: BLEU-4, and a recall in which keywords weigh five times as much.

Counts are summed over all pairs before they are divided (Papineni et al. 2002). An order of which nothing matches counts as a
tenth of a match (method 1 of Chen & Cherry 2014), and one that has no n-gram at all is left out, so that equal texts of two
words score 1. This is not the BLEU of `tasks/bleu.py`, which is a mean over sentences of prose with another smoothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

ORDER = 4
SMOOTHING = 0.1  # matches, for an order that has none
OTHER_WEIGHT = 0.2  # of a word that is no keyword; that of a keyword is 1

Words = Sequence[str]


class NgramMatch:
    """BLEU-4 of a corpus: add pairs, then ask for the score."""

    def __init__(self) -> None:
        self._matched, self._total = [0.0] * ORDER, [0.0] * ORDER
        self._written_length = self._wanted_length = 0
        self._is_empty = True

    def add(self, references: Sequence[Words], hypothesis: Words) -> None:
        """Count one hypothesis against its references."""
        self._is_empty = self._is_empty and not hypothesis and not any(references)
        self._written_length += len(hypothesis)
        length = len(hypothesis)
        self._wanted_length += min(map(len, references), key=lambda wanted: (abs(wanted - length), wanted))
        for order in range(1, ORDER + 1):
            self._count(order, [_ngrams(words, order) for words in references], _ngrams(hypothesis, order))

    def _count(self, order: int, wanted: list[Counter[Words]], written: Counter[Words]) -> None:
        most: Counter[Words] = Counter()
        for counts in wanted:
            most |= counts
        self._matched[order - 1] += sum((written & most).values())
        self._total[order - 1] += sum(written.values())

    def _brevity(self) -> float:
        if self._written_length > self._wanted_length:
            return 1.0
        return math.exp(1 - self._wanted_length / self._written_length)

    def score(self) -> float | None:
        """From 0 to 1; None where no text holds a word."""
        if self._is_empty:
            return None
        if not self._matched[0]:
            return 0.0
        shares = [(matched or SMOOTHING) / total for matched, total in zip(self._matched, self._total, strict=True) if total]
        return self._brevity() * math.exp(math.fsum(map(math.log, shares)) / len(shares))


class WeightedNgramMatch(NgramMatch):
    """The same as a share of the references' n-grams instead of the hypotheses', with weights for words; short texts lose by
    that already, so there is no penalty for brevity.
    """

    def __init__(self, keywords: frozenset[str]) -> None:
        super().__init__()
        self._weight: Callable[[str], float] = lambda word: 1.0 if word in keywords else OTHER_WEIGHT

    def _count(self, order: int, wanted: list[Counter[Words]], written: Counter[Words]) -> None:
        for counts in wanted:
            for ngram, count in counts.items():
                weight = self._weight(ngram[0]) if order == 1 else 1.0
                self._matched[order - 1] += weight * min(count, written[ngram])
                self._total[order - 1] += weight * count

    def _brevity(self) -> float:
        return 1.0


def _ngrams(words: Words, order: int) -> Counter[Words]:
    return Counter(tuple(words[at : at + order]) for at in range(len(words) - order + 1))
