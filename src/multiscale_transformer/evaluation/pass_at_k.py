"""pass@k: the chance that at least one of k programs, drawn from what a model writes for a problem, passes its tests.

The estimator is the unbiased one of Chen et al. 2021 (arXiv 2107.03374). What is said of a benchmark is a mean over its
problems with a 95 % interval for other problems of the same kind: Wilson's (1927) where each problem is solved or not, which
says an upper bound for zeros too, and the percentile bootstrap over problems where each has a share.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from multiscale_transformer.errors import AxlError

Z = 1.959963984540054  # of a standard normal variable, below which 97.5 % lie
RESAMPLES = 10_000


class Rate(BaseModel):
    """A mean over `problems`, each from 0 to 1, and the ends of its 95 % interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    low: float
    high: float
    problems: int


def pass_at_k(tries: int, passed: int, k: int) -> float:
    """One problem's estimate from `tries` programs of which so many `passed`: 1 - C(tries - passed, k) / C(tries, k).

    Raises AxlError where there are fewer programs than k: there is no unbiased estimate then.
    """
    if not 0 <= passed <= tries or k < 1:
        raise AxlError(f"{passed} of {tries} programs cannot pass, or k is not 1 or more ({k})")
    if tries < k:
        raise AxlError(f"pass@{k} needs {k} programs of each problem, and there are {tries}; write more of them")
    if tries - passed < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / left for left in range(tries - passed + 1, tries + 1))


def rate(values: Sequence[float], *, seed: int = 0) -> Rate:
    """The mean of one value a problem with its interval. Raises AxlError for no values."""
    if not values:
        raise AxlError("there is no problem to average over; name a file with problems")
    if all(value in (0.0, 1.0) for value in values):
        low, high = wilson(sum(map(int, values)), len(values))
    else:
        drawn = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
        low, high = map(float, np.quantile(np.array(values)[drawn].mean(1), (0.025, 0.975)))
    return Rate(mean=statistics.fmean(values), low=low, high=high, problems=len(values))


def wilson(passed: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `passed` of `total` draws were seen (Wilson 1927)."""
    share, spread = passed / total, Z * Z / total
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return max(0.0, middle - half) if passed else 0.0, min(1.0, middle + half) if passed < total else 1.0
