"""The loop keeps to its time box, computes the same whatever the memory, and grows without changing what the model says."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from model.test_rule_of_time import SHAPES, lively
from multiscale_transformer.data.stream import WindowStream
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.blocks import Block
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.training import trainer as trainer_module
from multiscale_transformer.training.grow import depth_at, with_depth
from multiscale_transformer.training.micro_batching import STATE_TENSORS, MicroBatchPlan, activation_bytes
from multiscale_transformer.training.optimizers import OptimizerSet
from multiscale_transformer.training.schedule import rate_multiplier, window_at
from multiscale_transformer.training.settings import TrainSettings, batch_for, stages_for
from multiscale_transformer.training.trainer import SMOOTHING_SECONDS, Progress, Trainer
from tiny import (
    PLENTY,
    TINY,
    clock_that_ticks_per_step,
    documents,
    model_of,
    same_weights,
    settings_of,
    weights_of,
)

fractions = st.floats(0.0, 1.5)
DEEP = with_depth(TINY, (4, 2, 3))


def trainer_of(
    config: ModelConfig = TINY,
    memory: int = PLENTY,
    progress: Progress | None = None,
    *,
    corpus_memory: CorpusMemory | None = None,
    **changes: object,
) -> Trainer:
    settings = settings_of(**changes)
    start = with_depth(config, depth_at(0.0, config)) if settings.grow else config
    return Trainer(model_of(start), config, documents(), settings, memory, progress, corpus_memory)


def gradients_of(trainer: Trainer, plan: MicroBatchPlan) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of the first batch under a plan."""
    loss = trainer._backward(trainer._prepared(32, 0), plan)
    gradients = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
    trainer.model.zero_grad(set_to_none=True)
    assert len(gradients) == len(list(trainer.model.parameters()))
    return loss, gradients


# Schedules


@given(fractions, st.floats(0.05, 0.9))
def test_the_rate_is_a_share_and_ends_low(fraction: float, cooldown: float) -> None:
    assert 0.0 < rate_multiplier(fraction, cooldown) <= 1.0
    assert rate_multiplier(0.0, cooldown) <= 0.05
    assert rate_multiplier(1.0 + fraction, cooldown) == pytest.approx(0.05)


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=9).map(sorted))
def test_the_rate_rises_stays_and_falls(points: list[float]) -> None:
    rates = [rate_multiplier(point) for point in points]
    for (a, b), (rate_a, rate_b) in zip(pairwise(points), pairwise(rates), strict=True):
        if b <= 0.5:
            assert rate_a <= rate_b
        if a >= 0.02:
            assert rate_a >= rate_b
    assert rate_multiplier(0.02) == rate_multiplier(0.5) == 1.0


@given(fractions)
def test_the_window_is_that_of_the_stage(fraction: float) -> None:
    stages = ((0.0, 8), (0.25, 16), (0.75, 4))
    assert window_at(fraction, stages) == (8 if fraction < 0.25 else 16 if fraction < 0.75 else 4)


