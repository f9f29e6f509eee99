"""Writing through the cache is writing without it, and what is drawn is what `Sampler` draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from model.test_rule_of_time import SHAPES, lively
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.generate import Sampling, stream_ids
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.sampling import NEVER_DRAWN, RECENT, Logits, SampledToken, Sampler
from multiscale_transformer.model.vocabulary import BOS, EOS, VOCAB_SIZE
from multiscale_transformer.model.window import window_start
from tiny import Scripted

SHORT = ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=1, max_seq_len=17)
ALLOWED = [index for index in range(VOCAB_SIZE) if index not in NEVER_DRAWN]


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
    window = ids[window_start(len(ids), 17) :]
    for drawn in stream_ids(model, ids.copy(), Sampling(max_new_tokens=50, temperature=0.0)):
        assert drawn == best_without_cache(model, window)
        ids.append(drawn)
        window = ids[window_start(len(ids), 17, full=True) :] if len(window) == 17 else [*window, drawn]
        assert len(window) <= 17
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


@pytest.mark.parametrize("prompt_length", [1, 9])
def test_what_is_written_is_what_the_sampler_draws_from_the_logits(prompt_length: int) -> None:
    model = lively(SHORT, torch.float64)
    ids = [BOS, *range(60, 100)][:prompt_length]
    sampling = Sampling(
        max_new_tokens=17 - prompt_length,
        temperature=2.0,
        top_k=90,
        top_p=0.9,
        repetition_penalty=1.3,
        frequency_penalty=0.4,
        seed=5,
    )
    sampler = Sampler(sampling, ids)
    for drawn in stream_ids(model, ids.copy(), sampling):
        with torch.inference_mode():
            logits_V = model(torch.tensor([ids]))[0, -1].numpy()
        assert drawn == sampler.draw(logits_V).id
        ids.append(drawn)
    assert len(ids) > prompt_length


def test_the_penalty_is_told_of_the_recent_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[int]] = []
    draw = Sampler.draw

    def spy(sampler: Sampler, logits_V: Logits) -> SampledToken:
        told.append(list(sampler.recent))
        return draw(sampler, logits_V)

    monkeypatch.setattr(Sampler, "draw", spy)
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
    assert model.generate(torch.tensor(prompt), max_new_tokens=9, seed=0).tolist() == wanted
    assert model.generate(torch.tensor([prompt]), max_new_tokens=9, seed=0).tolist() == [wanted]
    assert model.generate(tuple(prompt), max_new_tokens=9, seed=0) == wanted


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="begin with BOS"):
        lively(SHORT).generate([])
