"""The properties that make the model honest: no byte is seen before its time, however the bytes arrive."""

from __future__ import annotations

from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multiscale_transformer.model import cross_attention
from multiscale_transformer.model import model as model_module
from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.word_ends import ALWAYS, IN_WORD, KINDS, OTHER

LENGTH = 41
SHAPES = {
    "published": ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=2),
    "small": ModelConfig(d_model=32, n_heads=1, d_ff=48, n_layers_per_scale=(2, 1, 1), cross_d_ff=0),
    "two cross layers": ModelConfig(d_model=32, n_heads=4, d_ff=48, n_layers_per_scale=1, n_cross_attn_layers=2),
    "wide steps": ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=1, downsample_factors=(1, 3, 12)),
    "biased": ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=1, bias=True),
    "flat": ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=2, downsample_factors=(1,)),
    "words": ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=2, downsample_factors=(1,), word_layers=2),
    "convolution": ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=2, downsample_factors=(1,), conv_taps=5),
    "convolution, scales": ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=1, conv_taps=3),
}


def lively(config: ModelConfig, dtype: torch.dtype = torch.float32, seed: int = 0) -> MultiScaleTransformer:
    """A model without zeros: fresh output maps are zero and would hide what a path does."""
    torch.manual_seed(seed)
    model = MultiScaleTransformer(config)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * (0.2 if parameter.dim() > 1 else 1.0)
    model.compute_dtype = dtype
    return model.double().eval() if dtype == torch.float64 else model.eval()


def some_ids(length: int = LENGTH, rows: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.randint(0, 258, (rows, length), generator=torch.Generator().manual_seed(seed))


def another_of_its_kind() -> torch.Tensor:
    """For every id another one, (V,), that leaves words as they are: the same bits come from products of the same size."""
    others = torch.arange(258)
    for kind in (OTHER, IN_WORD, ALWAYS):
        ids = torch.tensor([token for token, its in enumerate(KINDS) if its == kind])
        others[ids] = ids.roll(-1)
    return others


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_changing_a_byte_leaves_every_earlier_logit_bit_identical(shape: str, dtype: torch.dtype) -> None:
    model, ids = lively(SHAPES[shape], dtype), some_ids()
    with torch.inference_mode():
        before = model(ids)
        for position in range(LENGTH):
            changed = ids.clone()
            changed[:, position] = another_of_its_kind()[changed[:, position]]
            after = model(changed)
            assert torch.equal(before[:, :position], after[:, :position])
            if dtype == torch.float32:  # bf16 may round a small effect away
                assert not torch.equal(before[:, position], after[:, position])


def test_a_leaky_rule_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above must be able to fail: a query that may read one byte too far changes earlier logits."""
    monkeypatch.setattr(
        model_module, "visible", lambda query, key: torch.searchsorted(key, query + 1, right=True).clamp(max=len(key))
    )
    model, ids = lively(SHAPES["published"]), some_ids()
    leaks = False
    with torch.inference_mode():
        before = model(ids)
        for position in range(LENGTH):
            changed = ids.clone()
            changed[:, position] = (changed[:, position] + 1) % 258
            leaks |= not torch.equal(before[:, :position], model(changed)[:, :position])
    assert leaks


@pytest.mark.parametrize("shape", SHAPES)
@given(chunks=st.lists(st.integers(1, 13), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None)
def test_results_do_not_depend_on_the_chunking(shape: str, chunks: list[int]) -> None:
    model = lively(SHAPES[shape], torch.float64)
    ids = some_ids(sum(chunks))
    cache = Cache(model.config)
    with torch.inference_mode():
        whole = model(ids)
        parts = [model(ids[:, end - size : end], cache) for size, end in zip(chunks, accumulate(chunks), strict=True)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-5)  # logits leave in fp32


@pytest.mark.parametrize("shape", SHAPES)
@given(kept=st.integers(0, 30), drafted=st.integers(1, 11), then=st.integers(1, 11))
@settings(max_examples=15, deadline=None)
def test_draft_and_roll_back_equals_never_drafted(shape: str, kept: int, drafted: int, then: int) -> None:
    model, ids, draft = lively(SHAPES[shape], torch.float64), some_ids(kept + then), some_ids(drafted, seed=2)
    cache, plain = Cache(model.config), Cache(model.config)
    with torch.inference_mode():
        if kept:
            model(ids[:, :kept], cache)
            model(ids[:, :kept], plain)
        model(draft, cache)
        cache.truncate(kept)
        assert cache.nbytes == plain.nbytes
        assert torch.equal(model(ids[:, kept:], cache), model(ids[:, kept:], plain))


def test_every_cross_scale_path_has_an_effect() -> None:
    model, ids = lively(SHAPES["published"]), some_ids()
    with torch.inference_mode():
        whole = model(ids)
        for pair, block in zip(model.config.pairs, model.cross[0], strict=True):
            kept = block.out.weight.data.clone()
            block.out.weight.data.zero_()
            assert not torch.equal(model(ids), whole), f"{pair[0]} reading {pair[1]} changes nothing"
            block.out.weight.data.copy_(kept)
        assert torch.equal(model(ids), whole)


@pytest.mark.parametrize("shape", ["published", "words"])
def test_every_parameter_carries_gradients(shape: str) -> None:
    model, ids = lively(SHAPES[shape]), some_ids()
    model(ids).square().mean().backward()
    silent = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert silent == []


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("position", [20, LENGTH - 2])
def test_logits_see_every_byte_so_far_and_none_that_follows(shape: str, position: int) -> None:
    model, ids = lively(SHAPES[shape], torch.float64), torch.randperm(256, generator=torch.Generator().manual_seed(3))
    ids = ids[None, :LENGTH]
    states, _ = model.states(ids)
    states[0, position].sum().backward()
    touched = model.embedding.weight.grad.abs().sum(1) > 0
    assert touched[ids[0, : position + 1]].all()
    assert not touched[ids[0, position + 1 :]].any()


def test_visible_counts_the_keys_whose_stamp_has_come() -> None:
    queries, keys = torch.arange(9), torch.arange(2) * 4 + 3
    assert cross_attention.visible(queries, keys).tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_the_exit_is_the_fine_stack_alone() -> None:
    """What GGUF export writes: nothing that other scales do may reach it."""
    model, ids = lively(SHAPES["published"]), some_ids()
    with torch.inference_mode():
        _, before = model.states(ids)
        for stack in list(model.stacks)[1:]:
            for parameter in stack.parameters():
                parameter.data.zero_()
        _, after = model.states(ids)
    assert torch.equal(before, after)


def test_bad_calls_are_refused() -> None:
    model, cache = lively(SHAPES["flat"]), Cache(SHAPES["flat"])
    with pytest.raises(ValueError, match="at least one byte"):
        model(some_ids(0), cache)
    with pytest.raises(ValueError, match="cannot roll back"):
        cache.truncate(1)
