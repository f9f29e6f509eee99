"""How a byte is drawn, and that writing through the cache is writing without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from model.test_rule_of_time import SHAPES, lively
from multiscale_transformer.model import generate
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.generate import NEVER_DRAWN, RECENT, Sampling, probabilities, stream_ids
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.vocabulary import BOS, EOS, VOCAB_SIZE
from tiny import Scripted

SHORT = ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=1, max_seq_len=17)
ALLOWED = [index for index in range(VOCAB_SIZE) if index not in NEVER_DRAWN]

seeds = st.integers(0, 2**32)
recents = st.lists(st.integers(0, 255), max_size=RECENT)


def some_logits(seed: int, scale: float = 3.0) -> Tensor:
    """Logits of which no two are equal."""
    return torch.randn(VOCAB_SIZE, generator=torch.Generator().manual_seed(seed)) * scale


def plain(logits_V: Tensor, temperature: float = 1.0) -> Tensor:
    """The distribution without any cutting."""
    chances_V = torch.zeros(VOCAB_SIZE, dtype=torch.float64)
    chances_V[ALLOWED] = (logits_V[ALLOWED].double() / temperature).softmax(-1)
    return chances_V


@given(
    seed=seeds,
    scale=st.floats(0.0, 1e4),
    temperature=st.floats(0.0, 1e300),
    top_k=st.integers(0, 300),
    top_p=st.floats(0.0, 1.0, exclude_min=True),
    penalty=st.floats(0.01, 100.0),
    recent=recents,
)
def test_whatever_is_asked_for_it_is_a_distribution_without_marks(
    seed: int, scale: float, temperature: float, top_k: int, top_p: float, penalty: float, recent: list[int]
) -> None:
    logits_V = some_logits(seed, scale)
    before = logits_V.clone()
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=penalty)
    chances_V = probabilities(logits_V, sampling, recent)
    assert (chances_V >= 0).all()
    assert float(chances_V.sum()) == pytest.approx(1.0, abs=1e-12)
    assert chances_V[list(NEVER_DRAWN)].tolist() == [0.0] * len(NEVER_DRAWN)
    assert torch.equal(logits_V, before)


@given(seed=seeds, temperature=st.floats(0.05, 20.0))
def test_temperature_divides_the_logits(seed: int, temperature: float) -> None:
    chances_V = probabilities(some_logits(seed), Sampling(temperature=temperature))
    torch.testing.assert_close(chances_V, plain(some_logits(seed), temperature))


@given(seed=seeds, recent=recents, penalty=st.floats(0.5, 2.0))
def test_temperature_zero_is_the_best_and_a_tiny_one_too(seed: int, recent: list[int], penalty: float) -> None:
    logits_V = some_logits(seed)
    logits_V[BOS] = 1e9
    for temperature in (0.0, 5e-324, 1e-200):
        chances_V = probabilities(logits_V, Sampling(temperature=temperature, repetition_penalty=penalty), recent)
        assert chances_V.max() == 1.0
        if penalty == 1.0 or not recent:
            assert int(chances_V.argmax()) == ALLOWED[int(logits_V[ALLOWED].argmax())]


@given(seed=seeds, top_k=st.integers(1, 300))
def test_top_k_keeps_the_k_best_in_their_proportions(seed: int, top_k: int) -> None:
    whole_V = plain(some_logits(seed))
    chances_V = probabilities(some_logits(seed), Sampling(temperature=1.0, top_k=top_k))
    best = whole_V.argsort(descending=True)[: min(top_k, len(ALLOWED))]
    expected_V = torch.zeros_like(whole_V)
    expected_V[best] = whole_V[best] / whole_V[best].sum()
    torch.testing.assert_close(chances_V, expected_V)


@given(seed=seeds, top_p=st.floats(0.001, 1.0))
def test_top_p_keeps_the_fewest_best_that_reach_p(seed: int, top_p: float) -> None:
    whole_V = plain(some_logits(seed))
    kept = probabilities(some_logits(seed), Sampling(temperature=1.0, top_p=top_p)) > 0
    assert float(whole_V[kept].min()) >= float(whole_V[~kept].max())
    assert float(whole_V[kept].sum()) >= top_p - 1e-9
    assert float(whole_V[kept].sum() - whole_V[kept].min()) < top_p


@given(seed=seeds, recent=st.lists(st.integers(0, 255), min_size=1, max_size=RECENT), penalty=st.floats(1.0, 10.0))
def test_the_penalty_makes_what_was_seen_rarer_and_nothing_else(seed: int, recent: list[int], penalty: float) -> None:
    seen = [index for index in ALLOWED if index in recent]
    unseen = [index for index in ALLOWED if index not in recent]
    before_V = plain(some_logits(seed))
    after_V = probabilities(some_logits(seed), Sampling(temperature=1.0, repetition_penalty=penalty), recent)
    torch.testing.assert_close(after_V[unseen] / after_V[EOS], before_V[unseen] / before_V[EOS])
    assert (after_V[seen] / after_V[EOS] <= before_V[seen] / before_V[EOS] * (1 + 1e-9)).all()
    if penalty == 2.0:
        logits_V = some_logits(seed).double()[seen]
        expected = (torch.where(logits_V > 0, logits_V / 2, logits_V * 2) - some_logits(seed).double()[EOS]).exp()
        torch.testing.assert_close(after_V[seen] / after_V[EOS], expected)


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": float("inf")},
        {"max_new_tokens": -1},
        {"seed": 2**64},
        {"stop": (b"x", b"")},
        {"temprature": 1.0},
    ],
)
def test_bad_arguments_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        Sampling(**bad)


@pytest.mark.parametrize("seed", [-(2**63), -1, 0, 2**64 - 1])
def test_every_allowed_seed_works(seed: int) -> None:
    assert len(list(stream_ids(lively(SHORT), [BOS], Sampling(max_new_tokens=2, seed=seed)))) <= 2


def best_without_cache(model: MultiScaleTransformer, ids: Sequence[int]) -> int:
    with torch.inference_mode():
        logits_V = model(torch.tensor([list(ids)]))[0, -1]
    return ALLOWED[int(logits_V[ALLOWED].argmax())]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_greedy_through_the_cache_is_greedy_from_scratch(shape: str, dtype: torch.dtype) -> None:
    model = lively(SHAPES[shape], dtype)
    ids = [BOS, *b"def f"]
    for drawn in stream_ids(model, ids.copy(), Sampling(max_new_tokens=30, temperature=0.0)):
        assert drawn == best_without_cache(model, ids)
        ids.append(drawn)
    assert len(ids) > 6


@pytest.mark.parametrize("prompt_length", [1, 16, 17, 18, 40])
def test_past_the_context_the_newer_half_is_read_again(prompt_length: int) -> None:
    model = lively(SHORT, torch.float64)
    model.embedding.weight.data[EOS] = 0.0  # never the best, so that the writing goes on
    ids = [BOS, *range(40)][:prompt_length]
    window = ids[-17:]
    for drawn in stream_ids(model, ids.copy(), Sampling(max_new_tokens=50, temperature=0.0)):
        assert drawn == best_without_cache(model, window)
        ids.append(drawn)
        window = ids[-8:] if len(window) == 17 else [*window, drawn]
    assert len(ids) == prompt_length + 50


def test_the_cache_never_outgrows_the_context_and_nothing_is_computed_in_vain() -> None:
    model = Scripted([65], 1, SHORT)
    assert len(list(stream_ids(model, [BOS] * 3, Sampling(max_new_tokens=40)))) == 40  # type: ignore[arg-type]
    assert max(model.reached) == SHORT.max_seq_len
    assert len(model.calls) == 40
    idle = Scripted([65], 1)
    assert list(stream_ids(idle, [BOS], Sampling(max_new_tokens=0))) == []  # type: ignore[arg-type]
    assert idle.calls == []


def test_eos_and_stop_texts_end_the_stream_and_are_part_of_it() -> None:
    def written(script: list[int], **sampling: Any) -> list[int]:
        return list(stream_ids(Scripted(script, 1), [BOS], Sampling(temperature=0.0, **sampling)))  # type: ignore[arg-type]

    text = list(b"one\ntwo\nthree\n")
    assert written([*text, EOS, 65]) == [*text, EOS]
    assert written([*text, EOS], stop=(b"\nthree", b"\ntwo")) == list(b"one\ntwo")
    assert written([*text, EOS], stop=(b"four",), max_new_tokens=5) == text[:5]


def test_a_stop_text_in_the_prompt_or_across_its_end_is_none() -> None:
    script = Scripted([*b"ab"], 1)
    assert list(stream_ids(script, [*b"ab"], Sampling(max_new_tokens=4, temperature=0.0, stop=(b"ba",)))) == [*b"aba"]  # type: ignore[arg-type]


def test_the_same_seed_draws_the_same_ids_and_leaves_the_global_generator_alone() -> None:
    model = lively(SHORT)

    def drawn(seed: int | None) -> list[int]:
        return model.generate([BOS], max_new_tokens=24, temperature=3.0, seed=seed)

    state = torch.get_rng_state()
    assert drawn(7) == drawn(7)
    assert len({tuple(drawn(seed)) for seed in (1, 2, None, None)}) == 4
    assert torch.equal(torch.get_rng_state(), state)


def test_the_penalty_is_told_of_the_recent_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[int]] = []

    def spy(logits_V: Tensor, sampling: Sampling, recent: Sequence[int]) -> Tensor:
        told.append(list(recent))
        return probabilities(logits_V, sampling, recent)

    monkeypatch.setattr(generate, "probabilities", spy)
    prompt = [BOS, *range(RECENT)]
    ids = lively(SHORT).generate(prompt, max_new_tokens=4, temperature=0.0)
    assert told == [[i for i in ids[:end] if i != BOS][-RECENT:] for end in range(len(prompt), len(prompt) + len(told))]
    assert len(told) > 1


def test_generate_takes_lists_and_tensors_and_gives_prompt_and_continuation() -> None:
    model, prompt = lively(SHORT), [BOS, *b"import "]
    wanted = model.generate(prompt, max_new_tokens=9, seed=0)
    assert wanted[:8] == prompt
    assert 8 < len(wanted) <= 17
    assert wanted[8:] == list(stream_ids(model, prompt, Sampling(max_new_tokens=9, seed=0)))
    assert model.generate(torch.tensor(prompt), max_new_tokens=9, seed=0) == wanted
    assert model.generate(torch.tensor([prompt]), max_new_tokens=9, seed=0) == wanted
    assert model.generate(tuple(prompt), max_new_tokens=9, seed=0) == wanted


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="begin with BOS"):
        lively(SHORT).generate([])
