"""Smoothed BLEU-4 of one sentence against one reference, with the tokens and the smoothing of CodeXGLUE's script.

One is added to the counts of all n-grams but the words (Lin & Och 2004), to both lengths of the brevity penalty, and marks of
punctuation are tokens, so that figures stand beside those published for code-to-text (Lu et al. 2021, arXiv 2102.04664).
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable

ORDER = 4
_TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")


def bleu(written: str, wanted: str) -> float:
    """From 0 to 100; 0 where no word is shared."""
    written_tokens, wanted_tokens = (_TOKEN.findall(text.lower()) for text in (written, wanted))
    total = 0.0
    for order in range(1, ORDER + 1):
        ours, theirs = _ngrams(written_tokens, order), _ngrams(wanted_tokens, order)
        shared, smoothing = sum((ours & theirs).values()), order > 1
        if not shared + smoothing:
            return 0.0
        total += math.log((shared + smoothing) / (sum(ours.values()) + smoothing))
    brevity = min(0.0, 1 - (len(wanted_tokens) + 1) / (len(written_tokens) + 1))
    return 100 * math.exp(total / ORDER + brevity)


def mean_bleu(pairs: Iterable[tuple[str, str]]) -> float:
    """The mean over pairs of what was written and what was wanted; 0 where there is none."""
    scores = [bleu(written, wanted) for written, wanted in pairs]
    return statistics.fmean(scores) if scores else 0.0


def _ngrams(tokens: list[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[at : at + order]) for at in range(len(tokens) - order + 1))
