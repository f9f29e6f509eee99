"""Means, errors and verdicts: against worked numbers, and against the laws they must obey."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.statistics import difference, estimate, paired_difference, summary, verdict

figures = st.lists(st.floats(0.1, 8.0), min_size=2, max_size=6)


def test_mean_and_standard_error_of_worked_numbers():
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.count) == (2.0, 3)
    assert found.error == pytest.approx(1 / math.sqrt(3))


def test_welch_adds_the_variances_of_both_means():
    found = difference([1.0, 2.0, 3.0], [10.0, 14.0])
    assert found.mean == -10.0
    assert found.error == pytest.approx(math.sqrt(1 / 3 + 4))
    assert found.count == 2


def test_pairing_cancels_what_the_seeds_share():
    ours, theirs = [1.0, 2.0, 3.0], [1.11, 2.1, 3.09]
    paired, apart = paired_difference(ours, theirs), difference(ours, theirs)
    assert paired.mean == pytest.approx(apart.mean) == pytest.approx(-0.1)
    assert paired.error == pytest.approx(0.01 / math.sqrt(3))
    assert apart.error > 50 * paired.error
    assert "lower" in verdict("a", ours, "b", theirs, paired=True)
    assert "nothing is decided" in verdict("a", ours, "b", theirs)


@given(figures, st.floats(-5, 5))
def test_a_shift_moves_the_mean_and_leaves_the_error(values, shift):
    before, after = estimate(values), estimate([value + shift for value in values])
    assert after.mean == pytest.approx(before.mean + shift)
    assert after.error == pytest.approx(before.error, abs=1e-9)


@given(figures, figures)
def test_a_comparison_turned_round_says_the_opposite(ours, theirs):
    there, back = difference(ours, theirs), difference(theirs, ours)
    assert there.mean == -back.mean
    assert there.error == back.error
    forward, backward = verdict("a", ours, "b", theirs), verdict("b", theirs, "a", ours)
    assert ("lower" in forward) == ("higher" in backward)
    assert ("decided" in forward) == ("decided" in backward)


@given(figures, figures)
def test_the_verdict_follows_the_rule_of_two_standard_errors(ours, theirs):
    found = difference(ours, theirs)
    assume(abs(abs(found.mean) - 2 * found.error) > 1e-9)
    beyond = abs(found.mean) > 2 * found.error
    assert ("beyond 2 standard errors" in verdict("a", ours, "b", theirs).replace("not beyond", "")) == beyond


def test_formats():
    assert summary([1.229, 1.234, 1.239]) == "1.234 ± 0.003 (n=3)"
    assert summary([1.2341]) == "1.234 (n=1)"
    assert verdict("a", [1.0, 1.01], "b", [2.0, 2.01]) == ("a is lower than b by 1.000 ± 0.007: beyond 2 standard errors")


def test_one_seed_decides_nothing_and_says_so():
    assert math.isnan(estimate([1.0]).error)
    assert math.isnan(difference([1.0], [2.0, 2.1]).error)
    for theirs in ([2.0], [2.0, 2.1]):
        assert "one seed" in verdict("a", [1.0], "b", theirs)


def test_equal_figures_are_no_difference():
    assert "nothing is decided" in verdict("a", [1.0, 1.0], "b", [1.0, 1.0])


@pytest.mark.parametrize(
    "call",
    [
        lambda: estimate([]),
        lambda: summary([]),
        lambda: difference([1.0], []),
        lambda: paired_difference([1.0, 2.0], [1.0]),
    ],
)
def test_missing_figures_are_one_clear_line(call):
    with pytest.raises(AxlError) as error:
        call()
    assert "\n" not in str(error.value)
