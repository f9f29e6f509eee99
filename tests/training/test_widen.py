"""Growth that preserves the function: the wide model says what the narrow one says, and its copies learn apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from model.test_memory_fusion import random_recall
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.memory_tensors import MemoryTensors
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.widen import expand, why_not

T = 24
FLAT = ModelConfig(d_model=16, n_heads=2, d_ff=24, n_layers_per_scale=2, downsample_factors=(1,), max_seq_len=64)
SCALES = ModelConfig(d_model=16, n_heads=2, d_ff=24, n_layers_per_scale=(2, 1, 1), n_cross_attn_layers=1, max_seq_len=64)
WORDS = FLAT.model_copy(update={"word_layers": 2})
GROWN = {
    "words, wider": (WORDS, {"d_model": 32, "n_heads": 4, "d_ff": 48}),
    "words, a remainder, deeper": (WORDS, {"d_model": 40, "n_heads": 5, "d_ff": 60, "n_layers_per_scale": 3, "word_layers": 3}),
    "words on top": (FLAT, {"d_model": 32, "n_heads": 4, "d_ff": 48, "n_layers_per_scale": 3, "word_layers": 2}),
    "a convolution, a remainder, more taps": (
        FLAT.model_copy(update={"conv_taps": 2}),
        {"d_model": 40, "n_heads": 5, "d_ff": 60, "conv_taps": 4},
    ),
    "twice as wide": (FLAT, {"d_model": 32, "n_heads": 4, "d_ff": 48}),
    "three times as wide, a remainder of neurons": (FLAT, {"d_model": 48, "n_heads": 6, "d_ff": 80}),
    "width that does not divide": (FLAT, {"d_model": 40, "n_heads": 5, "d_ff": 60}),
    "heads twice as wide": (FLAT, {"d_model": 64, "n_heads": 4, "d_ff": 96}),
    "deeper": (FLAT, {"n_layers_per_scale": 4}),
    "wider, deeper, two more scales": (
        FLAT,
        {"d_model": 32, "n_heads": 4, "d_ff": 48, "n_layers_per_scale": 3, "downsample_factors": (1, 2, 4)},
    ),
    "with a memory": (FLAT.model_copy(update={"memory": True}), {"d_model": 32, "n_heads": 4, "d_ff": 48}),
    "three scales, wider": (SCALES, {"d_model": 32, "n_heads": 4, "d_ff": 48}),
    "three scales, a remainder": (SCALES, {"d_model": 40, "n_heads": 5, "d_ff": 48, "n_cross_attn_layers": 2}),
    "biases": (SCALES.model_copy(update={"bias": True}), {"d_model": 32, "n_heads": 4, "d_ff": 60}),
}


def lively(config: ModelConfig) -> MultiScaleTransformer:
    torch.manual_seed(0)
    model = MultiScaleTransformer(config).double()
    model.compute_dtype = torch.float64
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim and parameter.std() < 1e-6:
                parameter.normal_(std=0.1)
    return model


def grown(name: str, noise: float = 0.1) -> tuple[MultiScaleTransformer, MultiScaleTransformer]:
    config, changes = GROWN[name]
    base = lively(config)
    wide = expand(base.float(), config.model_copy(update=changes), noise=noise).double()
    wide.compute_dtype = torch.float64
    return base.double(), wide


def read(model: MultiScaleTransformer) -> tuple[Tensor, MemoryTensors | None]:
    ids = torch.randint(0, 256, (1, T), generator=torch.Generator().manual_seed(0))
    return ids, random_recall() if model.config.memory else None


@pytest.mark.parametrize("name", GROWN)
def test_a_grown_model_says_what_its_base_says(name: str) -> None:
    base, wide = grown(name)
    ids, recall = read(base)
    with torch.inference_mode():
        expected, given = base(ids, features=recall), wide(ids, features=recall)
    assert wide.config.parameters() > base.config.parameters()
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4)


def test_copies_are_apart_from_the_first_step_on() -> None:
    for noise, alike in ((0.0, True), (0.1, False)):
        _, wide = grown("twice as wide", noise)
        ids, _ = read(wide)
        F.cross_entropy(wide(ids)[0, :-1], ids[0, 1:]).backward()
        gradient = wide.stacks[0][0].feed_forward.w13.weight.grad  # type: ignore[index, union-attr]
        first, second = gradient.unflatten(0, (2, 2, -1))[0]
        assert torch.allclose(first, second) is alike


def test_shapes_that_cannot_start_from_the_base_say_why() -> None:
    for changes, reason in (
        ({"d_model": 8, "n_heads": 1}, "width"),
        ({"d_model": 40, "n_heads": 2}, "frequencies"),
        ({"d_ff": 16}, "d_ff"),
        ({"n_layers_per_scale": 1}, "fewer layers"),
        ({"memory": True}, "memory"),
        ({"rope_theta": 500.0}, "rope_theta"),
    ):
        target = FLAT.model_copy(update=changes)
        assert reason in (why_not(FLAT, target) or "")
        with pytest.raises(AxlError, match=reason):
            expand(lively(FLAT).float(), target)
    assert why_not(FLAT, FLAT) is None