@given(st.integers(16, 5000), st.integers(1, 20_000))
def test_the_default_stages_fit_the_context_and_the_corpus(context: int, train_bytes: int) -> None:
    """A context shorter than the first window is the published one: it must work."""
    config = TINY.model_copy(update={"max_seq_len": context})
    stages = TrainSettings(stages=stages_for(config, train_bytes), batch_bytes=batch_for(config)).stages
    text = documents(1).subset([0])
    assert all(1 <= window <= context for _, window in stages)
    assert all(window <= max(1, train_bytes // 2) for _, window in stages)
    assert stages_for(config, text.nbytes)  # and such a corpus really fills them:
    for _, window in stages_for(config, text.nbytes):
        WindowStream(text, window, 1, seed=0)


@pytest.mark.parametrize(
    "bad",
    [
        {"minutes": 0},
        {"minutes": math.inf},
        {"minutes": math.nan},
        {"learning_rate": 0},
        {"seed": 2**64},
        {"stages": ()},
        {"stages": ((0.1, 8),)},
        {"stages": ((0.0, 0),)},
        {"stages": ((0.0, 8), (0.9, 8), (0.5, 8))},
        {"batch_bytes": 1},
        {"fim_rate": 1.1},
        {"optimizer": "adam"},
        {"minuets": 3},
    ],
)
def test_settings_that_make_no_sense_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        TrainSettings.model_validate(bad)


# The time box


@pytest.mark.parametrize(("seconds", "steps"), [(1.0, 60), (7.0, 9), (60.0, 1), (1e6, 1)])
def test_it_stops_when_the_minutes_are_over(seconds: float, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, seconds)
    trainer = trainer_of(minutes=1.0)
    seen: list[Progress] = []
    trainer.run([lambda progress: seen.append(replace(progress))])
    assert [progress.step for progress in seen] == list(range(1, steps + 1))
    assert [progress.seconds for progress in seen] == pytest.approx([seconds * step for step in range(1, steps + 1)])
    assert trainer.progress.fraction >= 1.0
    assert all(progress.fraction < 1.0 for progress in seen[:-1])
    assert not trainer.model.training


def test_what_callbacks_take_is_taken_from_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = clock_that_ticks_per_step(monkeypatch, 1.0)
    trainer = trainer_of(minutes=0.5)
    trainer.run([lambda progress: setattr(clock, "now", clock.now + 2.0)])
    assert trainer.progress.step == 11  # which ends at second 31


def test_a_resumed_run_gets_the_rest_of_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 1.0)
    trainer = trainer_of(minutes=0.5, progress=Progress(step=100, seconds=21.0, fraction=0.7))
    trainer.run()
    assert trainer.progress.step == 109
    over = trainer_of(progress=Progress(step=100, seconds=61.0, fraction=61 / 60))
    over.run()
    assert over.progress.step == 100


def test_windows_change_with_the_elapsed_fraction_and_every_batch_is_read_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 2.0)
    read: list[tuple[int, int]] = []
    windows_at = WindowStream.windows_at

    def spy(stream: WindowStream, step: int) -> object:
        read.append((stream.window, step))
        return windows_at(stream, step)

    monkeypatch.setattr(WindowStream, "windows_at", spy)
    trainer = trainer_of(stages=((0.0, 16), (0.5, 40)), batch_bytes=128)
    trainer.run()
    assert read == [(16, step) for step in range(15)] + [(40, step) for step in range(15)]
    assert trainer.progress.steps_at_window == {16: 15, 40: 15}
    assert trainer.progress.bytes == 15 * 128 + 15 * 120  # 3 rows of 40 go into 128
    per_byte = TINY.flops_per_byte(16, training=True), TINY.flops_per_byte(40, training=True)
    assert trainer.progress.flops == pytest.approx(15 * 128 * per_byte[0] + 15 * 120 * per_byte[1])


def test_speed_and_loss_are_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 0.5)
    trainer = trainer_of(stages=((0.0, 32),), batch_bytes=128, fim_rate=0.0, minutes=0.1)
    ids_BT = torch.from_numpy(trainer._stream(32).batch_at(0))
    with torch.no_grad():
        first = F.cross_entropy(trainer.model(ids_BT[:, :-1]).flatten(0, 1), ids_BT[:, 1:].flatten()).item() / math.log(2)
    losses, backward = [], Trainer._backward
    monkeypatch.setattr(Trainer, "_backward", lambda *inputs: losses.append(backward(*inputs)) or losses[-1])
    seen: list[float] = []
    trainer.run([lambda progress: seen.append(progress.train_bpb)])
    assert seen[0] == pytest.approx(first, rel=1e-5)
    expected, keep = [first], math.exp(-0.5 / SMOOTHING_SECONDS)
    for loss in losses[1:]:
        expected.append(keep * expected[-1] + (1 - keep) * loss / math.log(2))
    assert seen == pytest.approx(expected, rel=1e-5)
    assert seen[-1] < 0.9 * first
    assert trainer.progress.bytes_per_second == pytest.approx(256.0)


