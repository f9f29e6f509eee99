"""How a byte is drawn: each setting is checked against its definition, and the draws against the distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.sampling import NEVER_DRAWN, RECENT, Floats, Logits, Mask, Sampler, Sampling
from multiscale_transformer.model.vocabulary import BOS, EOS, VOCAB_SIZE

ALLOWED = [index for index in range(VOCAB_SIZE) if index not in NEVER_DRAWN]

seeds = st.integers(0, 2**32)
recents = st.lists(st.integers(0, 255), max_size=RECENT)


def some_logits(seed: int, scale: float = 3.0) -> Logits:
    """Logits of which no two are equal."""
    return (np.random.default_rng(seed).permutation(np.linspace(-3, 3, VOCAB_SIZE)) * scale).astype(np.float32)


def softmax(logits_V: Logits) -> Floats:
    weights_V = np.exp(logits_V.astype(np.float64) - logits_V.max())
    return weights_V / weights_V.sum()


def plain(logits_V: Logits, temperature: float = 1.0) -> Floats:
    """The distribution without any cutting."""
    chances_V = np.zeros(VOCAB_SIZE)
    chances_V[ALLOWED] = softmax(logits_V[ALLOWED].astype(np.float64) / temperature)
    return chances_V


def chances(logits_V: Logits, prompt: list[int] | None = None, **sampling: Any) -> Floats:
    return Sampler(Sampling(**{"temperature": 1.0, **sampling}), prompt or [BOS]).probabilities(logits_V)


def only(*ids: int) -> Mask:
    allowed_V = np.zeros(VOCAB_SIZE, np.bool_)
    allowed_V[list(ids)] = True
    return allowed_V


@given(
    seed=seeds,
    scale=st.floats(0.01, 1e4),
    temperature=st.floats(0.0, 1e300),
    top_k=st.integers(0, 300),
    top_p=st.floats(0.0, 1.0, exclude_min=True),
    min_p=st.floats(0.0, 1.0),
    penalties=st.tuples(st.floats(0.01, 100.0), st.floats(-2.0, 2.0), st.floats(-2.0, 2.0)),
    bias=st.dictionaries(st.integers(0, VOCAB_SIZE - 1), st.floats(-200.0, 200.0)),
    recent=recents,
    allowed=st.none() | st.sets(st.integers(0, VOCAB_SIZE - 1)),
    wide=st.booleans(),
)
def test_whatever_is_asked_for_it_is_a_distribution_without_marks(
    seed: int,
    scale: float,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    penalties: tuple[float, float, float],
    bias: dict[int, float],
    recent: list[int],
    allowed: set[int] | None,
    wide: bool,
) -> None:
    logits_V = some_logits(seed, scale).astype(np.float64 if wide else np.float32)
    before_V = logits_V.copy()
    sampling = Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=penalties[0],
        presence_penalty=penalties[1],
        frequency_penalty=penalties[2],
        logit_bias=bias,
        seed=seed,
    )
    sampler = Sampler(sampling, recent)
    allowed_V = None if allowed is None else only(EOS, *allowed)
    for _ in range(3):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            chances_V = sampler.probabilities(logits_V, allowed_V)
        assert chances_V.dtype == np.float64
        assert (chances_V >= 0).all()
        assert float(chances_V.sum()) == pytest.approx(1.0, abs=1e-12)
        assert not chances_V[list(NEVER_DRAWN)].any()
        assert allowed_V is None or not chances_V[~allowed_V].any()
        assert chances_V[sampler.draw(logits_V, allowed_V).id] > 0
        assert np.array_equal(logits_V, before_V)


@given(seed=seeds, temperature=st.floats(0.05, 20.0))
def test_temperature_divides_the_logits(seed: int, temperature: float) -> None:
    logits_V = some_logits(seed)
    np.testing.assert_allclose(chances(logits_V, temperature=temperature), plain(logits_V, temperature), rtol=1e-9)


@given(seed=seeds, recent=recents, penalty=st.floats(0.5, 2.0) | st.just(1.0))
def test_temperature_zero_is_the_best_and_a_tiny_one_too(seed: int, recent: list[int], penalty: float) -> None:
    logits_V = some_logits(seed)
    logits_V[BOS] = 1e9
    for temperature in (0.0, 5e-324, 1e-200):
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            chances_V = chances(logits_V, recent, temperature=temperature, repetition_penalty=penalty)
        assert chances_V.max() == 1.0
        if penalty == 1.0 or not recent:
            assert chances_V.argmax() == ALLOWED[int(logits_V[ALLOWED].argmax())]
            assert Sampler(Sampling(temperature=temperature), [BOS]).draw(logits_V).id == chances_V.argmax()


@pytest.mark.parametrize("asked", [{}, {"frequency_penalty": 0.5}, {"logit_bias": {7: 0.0}}])
def test_of_equals_the_lowest_id_is_the_best(asked: dict[str, Any]) -> None:
    logits_V = np.zeros(VOCAB_SIZE, np.float32)
    logits_V[[0x11, 0x12, 40, 41, BOS, EOS]] = 1.0
    sampler = Sampler(Sampling(temperature=0.0, **asked), [BOS])
    assert sampler.probabilities(logits_V).argmax() == 40
    assert sampler.draw(logits_V, ~only(40)).id == 41
    assert sampler.draw(logits_V).id == 40


@given(seed=seeds, top_k=st.integers(1, 300))
def test_top_k_keeps_the_k_best_in_their_proportions(seed: int, top_k: int) -> None:
    whole_V = plain(some_logits(seed))
    best = np.argsort(-whole_V)[: min(top_k, len(ALLOWED))]
    expected_V = np.zeros(VOCAB_SIZE)
    expected_V[best] = whole_V[best] / whole_V[best].sum()
    np.testing.assert_allclose(chances(some_logits(seed), top_k=top_k), expected_V, rtol=1e-9)


@given(seed=seeds, top_p=st.floats(0.001, 1.0))
def test_top_p_keeps_the_fewest_best_that_reach_p(seed: int, top_p: float) -> None:
    whole_V = plain(some_logits(seed))
    kept = chances(some_logits(seed), top_p=top_p) > 0
    assert whole_V[kept].min() >= whole_V[~kept].max()
    assert whole_V[kept].sum() >= top_p - 1e-9
    assert whole_V[kept].sum() - whole_V[kept].min() < top_p
    np.testing.assert_allclose(chances(some_logits(seed), top_p=top_p)[kept], whole_V[kept] / whole_V[kept].sum(), rtol=1e-9)


@given(seed=seeds, min_p=st.floats(0.0, 1.0), temperature=st.floats(0.3, 3.0))
def test_min_p_drops_what_is_less_than_a_share_of_the_best(seed: int, min_p: float, temperature: float) -> None:
    whole_V = plain(some_logits(seed), temperature)
    chances_V = chances(some_logits(seed), min_p=min_p, temperature=temperature)
    kept = chances_V > 0
    assert (whole_V[kept] >= min_p * whole_V.max() * (1 - 1e-9)).all()
    assert (whole_V[~kept] <= min_p * whole_V.max() * (1 + 1e-9)).all()
    np.testing.assert_allclose(chances_V[kept], whole_V[kept] / whole_V[kept].sum(), rtol=1e-9)


@given(
    seed=seeds, recent=st.lists(st.integers(0, 255), min_size=1, max_size=RECENT), penalty=st.floats(1.0, 10.0) | st.just(2.0)
)
def test_the_penalty_makes_what_was_seen_rarer_and_nothing_else(seed: int, recent: list[int], penalty: float) -> None:
    logits_V = some_logits(seed)
    seen = [index for index in ALLOWED if index in recent]
    unseen = [index for index in ALLOWED if index not in recent]
    before_V, after_V = plain(logits_V), chances(logits_V, [*recent, *[BOS] * RECENT], repetition_penalty=penalty)
    np.testing.assert_allclose(after_V[unseen] / after_V[EOS], before_V[unseen] / before_V[EOS], rtol=1e-9)
    assert (after_V[seen] / after_V[EOS] <= before_V[seen] / before_V[EOS] * (1 + 1e-9)).all()
    if penalty == 2.0:
        kept = logits_V[seen].astype(np.float64)
        expected = np.exp(np.where(kept > 0, kept / 2, kept * 2) - logits_V[EOS])
        np.testing.assert_allclose(after_V[seen] / after_V[EOS], expected, rtol=1e-9)


def test_the_repetition_penalty_forgets_what_is_long_ago_and_learns_what_is_drawn() -> None:
    sampler = Sampler(Sampling(repetition_penalty=2.0), [7, *[65] * (RECENT - 1)])
    assert set(sampler.recent) == {7, 65}
    sampler.draw(some_logits(0), only(66))
    assert set(sampler.recent) == {65, 66}
    sampler.draw(some_logits(0), only(EOS))
    assert set(sampler.recent) == {65, 66}


@given(
    seed=seeds,
    written=st.lists(st.integers(60, 70), max_size=20),
    presence=st.floats(-2.0, 2.0),
    frequency=st.floats(-2.0, 2.0),
    bias=st.dictionaries(st.integers(60, 80), st.floats(-5.0, 5.0)),
)
def test_presence_and_frequency_are_of_what_was_written_and_the_bias_is_added(
    seed: int, written: list[int], presence: float, frequency: float, bias: dict[int, float]
) -> None:
    logits_V = some_logits(seed)
    asked = Sampling(temperature=1.0, presence_penalty=presence, frequency_penalty=frequency, logit_bias=bias, seed=seed)
    sampler = Sampler(asked, [BOS, *range(60, 90)])  # of which nothing counts
    for index in written:
        assert sampler.draw(logits_V, only(index)).id == index
    expected_V = logits_V.astype(np.float64)
    for index in range(256):
        count = written.count(index)
        expected_V[index] += bias.get(index, 0.0) - presence * (count > 0) - frequency * count
    np.testing.assert_allclose(sampler.probabilities(logits_V), plain(expected_V), rtol=1e-9)


def test_a_bias_of_a_hundred_forces_and_forbids_and_no_bias_brings_a_mark() -> None:
    logits_V = some_logits(3)
    best = int(chances(logits_V, temperature=0.0).argmax())
    assert chances(logits_V, logit_bias={best: -100})[best] < 1e-40
    assert chances(logits_V, logit_bias={9: 100})[9] == pytest.approx(1.0)
    assert chances(logits_V, logit_bias={BOS: 100, 0x11: 100})[[BOS, 0x11]].tolist() == [0.0, 0.0]
    assert chances(logits_V, logit_bias={9: 100}, temperature=0.0)[9] == 1.0
    assert Sampler(Sampling(logit_bias={9: 100}, temperature=0.0), [BOS]).draw(logits_V).id == 9


@given(seed=seeds, allowed=st.sets(st.sampled_from(ALLOWED), min_size=1))
def test_a_mask_leaves_the_proportions_of_what_it_permits(seed: int, allowed: set[int]) -> None:
    allowed_V, whole_V = only(*allowed), plain(some_logits(seed))
    sampler = Sampler(Sampling(temperature=1.0), [BOS])
    whole_V[~allowed_V] = 0.0
    np.testing.assert_allclose(sampler.probabilities(some_logits(seed), allowed_V), whole_V / whole_V.sum(), rtol=1e-9)
    assert set(np.flatnonzero(allowed_V).tolist()) == allowed  # the mask stays as it is


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_is_not_drawn_at_a_count_may_be_drawn_at_others(temperature: float) -> None:
    logits_V = np.zeros(VOCAB_SIZE, np.float32)
    logits_V[66], logits_V[65] = 200.0, 100.0
    sampler = Sampler(Sampling(temperature=temperature), [BOS], without=(1, 66))
    assert [sampler.draw(logits_V).id for _ in range(3)] == [66, 65, 66]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("nothing", [only(), only(*NEVER_DRAWN)])
def test_a_mask_that_permits_nothing_is_refused(temperature: float, nothing: Mask) -> None:
    sampler = Sampler(Sampling(temperature=temperature), [BOS])
    for call in (sampler.probabilities, sampler.draw):
        with pytest.raises(AxlError, match="permits no byte"):
            call(some_logits(0), nothing)
    assert sampler.count == 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("allowed_V", [None, only(65, 66)])
def test_logits_that_are_no_numbers_are_refused(temperature: float, bad: float, allowed_V: Mask | None) -> None:
    logits_V = some_logits(0)
    logits_V[65] = bad
    with pytest.raises(AxlError, match="not finite"):
        Sampler(Sampling(temperature=temperature), [BOS]).draw(logits_V, allowed_V)
