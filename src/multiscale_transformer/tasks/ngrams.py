"""A byte n-gram model: the baseline that a language model has to beat where candidates are ordered by likelihood."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from multiscale_transformer.tasks.source_text import Edit

ORDERS = (2, 4, 7)  # bytes that predict the next one
UNSEEN = 1.0  # how much of each order's probability the lower ones keep, in counts


class Ngrams:
    """Counts of the byte after every run of so many bytes; higher orders are mixed with lower ones (Witten and Bell 1991)."""

    def __init__(self, text: bytes) -> None:
        self._counts: dict[int, dict[bytes, Counter[int]]] = {order: defaultdict(Counter) for order in ORDERS}
        for order, counts in self._counts.items():
            for at in range(order, len(text)):
                counts[text[at - order : at]][text[at]] += 1

    def log_probability(self, before: bytes, text: bytes) -> float:
        """ln P(text) behind `before`."""
        whole, total = before + text, 0.0
        for at in range(len(before), len(whole)):
            p = 1 / 256
            for order in ORDERS:
                seen = self._counts[order].get(whole[max(0, at - order) : at])
                if seen:
                    count = seen.total()
                    keep = UNSEEN * len(seen)
                    p = (seen[whole[at]] + keep * p) / (count + keep)
            total += math.log(p)
        return total

    def gains(self, text: str, edits: Sequence[Edit]) -> list[float]:
        """For each edit how much likelier its line and the bytes behind it are than those that are there, in nats."""
        found = []
        for edit in edits:
            begin, end = edit.whole_lines(text)
            before, behind = text[:begin].encode(), text[end : end + max(ORDERS)].encode()
            now, then = (part.encode() + behind for part in (text[begin:end], edit.within(text, begin, end)))
            found.append(self.log_probability(before, then) - self.log_probability(before, now))
        return found