# An update does not depend on how it is computed


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rows", [1, 3])
def test_micro_batches_add_up_to_the_batch(shape: str, rows: int) -> None:
    model = lively(SHAPES[shape], torch.float64)
    trainer = Trainer(model, model.config, documents(), settings_of(), PLENTY)
    whole_loss, whole = gradients_of(trainer, MicroBatchPlan(4, False))
    loss, split = gradients_of(trainer, MicroBatchPlan(rows, False))
    assert loss == pytest.approx(whole_loss, rel=1e-6)
    for name, gradient in whole.items():
        torch.testing.assert_close(split[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("shape", SHAPES)
def test_recomputing_activations_changes_no_bit(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively(SHAPES[shape]).train()
    trainer = Trainer(model, model.config, documents(), settings_of(), PLENTY)
    calls, forward = [0], Block.forward

    def counted(block: Block, *inputs: object) -> Tensor:
        calls[0] += 1
        return forward(block, *inputs)  # type: ignore[arg-type]

    monkeypatch.setattr(Block, "forward", counted)
    kept_loss, kept = gradients_of(trainer, MicroBatchPlan(4, False))
    once = calls[0]
    loss, recomputed = gradients_of(trainer, MicroBatchPlan(4, True))
    assert loss == kept_loss
    assert same_weights(recomputed, kept)
    assert calls[0] == 3 * once, "nothing was recomputed, so nothing was tested"


def test_little_memory_gives_nearly_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 10.0)
    row = 16 * TINY.parameters() + activation_bytes(TINY, 32, 4)
    plans: list[MicroBatchPlan] = []
    plan_micro_batches = trainer_module.plan_micro_batches
    monkeypatch.setattr(
        trainer_module, "plan_micro_batches", lambda *a, **k: plans.append(plan_micro_batches(*a, **k)) or plans[-1]
    )
    plenty, little = trainer_of(optimizer="sgd"), trainer_of(optimizer="sgd", memory=int(1.01 * row))
    for trainer in (plenty, little):
        trainer.run()
    assert {plan.rows for plan in plans} == {4, 1}
    for left, right in zip(plenty.model.parameters(), little.model.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["adamw", "galore", "lion", "sgd"])
@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_in_the_backward_pass_is_the_update_bit_for_bit(
    shape: str, checkpoint: bool, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(dtype: torch.dtype, in_backward: bool) -> dict[str, Tensor]:
        model = lively(SHAPES[shape]).train()
        model.compute_dtype = dtype
        plan = MicroBatchPlan(4, checkpoint, in_backward=in_backward)
        monkeypatch.setattr(trainer_module, "plan_micro_batches", lambda *_, **__: plan)
        trainer = Trainer(model, model.config, documents(), settings_of(optimizer=optimizer), PLENTY)
        for _ in range(3):
            trainer.step()
        return {**weights_of(model), **trainer.optimizer.state_tensors()}

    for dtype in (torch.float32, torch.bfloat16):
        assert same_weights(trained(dtype, True), trained(dtype, False))


def test_in_the_backward_pass_few_gradients_exist_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of(optimizer="lion")
    most, update = [0], OptimizerSet._update

    def counted(optimizer: OptimizerSet, weight: Tensor) -> None:
        most.append(sum(other.grad is not None for other in trainer.model.parameters()))
        update(optimizer, weight)

    monkeypatch.setattr(OptimizerSet, "_update", counted)
    monkeypatch.setattr(trainer_module, "plan_micro_batches", lambda *_, **__: MicroBatchPlan(4, False, in_backward=True))
    trainer.step()
    assert len(most) == 1 + len(list(trainer.model.parameters()))
    assert max(most) == 1
    monkeypatch.setattr(trainer_module, "plan_micro_batches", lambda *_, **__: MicroBatchPlan(4, False))
    trainer.step()
    assert len(most) == 1 + len(list(trainer.model.parameters())), "the hooks are gone after the step"


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "sgd"])
def test_ram_for_one_set_of_states_is_enough_for_the_same_bits(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 10.0)
    of_each = 4 * (1 + STATE_TENSORS[optimizer])
    enough = int(of_each * TINY.parameters() + activation_bytes(TINY, 32, 4, checkpoint=True)) + 1
    assert enough < 16 * TINY.parameters() + activation_bytes(TINY, 32, 4, checkpoint=True), "nothing else fits"
    plenty, little = (trainer_of(optimizer=optimizer, memory=ram, batch_bytes=32) for ram in (PLENTY, enough))
    for trainer in (plenty, little):
        trainer.run()
    assert same_weights(weights_of(little.model), weights_of(plenty.model))


@pytest.mark.parametrize("changes", [{}, {"grow": True}, {"optimizer": "galore"}])
def test_the_same_seed_and_steps_give_the_same_bits(changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 8.0)

    def weights(seed: int) -> dict[str, Tensor]:
        config = DEEP.model_copy(update={"dropout": 0.2})
        trainer = trainer_of(config, seed=seed, **changes)
        torch.manual_seed(torch.seed())  # whatever else drew numbers before must not matter
        trainer.run()
        return weights_of(trainer.model)

    assert same_weights(weights(1), weights(1))
    assert not same_weights(weights(1), weights(2))


def test_the_exit_learns_beside_and_is_not_counted() -> None:
    trainer, without = trainer_of(), trainer_of(aux_loss_weight=0.0)
    plan = MicroBatchPlan(4, False)
    (loss, gradients), (loss_without, gradients_without) = gradients_of(trainer, plan), gradients_of(without, plan)
    assert loss == loss_without
    name = "stacks.0.0.feed_forward.w2.weight"
    assert not torch.allclose(gradients[name], gradients_without[name])
    flat = SHAPES["flat"]
    left, right = gradients_of(trainer_of(flat), plan)[1], gradients_of(trainer_of(flat, aux_loss_weight=0.0), plan)[1]
    assert same_weights(left, right), "without other scales the exit is the output, which counts once"


# What goes wrong


def test_a_loss_that_is_no_number_ends_the_run_and_spoils_no_weight() -> None:
    trainer = trainer_of()
    trainer.step()
    trainer.model.embedding.weight.data[ord("e")] = math.nan
    before = weights_of(trainer.model.stacks)
    with pytest.raises(AxlError, match="the loss is no longer a number at step 1: lower --lr"):
        trainer.step()
    assert same_weights(weights_of(trainer.model.stacks), before)


def test_a_corpus_or_a_memory_too_small_for_a_later_stage_fails_before_the_first_step() -> None:
    late = ((0.0, 16), (0.75, 100_000))
    with pytest.raises(AxlError, match=r"the corpus holds .* but the context is 100,000"):
        trainer_of(stages=late)
    late = ((0.0, 16), (0.75, 1024))
    enough_for_the_first = int(16 * TINY.parameters() + 1.1 * activation_bytes(TINY, 16, 4))
    with pytest.raises(AxlError, match="training needs about"):
        trainer_of(stages=late, memory=enough_for_the_first)
    shallow = with_depth(DEEP, depth_at(0.0, DEEP))
    enough_for_shallow = int(16 * shallow.parameters() + 1.1 * activation_bytes(shallow, 32, 4))
    trainer_of(shallow, memory=enough_for_shallow)
    with pytest.raises(AxlError, match="training needs about"):
        trainer_of(DEEP, memory=enough_for_shallow, grow=True)


@pytest.fixture
def _ctrl_c_interrupts() -> Iterator[None]:
    """Python's own handler, also when the tests run in the background of a shell, where Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c_interrupts")
def test_ctrl_c_within_a_step_comes_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    update, told = OptimizerSet.step, []

    def interrupted(optimizer: OptimizerSet, multiplier: float) -> None:
        signal.raise_signal(signal.SIGINT)
        update(optimizer, multiplier)

    expected = trainer_of()
    expected.step()
    monkeypatch.setattr(OptimizerSet, "step", interrupted)
    trainer, handler = trainer_of(), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer.run([told.append])
    assert signal.getsignal(signal.SIGINT) is handler
    assert trainer.progress.step == 1
    assert trainer.progress.seconds > 0.0
    assert told == []
    assert same_weights(weights_of(trainer.model), weights_of(expected.model))


def test_it_trains_in_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 30.0)
    trainer = trainer_of()
    thread = threading.Thread(target=trainer.run)
    thread.start()
    thread.join()
    assert trainer.progress.step == 2
