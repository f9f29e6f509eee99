"""pass@k: the estimator is the mean over all ways to choose k programs, and intervals hold what they are of."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.pass_at_k import Z, pass_at_k, rate, wilson


@st.composite
def drawn(draw: st.DrawFn) -> tuple[int, int, int]:
    tries = draw(st.integers(1, 9))
    return tries, draw(st.integers(0, tries)), draw(st.integers(1, tries))


@given(drawn())
def test_the_estimate_is_the_share_of_all_choices_of_k_that_hold_a_right_one(case: tuple[int, int, int]) -> None:
    tries, passed, k = case
    choices = list(itertools.combinations([True] * passed + [False] * (tries - passed), k))
    assert pass_at_k(tries, passed, k) == pytest.approx(sum(map(any, choices)) / len(choices))


@given(st.integers(1, 2000), st.data())
def test_large_counts_agree_with_binomials_and_grow_with_k(tries: int, data: st.DataObject) -> None:
    passed = data.draw(st.integers(0, tries))
    k = data.draw(st.integers(1, tries))
    exact = 1 - math.comb(tries - passed, k) / math.comb(tries, k)
    assert pass_at_k(tries, passed, k) == pytest.approx(exact, abs=1e-9)
    assert pass_at_k(tries, passed, 1) == pytest.approx(passed / tries)
    assert pass_at_k(tries, passed, k) >= pass_at_k(tries, passed, 1) - 1e-12


@pytest.mark.parametrize(("tries", "passed", "k"), [(2, 0, 3), (2, 3, 1), (2, -1, 1), (2, 1, 0)])
def test_what_cannot_be_estimated_is_refused(tries: int, passed: int, k: int) -> None:
    with pytest.raises(AxlError):
        pass_at_k(tries, passed, k)


@given(st.integers(1, 400), st.data())
def test_the_ends_of_wilsons_interval_are_shares_that_are_just_believable(total: int, data: st.DataObject) -> None:
    """Each end p solves (share - p)^2 = z^2 p (1 - p) / n."""
    passed = data.draw(st.integers(0, total))
    low, high = wilson(passed, total)
    assert 0 <= low <= passed / total <= high <= 1
    for end in (low, high):
        assert (passed / total - end) ** 2 == pytest.approx(Z * Z * end * (1 - end) / total, abs=1e-9)


def test_a_zero_has_an_upper_bound() -> None:
    found = rate([0.0] * 164)
    assert (found.mean, found.low, found.problems) == (0.0, 0.0, 164)
    assert 0.022 < found.high < 0.024
    assert rate([1.0] * 164).low == pytest.approx(1 - found.high)


def test_shares_get_a_bootstrap_over_problems() -> None:
    values = np.random.default_rng(1).beta(1, 4, size=200).tolist()
    found = rate(values)
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.high - found.low == pytest.approx(2 * Z * error, rel=0.1)
    assert found.low < found.mean < found.high
    assert rate(values) == found
    with pytest.raises(AxlError, match="no problem"):
        rate([])
