"""How a byte is drawn: each setting is checked against its definition, and the draws against the distribution."""

from __future__ import annotations

import math
import subprocess
import sys
import timeit
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

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


@pytest.mark.parametrize(
    "asked",
    [
        {"temperature": 1.0},
        {"temperature": 1.7, "top_k": 20},
        {"temperature": 0.8, "top_p": 0.9},
        {"temperature": 1.3, "min_p": 0.1, "logit_bias": {65: 4.0}},
    ],
)
def test_draws_follow_the_distribution(asked: dict[str, Any]) -> None:
    logits_V, count = some_logits(1, scale=1.0), 20_000
    sampler = Sampler(Sampling(seed=11, **asked), [BOS])
    expected_V = sampler.probabilities(logits_V) * count
    seen_V = np.bincount([sampler.draw(logits_V).id for _ in range(count)], minlength=VOCAB_SIZE)
    assert not seen_V[expected_V == 0].any()
    common = expected_V >= 5
    seen = np.append(seen_V[common], seen_V[~common].sum())
    expected = np.append(expected_V[common], expected_V[~common].sum())
    freedom = int((expected > 0).sum()) - 1
    chi_square = float(((seen - expected) ** 2 / np.maximum(expected, 1e-9)).sum())
    assert freedom > 10
    assert abs(chi_square - freedom) < 4 * math.sqrt(2 * freedom)  # neither far from it nor suspiciously near


@given(seed=seeds, asked=st.sampled_from([{}, {"top_p": 0.7}, {"top_k": 5}]), masked=st.booleans())
def test_the_draw_is_where_the_uniform_number_falls(seed: int, asked: dict[str, Any], masked: bool) -> None:
    sampler = Sampler(Sampling(temperature=1.5, seed=seed, **asked), [BOS])
    allowed_V = only(*range(0, VOCAB_SIZE, 3)) if masked else None
    for index in range(4):
        logits_V = some_logits(seed + index)
        chances_V, uniform = sampler.probabilities(logits_V, allowed_V), sampler.uniform(index)
        drawn = sampler.draw(logits_V, allowed_V).id
        assert chances_V[:drawn].sum() - 1e-12 <= uniform <= chances_V[: drawn + 1].sum() + 1e-12
        assert sampler.count == index + 1


@pytest.mark.parametrize(("uniform", "wanted"), [(0.0, 3), (1 - 2**-53, 250)])
def test_the_ends_of_the_unit_interval_draw_what_has_a_chance(
    uniform: float, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sampler, "uniform", lambda *_: uniform)
    allowed = range(3, 251)
    for seed in range(50):
        assert Sampler(Sampling(temperature=1.0), [BOS]).draw(some_logits(seed), only(*allowed)).id == wanted


@given(seed=st.integers(-(2**63), 2**64 - 1), order=st.lists(st.integers(0, 300), max_size=8))
def test_uniform_numbers_depend_on_seed_and_index_only(seed: int, order: list[int]) -> None:
    sequence = [Sampler(Sampling(seed=seed)).uniform(index) for index in order]
    sampler = Sampler(Sampling(seed=seed))
    assert [sampler.uniform(index) for index in order] == sequence
    assert all(0.0 <= value < 1.0 for value in sequence)


def test_uniform_numbers_are_those_of_philox_and_never_repeat() -> None:
    sampler = Sampler(Sampling(seed=7))
    values = [sampler.uniform(index) for index in range(5000)]
    assert values[:64] == np.random.Generator(np.random.Philox(key=7)).random(64).tolist()
    assert len(set(values)) == 5000
    assert abs(np.mean(values) - 0.5) < 5 * math.sqrt(1 / 12 / 5000)


@settings(max_examples=25)
@given(seed=seeds, earlier=st.integers(0, 70), data=st.data())
def test_a_draw_does_not_depend_on_what_was_drawn_before(seed: int, earlier: int, data: st.DataObject) -> None:
    left, right = (Sampler(Sampling(temperature=1.0, seed=seed), [BOS]) for _ in range(2))
    for _ in range(earlier):
        left.draw(some_logits(1))
        right.draw(some_logits(2), only(*range(65, 91)))
        for _ in range(data.draw(st.integers(0, 1))):
            right.probabilities(some_logits(3))  # what an engine looks at and throws away
            right.uniform(data.draw(st.integers(0, 1000)))
    assert left.draw(some_logits(seed))[:1] == right.draw(some_logits(seed))[:1]


