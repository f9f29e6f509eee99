"""Training with a memory: every window is looked up as what it is, a part of a document that is left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.memory.document import Document
from multiscale_transformer.memory.index import MEMORY_FOLDER, load_index
from multiscale_transformer.memory.lookup import CorpusMemory, Window
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.memory_tensors import MemoryTensors, no_features
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.training import run
from multiscale_transformer.training.model_card import write_model_card
from multiscale_transformer.training.run import RunRequest, check_output, train_run
from multiscale_transformer.training.trainer import Progress, Trainer
from multiscale_transformer.zoo.training_record import TrainingRecord
from tiny import PLENTY, TINY, clock_that_ticks_per_step, corpus, documents, model_of, same_weights, settings_of, weights_of

WITH_MEMORY = TINY.model_copy(update={"memory": True})


class Noting:
    """Stands in for a memory: knows nothing and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Window] = []

    def recall(self, windows: Sequence[Window]) -> MemoryTensors:
        self.asked += windows
        recall = no_features(len(windows), len(windows[0].ids))
        for row, window in enumerate(windows):
            recall.lengths_BT2[row] = int(not window.no_lookup)
        return recall


def trainer_with(memory: Any, **changes: object) -> Trainer:
    return Trainer(model_of(WITH_MEMORY), WITH_MEMORY, documents(), settings_of(**changes), PLENTY, memory=memory)


def test_windows_are_looked_up_where_they_stand() -> None:
    noting, train = Noting(), documents()
    trainer = trainer_with(noting, fim_rate=0.0)
    for _ in range(60):
        trainer.step()
    assert len(noting.asked) == 60 * 4
    begun = set()
    for window in noting.asked:
        content = train[window.document]
        ids = [int(i) for i in window.ids]
        begun.add(ids[0])
        if ids[0] == BOS:
            assert not len(window.history)
            continue
        assert window.history.tobytes() == content[: len(window.history)]
        until = ids.index(EOS) if EOS in ids else len(ids)
        assert content[len(window.history) :][:until] == bytes(ids[:until])
    assert len(begun) > 3


def test_some_windows_are_trained_without_a_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    forward = type(trainer_with(Noting()).model).states

    def noting(model: Any, ids: Any, cache: Any = None, features: MemoryTensors | None = None) -> Any:
        assert features is not None
        told.extend((features.lengths_BT2 > 0).flatten(1).any(1).tolist())
        return forward(model, ids, cache, features)

    trainer = trainer_with(Noting(), memory_dropout=0.25)
    monkeypatch.setattr(type(trainer.model), "states", noting)
    for _ in range(60):
        trainer.step()
    assert 0.65 < sum(told) / len(told) < 0.85


def test_a_memory_makes_held_out_text_cheaper() -> None:
    shard, _ = build_shard(documents())
    trainer = trainer_with(CorpusMemory([shard], leave_out="document"), fim_rate=0.0)
    for _ in range(60):
        trainer.step()
    model, held_out = trainer.model.eval(), documents(2, seed=1)
    alone = score_documents(model, held_out)
    told = score_documents(model, held_out, memory=CorpusMemory([shard]))
    assert told.bits < 0.7 * alone.bits


def request_of(out: Path) -> RunRequest:
    return RunRequest("AXL-Tiny", WITH_MEMORY, settings_of(), ("somewhere",), out)


def test_a_run_keeps_its_memory_and_an_interrupted_one_goes_on_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 10.0)
    monkeypatch.setattr(run, "compute_dtype", lambda threads, device: torch.float32)
    monkeypatch.setattr(run, "time", SimpleNamespace(perf_counter=lambda: 0.0))  # building the index counts, and never the same

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train_run(request_of(whole), corpus())
    with pytest.raises(KeyboardInterrupt):
        train_run(request_of(broken), corpus(), callbacks=[stop])
    train_run(request_of(broken), corpus(), resume=True)
    assert same_weights(weights_of(load_model(whole)), weights_of(load_model(broken)))
    for folder in (whole, broken):
        assert list(load_index(folder / MEMORY_FOLDER).documents()) == list(corpus().train)


@pytest.mark.parametrize("pairs", [False, True])
def test_what_is_learnt_from_pairs_is_looked_up_in_other_packages(
    pairs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package gives many pairs that are alike; else a model learns to copy answers that it will not find."""
    clock_that_ticks_per_step(monkeypatch, 30.0)
    texts = [np.random.default_rng(number).integers(97, 123, 60).astype(np.uint8).tobytes() for number in range(20)]
    twins = [Document(f"{number}", texts[number // 2], f"p{number // 2}") for number in range(40)]
    data = Documents.from_items(twins)
    whole = replace(corpus(), train=data.with_answers([12] * 40) if pairs else data)
    seen: list[MemoryTensors] = []
    recall = CorpusMemory.recall
    monkeypatch.setattr(CorpusMemory, "recall", lambda *given, **how: seen.append(recall(*given, **how)) or seen[-1])
    train_run(request_of(tmp_path / "run"), whole)
    longest = max(int(one.lengths_BT2[..., 0].max()) for one in seen if one.symbols_BTM.shape[1] > 1)
    assert (longest < 6) == pairs  # of the orders that are looked up, the longest that was found


def test_a_memory_left_by_a_run_that_was_killed_early_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 30.0)
    train_run(request_of(tmp_path / "run"), corpus())
    killed = tmp_path / "killed"
    killed.mkdir()
    shutil.copytree(tmp_path / "run" / MEMORY_FOLDER, killed / MEMORY_FOLDER)
    train_run(request_of(killed), corpus())
    assert load_model(killed).config.memory


def test_the_card_says_that_the_memory_holds_the_training_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 30.0)
    train_run(request_of(tmp_path / "run"), corpus())
    facts = json.loads((tmp_path / "run" / "training.json").read_text())
    for memory in (True, False):
        write_model_card(tmp_path, TrainingRecord.model_validate({**facts, "memory": memory}))
        assert ("`memory/`, which holds the training files" in (tmp_path / "README.md").read_text()) is memory
    assert facts["memory"]


def test_a_folder_named_memory_that_is_no_index_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / MEMORY_FOLDER).mkdir()
    with pytest.raises(AxlError, match="memory of something else"):
        check_output(tmp_path, resume=False)
