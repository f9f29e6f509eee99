"""Growing adds layers on time, changes no logit, and keeps what the optimizer knows."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.test_rule_of_time import SHAPES, lively, some_ids
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.grow import GROWN_BY, depth_at, grow, with_depth
from tiny import (
    TINY,
    clock_that_ticks_per_step,
    model_of,
    same_weights,
    weights_of,
)
from training.test_trainer import DEEP, trainer_of


@given(st.integers(1, 6), st.integers(1, 6), st.lists(st.floats(0.0, 1.0), max_size=6).map(sorted))
def test_depth_begins_with_one_layer_never_shrinks_and_is_full_at_half_time(
    fine: int, coarse: int, points: list[float]
) -> None:
    config = with_depth(TINY, (fine, coarse, 1))
    depths = [depth_at(0.0, config), *(depth_at(point, config) for point in points), depth_at(1.0, config)]
    assert depths[0] == (1, 1, 1)
    assert depth_at(GROWN_BY, config) == depths[-1] == (fine, coarse, 1)
    assert all(a <= b for earlier, later in pairwise(depths) for a, b in zip(earlier, later, strict=True))
    if max(fine, coarse) > 1:
        assert depth_at(GROWN_BY * 0.999, config) != (fine, coarse, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_growing_changes_no_logit_and_no_old_weight(shape: str) -> None:
    model = lively(SHAPES[shape])
    deeper = tuple(layers + 2 for layers in model.config.depths)
    with torch.inference_mode():
        before = model(some_ids())
    old = weights_of(model)
    grow(model, deeper)
    with torch.inference_mode():
        assert torch.equal(model(some_ids()), before)
    assert model.config.depths == deeper
    assert model.config.parameters() == sum(p.numel() for p in model.parameters())
    grown = weights_of(model)
    assert same_weights({name: grown[name] for name in old}, old)
    assert grown.keys() == MultiScaleTransformer(model.config).state_dict().keys()
    top = model.config.layers[0] - 1
    assert torch.equal(grown[f"stacks.0.{top}.attention.qkv.weight"], grown[f"stacks.0.{top - 2}.attention.qkv.weight"])


def test_a_word_stack_grows_and_its_few_fine_layers_are_there_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 5.0)
    target = SHAPES["words"].model_copy(update={"n_layers_per_scale": (2,), "word_layers": 3, "max_seq_len": 64})
    trainer = trainer_of(target, grow=True)
    depths: list[tuple[int, ...]] = []
    trainer.run([lambda progress: depths.append(trainer.model.config.depths)])
    assert sorted(set(depths)) == [(2, 1), (2, 2), (2, 3)]
    assert depths == sorted(depths)
    assert trainer.model.config == target
    assert trainer.model.words is not None
    assert trainer.model.words.blocks[2].feed_forward.w2.weight.any()  # type: ignore[index]


@pytest.mark.parametrize("optimizer", ["adamw", "galore", "lion", "muon", "sgd"])
def test_growing_keeps_the_optimizer_s_state_and_the_new_blocks_learn(optimizer: str) -> None:
    trainer = trainer_of(DEEP, grow=True, optimizer=optimizer)
    for _ in range(2):
        trainer.step()
    before = {name: tensor.clone() for name, tensor in trainer.optimizer.state_tensors().items()}
    trainer.progress.fraction = 0.2
    trainer._grow()
    after = trainer.optimizer.state_tensors()
    assert trainer.model.config.layers == (2, 2, 2)
    assert before
    assert same_weights({name: after[name] for name in before}, before)
    for _ in range(2):
        trainer.step()
    assert trainer.model.stacks[0][1].feed_forward.w2.weight.any()  # type: ignore[index]
    assert len(trainer.optimizer.state_tensors()) > len(before)


@pytest.mark.parametrize("seconds", [5.0, 40.0, 600.0])
def test_a_growing_run_ends_at_full_depth_however_few_its_steps(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, seconds)
    trainer = trainer_of(DEEP, grow=True)
    depths: list[tuple[int, ...]] = []
    trainer.run([lambda progress: depths.append(trainer.model.config.layers)])
    assert depths[0] == (1, 1, 1)
    assert trainer.model.config == DEEP
    assert not trainer.model.training
    assert weights_of(trainer.model).keys() == weights_of(model_of(DEEP)).keys()