def test_a_refused_draw_and_a_look_leave_no_trace() -> None:
    asked = Sampling(temperature=1.0, repetition_penalty=1.5, presence_penalty=1.0, seed=3)
    calm, disturbed = Sampler(asked, [BOS]), Sampler(asked, [BOS])
    for index in range(30):
        with pytest.raises(AxlError):
            disturbed.draw(some_logits(index), only())
        disturbed.probabilities(some_logits(index + 1))
        assert calm.draw(some_logits(index)).id == disturbed.draw(some_logits(index)).id


def test_without_a_seed_every_text_is_another() -> None:
    texts = set()
    for _ in range(4):
        sampler = Sampler(Sampling(temperature=2.0), [BOS])
        texts.add(tuple(sampler.draw(some_logits(0)).id for _ in range(16)))
    assert len(texts) == 4


@given(
    seed=seeds,
    most=st.integers(0, 20),
    temperature=st.sampled_from([0.0, 0.5, 2.0]),
    masked=st.booleans(),
    scale=st.floats(0.01, 1000.0),
)
def test_logprobs_are_those_of_the_model_whatever_is_asked_for(
    seed: int, most: int, temperature: float, masked: bool, scale: float
) -> None:
    logits_V = some_logits(seed, scale)
    asked = Sampling(
        temperature=temperature,
        logprobs=most,
        top_k=9,
        frequency_penalty=1.0,
        repetition_penalty=1.2,
        logit_bias={66: 5.0},
        seed=seed,
    )
    sampler = Sampler(asked, [BOS, 65])
    model_V = logits_V.astype(np.float64) - np.logaddexp.reduce(logits_V.astype(np.float64))
    for _ in range(3):
        drawn = sampler.draw(logits_V, only(65, 66, 67) if masked else None)
        assert drawn.logprob == pytest.approx(model_V[drawn.id], abs=1e-9)
        assert [index for index, _ in drawn.top] == np.argsort(-model_V)[:most].tolist()
        np.testing.assert_allclose([value for _, value in drawn.top], np.sort(model_V)[::-1][:most], atol=1e-9)


@given(seed=seeds)
def test_logprobs_of_equals_come_by_id(seed: int) -> None:
    logits_V = np.random.default_rng(seed).integers(0, 6, VOCAB_SIZE).astype(np.float32)
    top = Sampler(Sampling(logprobs=20, seed=seed)).draw(logits_V).top
    assert list(top) == sorted(top, key=lambda pair: (-pair[1], pair[0]))
    assert [index for index, _ in top] == sorted(range(VOCAB_SIZE), key=lambda index: (-logits_V[index], index))[:20]


def test_logprobs_come_only_where_they_are_asked_for() -> None:
    even_V = np.zeros(VOCAB_SIZE, np.float32)
    drawn = Sampler(Sampling(temperature=0.0, logprobs=3)).draw(even_V)
    assert drawn.top == tuple((index, pytest.approx(-math.log(VOCAB_SIZE))) for index in range(3))
    without = Sampler(Sampling(temperature=0.0)).draw(even_V)
    assert math.isnan(without.logprob)
    assert without.top == ()


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": float("inf")},
        {"presence_penalty": 2.1},
        {"frequency_penalty": -2.1},
        {"frequency_penalty": float("nan")},
        {"logit_bias": {258: 1.0}},
        {"logit_bias": {-1: 1.0}},
        {"logit_bias": {1: float("nan")}},
        {"logprobs": 21},
        {"logprobs": -1},
        {"max_new_tokens": -1},
        {"seed": 2**64},
        {"stop": (b"x", b"")},
        {"temprature": 1.0},
    ],
)
def test_bad_arguments_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        Sampling(**bad)


def test_biases_are_cut_off_at_a_hundred_and_may_come_as_json() -> None:
    assert Sampling(logit_bias={0: 1e9, 257: -1e9, 3: 1.5}).logit_bias == {0: 100.0, 257: -100.0, 3: 1.5}
    assert Sampling.model_validate_json('{"logit_bias": {"65": -5}}').logit_bias == {65: -5.0}


def test_the_greedy_choice_costs_little_more_than_an_argmax() -> None:
    sampler, logits_V = Sampler(Sampling(temperature=0.0), [BOS]), some_logits(0)
    seconds = min(timeit.repeat(lambda: sampler.draw(logits_V), number=1000, repeat=5)) / 1000
    assert seconds < 50e-6  # 3 us on an idle machine


def test_no_pytorch_is_needed() -> None:
    code = "import sys, multiscale_transformer.model.sampling; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
