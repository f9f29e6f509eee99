"""What is drawn from a distribution, how likely the model held it to be, and which settings are refused."""

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

from model.test_sampling import only, seeds, some_logits
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.sampling import Sampler, Sampling
from multiscale_transformer.model.vocabulary import BOS, VOCAB_SIZE


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
    drawing, choosing = (
        min(timeit.repeat(step, number=1000, repeat=5))
        for step in (lambda: sampler.draw(logits_V), lambda: np.argmax(logits_V))
    )
    assert drawing < 20 * choosing


def test_no_pytorch_is_needed() -> None:
    code = "import sys, multiscale_transformer.model.sampling; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
