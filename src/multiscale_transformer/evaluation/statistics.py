"""Statistics over seeds: mean, standard error, and whether a difference is more than noise.

Every comparison of AXL uses them: 3 seeds or more, and a difference counts when it exceeds 2 of its standard errors. With one
seed nothing is known about the spread, and the verdict says so. The rule is a convention, not a proof: with 3 seeds each,
chance alone passes it in about one comparison of nine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from multiscale_transformer.errors import AxlError

BEYOND = 2.0  # standard errors that a difference must exceed


@dataclass(frozen=True)
class Estimate:
    """A mean (or a difference of means), its standard error, and how many values stand behind it.

    The error is NaN where one value cannot show a spread.
    """

    mean: float
    error: float
    count: int

    def __str__(self) -> str:
        spread = "" if math.isnan(self.error) else f" ± {self.error:.3f}"
        return f"{self.mean:.3f}{spread} (n={self.count})"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and its standard error, from the sample deviation. Raises AxlError for no values."""
    if not values:
        raise AxlError("there are no figures to average; run the measurement first")
    return Estimate(statistics.fmean(values), math.sqrt(_variance_of_mean(values)), len(values))


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """mean(ours) - mean(theirs) of independent runs with spreads of their own (Welch 1947); `count` is the smaller one."""
    a, b = estimate(ours), estimate(theirs)
    return Estimate(a.mean - b.mean, math.hypot(a.error, b.error), min(a.count, b.count))


def paired_difference(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """The mean of the differences seed by seed: what both runs of a seed share (the data they saw, the hour) cancels.

    Raises AxlError when the two do not have the same number of values.
    """
    if len(ours) != len(theirs):
        raise AxlError(f"cannot pair {len(ours)} figures with {len(theirs)}; run the missing seeds first")
    return estimate([a - b for a, b in zip(ours, theirs, strict=True)])


def summary(values: Sequence[float]) -> str:
    """A row's figure, as '1.234 ± 0.005 (n=3)', or '1.234 (n=1)'. Raises AxlError for no values."""
    return str(estimate(values))


def verdict(name: str, ours: Sequence[float], other: str, theirs: Sequence[float], *, paired: bool = False) -> str:
    """One sentence: is the figure of `name` lower or higher than that of `other` beyond 2 standard errors, or neither.

    `paired` compares seed by seed. Raises AxlError for no values, or for values that cannot be paired.
    """
    gap = paired_difference(ours, theirs) if paired else difference(ours, theirs)
    if math.isnan(gap.error):
        return f"{name} and {other} differ by {gap.mean:+.3f}; one seed shows no spread, so nothing is decided (run 3)"
    size = f"{abs(gap.mean):.3f} ± {gap.error:.3f}"
    if abs(gap.mean) > BEYOND * gap.error:
        return f"{name} is {'lower' if gap.mean < 0 else 'higher'} than {other} by {size}: beyond 2 standard errors"
    return f"{name} and {other} differ by {size}: not beyond 2 standard errors, so nothing is decided"


def _variance_of_mean(values: Sequence[float]) -> float:
    return statistics.variance(values) / len(values) if len(values) > 1 else math.nan
