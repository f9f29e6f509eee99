"""Several threads share a step: who did what changes nothing, nor does looking up ahead; short RAM means one worker."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.training.micro_batching import MicroBatchPlan, activation_bytes, plan_micro_batches
from multiscale_transformer.training.trainer import Batch
from tiny import PLENTY, TINY, documents
from training.test_trainer import DEEP, trainer_of


def weights_after(
    steps: int,
    config: ModelConfig = TINY,
    *,
    memory: CorpusMemory | None = None,
    memory_bytes: int = PLENTY,
    **changes: object,
) -> list[Tensor]:
    trainer = trainer_of(config, memory_bytes, corpus_memory=memory, **changes)
    trainer.model.train()
    with trainer.at_work():
        for _ in range(steps):
            trainer.step()
    return [parameter.detach().clone() for parameter in trainer.model.parameters()]


@pytest.mark.parametrize("optimizer", ["muon", "lion"])
def test_who_did_what_changes_no_bit(optimizer: str) -> None:
    two, again, four = (weights_after(8, optimizer=optimizer, threads=threads) for threads in (2, 2, 4))
    assert all(map(torch.equal, two, again))
    for left, right in zip(two, four, strict=True):
        torch.testing.assert_close(left, right, rtol=0.05, atol=1e-3)  # more pieces are other roundings


def same(left: Batch, right: Batch) -> bool:
    """Whether two batches hold the same ids and the same look-ups."""
    a, b = (batch.inputs(slice(0, len(batch.ids_BT)), torch.device("cpu")).features for batch in (left, right))
    assert a is not None
    assert b is not None
    looked_up = zip(vars(a).values(), vars(b).values(), strict=True)
    return torch.equal(left.ids_BT, right.ids_BT) and all(torch.equal(one, other) for one, other in looked_up)


def test_what_is_looked_up_ahead_is_what_would_be_looked_up_in_the_step() -> None:
    config = TINY.model_copy(update={"memory": True})
    shard, _ = build_shard(documents())
    changes = {"stages": ((0.0, 32), (0.5, 64)), "memory": CorpusMemory([shard], leave_out="document")}
    trainer = trainer_of(config, corpus_memory=changes["memory"], stages=changes["stages"], threads=2)
    with trainer.at_work():
        trainer.step()
        assert trainer._next is not None
        assert same(trainer._next, trainer._prepared(32, 1))
        assert not same(trainer._next, trainer._prepared(32, 2))
    ahead, within = (weights_after(6, config, threads=threads, **changes) for threads in (2, 1))
    for left, right in zip(ahead, within, strict=True):
        torch.testing.assert_close(left, right, rtol=0.05, atol=1e-3)


def test_a_change_of_the_window_drops_what_was_looked_up_ahead() -> None:
    config = TINY.model_copy(update={"memory": True})
    shard, _ = build_shard(documents())
    trainer = trainer_of(config, corpus_memory=CorpusMemory([shard]), stages=((0.0, 32), (0.5, 64)), threads=2)
    with trainer.at_work():
        trainer.step()
        assert trainer._next is not None
        assert (trainer._next.window, trainer._next.index) == (32, 1)
        trainer.progress.fraction = 0.6
        trainer.step()
        assert trainer.progress.steps_at_window == {32: 1, 64: 1}
        trainer.step()
        assert trainer.progress.steps_at_window == {32: 1, 64: 2}
    assert trainer._next is None


def test_where_ram_is_short_one_worker_does_everything() -> None:
    activations = activation_bytes(TINY, 32, 4)
    enough = 16 * TINY.parameters() + 2 * (2 * activations + 4 * TINY.parameters())
    assert plan_micro_batches(TINY, 32, 4, 4, int(enough) + 2, 2) == MicroBatchPlan(2, False, 2)
    assert plan_micro_batches(TINY, 32, 4, 4, int(enough) - 2, 2).workers == 1
    plenty, little = (weights_after(4, optimizer="sgd", threads=2, memory_bytes=int(enough) + more) for more in (2, -2))
    for left, right in zip(plenty, little, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-5)


def test_a_model_with_dropout_has_one_worker() -> None:
    assert trainer_of(DEEP.model_copy(update={"dropout": 0.2}), threads=2)._workers.count == 1
