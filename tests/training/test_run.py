"""A run that is interrupted, killed or refused leaves what it should, and goes on to the very same weights."""

from __future__ import annotations

import errno
import gc
import json
import math
import shutil
import weakref
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model import checkpoint
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.training import resume, run
from multiscale_transformer.training.grow import with_depth
from multiscale_transformer.training.logger import read_metrics
from multiscale_transformer.training.model_card import write_model_card
from multiscale_transformer.training.run import RunRequest, check_output, free_folder, resumed_request, train_run
from multiscale_transformer.training.trainer import Progress, Trainer
from multiscale_transformer.zoo.training_record import TrainingRecord
from tiny import (
    TINY,
    clock_that_ticks_per_step,
    corpus,
    names_in,
    same_weights,
    settings_of,
    weights_of,
)

STEPS = 6  # of ten seconds each in a box of one minute
FLAT = ModelConfig(d_model=16, n_heads=2, d_ff=32, n_layers_per_scale=2, max_seq_len=64, downsample_factors=(1,))
FINISHED = {"config.json", "model.safetensors", "training.json", "metrics.csv"}


class Kill(BaseException):
    """Ends a run as nothing in it expects."""


@pytest.fixture(autouse=True)
def _measured_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_that_ticks_per_step(monkeypatch, 10.0)
    monkeypatch.setattr(run, "compute_dtype", lambda threads, device: torch.float32)
    monkeypatch.setattr(run, "describe_machine", lambda threads, device: {"processor": "a test", "threads": threads})


def request_of(out: Path, config: ModelConfig = FLAT, **changes: object) -> RunRequest:
    return RunRequest("AXL-Tiny", config, settings_of(**changes), ("somewhere",), out)


def stop_at(step: int, error: BaseException | None = None) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.step == step:
            raise error or KeyboardInterrupt

    return stop


def interrupt(request: RunRequest, step: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_run(request, corpus(), callbacks=[stop_at(step)])


def weights_in(folder: Path) -> dict[str, Tensor]:
    return weights_of(load_model(folder))


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(AxlError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# A run from beginning to end


def test_a_finished_run_is_a_checkpoint_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    request = request_of(tmp_path / "deep" / "run", TINY, stages=((0.0, 32), (0.5, 64)))
    assert train_run(request, corpus()) == request.out
    assert names_in(request.out) == FINISHED
    assert load_model(request.out).config == TINY
    facts = json.loads((request.out / "training.json").read_text())
    assert (facts["name"], facts["format"]) == ("AXL-Tiny", "code")
    assert facts["parameters"] == TINY.parameters()
    assert (facts["optimizer"], facts["minutes"], facts["seed"]) == ("muon", 1.0, 0)
    assert (facts["steps"], facts["seconds"], facts["bytes"]) == (STEPS, 60.0, STEPS * 128)
    assert (facts["batch"], facts["window"]) == (128, 64)
    assert settings_of(**facts["settings"]) == request.settings
    assert facts["flops"] > 0
    assert 0 < facts["train_bpb"] < 8
    assert facts["optimizer_state_bytes"] > 4 * TINY.parameters()
    assert facts["compute_dtype"] == "float32"
    assert facts["machine"] == {"processor": "a test", "threads": 1}
    assert facts["versions"].keys() == {"axl", "python", "torch"}
    assert facts["data"] == {
        "sources": ["somewhere"],
        "train_documents": 4,
        "train_bytes": corpus().train.nbytes,
        "suffixes": {".py": corpus().train.nbytes},
        "held_out_documents": 2,
        "held_out_bytes": corpus().held_out.nbytes,
        "left_out": {"binary": 3},
        "sha256": corpus().sha256,
        "note": "",
    }


def test_the_log_has_a_row_for_each_second_and_probes_along_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PROBE_BYTES", 80)  # a step on 128 bytes pays for a few of them
    train_run(request_of(tmp_path / "run", learning_rate=0.01), corpus())
    metrics = read_metrics(tmp_path / "run" / "metrics.csv")
    assert metrics["step"] == list(range(1, STEPS + 1))
    assert metrics["seconds"] == [10.0 * step for step in metrics["step"]]
    assert metrics["bytes"] == [128.0 * step for step in metrics["step"]]
    assert max(metrics["lr"]) == 0.01
    probes = [value for value in metrics["held_out_bpb"] if value == value]  # noqa: PLR0124  NaN is where none was made
    assert 4 <= len(probes) <= run.PROBES
    assert metrics["held_out_bpb"][-1] == probes[-1] < probes[0] < 9


def test_a_run_leaves_nothing_of_itself_in_ram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even in a cycle, which PyTorch makes when the first optimizer is built: the model is loaded again to be measured."""
    made, init = list[weakref.ref[Trainer]](), Trainer.__init__

    def circular(trainer: Trainer, *inputs: object) -> None:
        init(trainer, *inputs)  # type: ignore[arg-type]
        trainer.cycle = trainer  # type: ignore[attr-defined]
        made.append(weakref.ref(trainer))

    monkeypatch.setattr(Trainer, "__init__", circular)
    gc.disable()
    try:
        train_run(request_of(tmp_path / "run"), corpus())
    finally:
        gc.enable()
    assert [trainer() for trainer in made] == [None]


def test_a_probe_never_costs_more_than_its_share_of_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for probe_bytes in (80, 320, 640, 100_000):
        monkeypatch.setattr(run, "PROBE_BYTES", probe_bytes)
        out = tmp_path / str(probe_bytes)
        train_run(request_of(out, minutes=4.0), corpus())
        metrics = read_metrics(out / "metrics.csv")
        made = [index for index, value in enumerate(metrics.get("held_out_bpb", [])) if not math.isnan(value)]
        sample = sum(len(text[: probe_bytes // run.PROBE_FILES]) for text in map(corpus().held_out.__getitem__, range(2)))
        for before, at in pairwise([-1, *made]):
            read = metrics["bytes"][at] - (metrics["bytes"][before] if before >= 0 else 0)
            assert sample / 3 <= run.PROBE_SHARE * read
        assert bool(made) == (sample / 3 <= run.PROBE_SHARE * metrics["bytes"][-1])


def test_the_model_card_says_what_training_json_says(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    train_run(request_of(folder), corpus())
    facts = json.loads((folder / "training.json").read_text())
    write_model_card(folder, TrainingRecord.model_validate(facts))
    unmeasured = (folder / "README.md").read_text()
    assert unmeasured.startswith("# AXL-Tiny\n")
    assert "Not yet measured" in unmeasured
    assert f"{FLAT.parameters():,} parameters, trained for 1.0 minutes on 1 thread of a test" in unmeasured
    assert f"muon, {STEPS} steps, {facts['bytes']:,} bytes read, seed 0, float32" in unmeasured
    assert f"Trained on 4 files ({facts['data']['train_bytes']:,} bytes) from `somewhere`" in unmeasured
    assert "Files dropped: binary 3." in unmeasured
    assert str(tmp_path) not in unmeasured, "a card is handed on, so it does not say where things lay"
    measured = {**facts, "held_out": {"bits_per_byte": 2.5, "bytes": 1000, "xz": 3.0, "ppmd": 2.75}}
    write_model_card(folder, TrainingRecord.model_validate(measured))
    assert "| this model | 2.500 |" in (folder / "README.md").read_text()
    measured["held_out"]["ppmd_primed"] = 2.25
    write_model_card(folder, TrainingRecord.model_validate(measured))
    assert "primed with the training files | 2.250 |" in (folder / "README.md").read_text()


# Interrupting and going on


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        (1, {}),
        (STEPS - 1, {"optimizer": "adamw", "config": TINY}),
        (STEPS, {"optimizer": "sgd"}),
        (3, {"optimizer": "lion", "stages": ((0.0, 16), (0.3, 64))}),
        (3, {"optimizer": "galore"}),
        (2, {"grow": True, "config": with_depth(TINY, (3, 1, 2))}),
        (4, {"grow": True, "config": with_depth(FLAT, (4,)), "optimizer": "adamw"}),
        (4, {"config": FLAT.model_copy(update={"dropout": 0.2})}),
    ],
)
def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(
    step: int, changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_run(request_of(tmp_path / "whole", **changes), corpus())
    request = request_of(tmp_path / "parts", **changes)
    interrupt(request, step)
    assert not (request.out / "model.safetensors").exists()
    assert resumed_request(request.out) == request
    monkeypatch.setattr(run, "compute_dtype", lambda threads, device: torch.bfloat16)  # a noisy measurement must not matter
    torch.manual_seed(step)
    train_run(resumed_request(request.out), corpus(), resume=True)
    assert names_in(request.out) == FINISHED
    assert same_weights(weights_in(request.out), weights_in(tmp_path / "whole"))
    whole, parts = (json.loads((tmp_path / name / "training.json").read_text()) for name in ("whole", "parts"))
    assert parts == whole
    assert read_metrics(request.out / "metrics.csv")["step"] == list(range(1, STEPS + 1))


def test_a_run_may_be_interrupted_again_and_again(tmp_path: Path) -> None:
    train_run(request_of(tmp_path / "whole"), corpus())
    request = request_of(tmp_path / "parts")
    interrupt(request, 2)
    for step in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            train_run(request, corpus(), resume=True, callbacks=[stop_at(step)])
    train_run(request, corpus(), resume=True)
    assert same_weights(weights_in(request.out), weights_in(tmp_path / "whole"))


def test_an_interrupt_while_the_result_is_saved_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_run(request_of(tmp_path / "whole"), corpus())
    request, write_json = request_of(tmp_path / "parts"), files.write_json

    def interrupted(path: Path, content: object) -> None:
        if path.name == run.TRAINING_FILE:
            raise KeyboardInterrupt
        write_json(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_run(request, corpus())
    assert (request.out / "model.safetensors").exists()
    train_run(request, corpus(), resume=True)
    assert names_in(request.out) == FINISHED
    assert same_weights(weights_in(request.out), weights_in(tmp_path / "whole"))


# Kills and full disks


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, Tensor]:
    return weights_in(train_run(request_of(tmp_path / "whole"), corpus()))


@pytest.fixture
def parts(tmp_path: Path) -> RunRequest:
    """A run that was interrupted after two steps."""
    request = request_of(tmp_path / "parts")
    interrupt(request, 2)
    return request


def test_a_kill_before_the_old_point_is_removed_leaves_both_and_the_newer_is_used(
    parts: RunRequest, whole: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(resume.shutil, "rmtree", lambda *a, **k: None)
        with pytest.raises(KeyboardInterrupt):
            train_run(parts, corpus(), resume=True, callbacks=[stop_at(4)])
    assert sorted(path.name for path in (parts.out / "resume").iterdir()) == ["000000002", "000000004"]
    assert resume.load_resume(parts.out)[1].step == 4
    train_run(parts, corpus(), resume=True)
    assert same_weights(weights_in(parts.out), whole)


@pytest.mark.parametrize("written", [["model.safetensors"], ["model.safetensors", "config.json", "optimizer.safetensors"]])
def test_a_kill_while_a_point_is_written_leaves_the_old_one(
    written: list[str], parts: RunRequest, whole: dict[str, Tensor]
) -> None:
    old, new = parts.out / "resume" / "000000002", parts.out / "resume" / ".000000004.abc"
    new.mkdir()
    for name in written:
        shutil.copy(old / name, new / name)
    train_run(parts, corpus(), resume=True)
    assert same_weights(weights_in(parts.out), whole)
    assert names_in(parts.out) == FINISHED


@pytest.mark.parametrize("written", [["model.safetensors"], ["model.safetensors", "config.json"]])
def test_a_kill_while_the_result_is_written_leaves_a_run_that_goes_on(
    written: list[str], parts: RunRequest, whole: dict[str, Tensor]
) -> None:
    for name in written:
        shutil.copy(parts.out / "resume" / "000000002" / name, parts.out / name)
    assert "add --resume" in refused(lambda: train_run(parts, corpus()))
    train_run(parts, corpus(), resume=True)
    assert same_weights(weights_in(parts.out), whole)


def test_a_kill_before_the_first_point_leaves_a_folder_that_can_be_used_again(tmp_path: Path, whole: dict[str, Tensor]) -> None:
    request = request_of(tmp_path / "killed")
    with pytest.raises(Kill):
        train_run(request, corpus(), callbacks=[stop_at(3, Kill())])
    assert names_in(request.out) == {"metrics.csv"}
    assert "nothing to resume" in refused(lambda: train_run(request, corpus(), resume=True))
    train_run(request, corpus())
    assert same_weights(weights_in(request.out), whole)
    assert read_metrics(request.out / "metrics.csv")["step"] == list(range(1, STEPS + 1))


def test_a_full_disk_leaves_the_old_point(parts: RunRequest, whole: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    before = names_in(parts.out)

    def full(tensors: dict[str, Tensor], path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    def act() -> None:
        train_run(parts, corpus(), resume=True, callbacks=[stop_at(4)])

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        assert "the disk is full" in refused(act)
    assert names_in(parts.out) == before
    train_run(parts, corpus(), resume=True)
    assert same_weights(weights_in(parts.out), whole)


# What is refused


def test_changed_data_are_refused(parts: RunRequest) -> None:
    before = names_in(parts.out)
    changed = corpus(sha256="1" * 64)
    assert "the data changed since" in refused(lambda: train_run(parts, changed, resume=True))
    assert names_in(parts.out) == before


def test_what_is_in_the_folder_decides_whether_it_may_be_written_to(parts: RunRequest, tmp_path: Path) -> None:
    assert "nothing to resume" in refused(lambda: resumed_request(tmp_path / "nowhere"))
    check_output(tmp_path / "nowhere", resume=False)
    assert "holds an interrupted run; add --resume" in refused(lambda: check_output(parts.out, resume=False))
    check_output(parts.out, resume=True)
    train_run(parts, corpus(), resume=True)
    assert "already holds a finished checkpoint" in refused(lambda: check_output(parts.out, resume=True))
    assert "already holds a finished checkpoint" in refused(lambda: check_output(parts.out, resume=False))


@pytest.mark.parametrize("name", ["README.md", "config.json"])
def test_files_of_something_else_are_not_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    assert f"{tmp_path} holds a {name} of something else" in refused(lambda: train_run(request_of(tmp_path), corpus()))
    assert (tmp_path / name).read_text() == "mine"
    assert names_in(tmp_path) == {name}


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused(lambda: train_run(request_of(tmp_path / "file"), corpus()))
    assert "cannot write" in refused(lambda: train_run(request_of(tmp_path / "file" / "run"), corpus()))


@pytest.mark.parametrize("name", ["progress.json", "config.json", "model.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b"\xff\xfe"])
def test_a_damaged_point_is_one_line(name: str, content: bytes | None, parts: RunRequest) -> None:
    path = parts.out / "resume" / "000000002" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    words = refused(lambda: train_run(resumed_request(parts.out), corpus(), resume=True))
    assert any(word in words for word in ("damaged", "missing", "no checkpoint", "not an AXL checkpoint"))


def test_a_request_of_another_version_is_one_line(parts: RunRequest) -> None:
    path = parts.out / "resume" / "000000002" / "progress.json"
    fields = json.loads(path.read_text())
    for change in ({"settings": {"minuets": 3}}, {"config": {"d_model": 7}}, {"sources": None}, {"name": None}):
        request = {key: value for key, value in {**fields["request"], **change}.items() if key != "name" or value}
        path.write_text(json.dumps({**fields, "request": request}))
        refused(lambda: resumed_request(parts.out))


def test_a_loss_that_is_no_number_leaves_no_checkpoint(tmp_path: Path) -> None:
    request = request_of(tmp_path / "run", optimizer="sgd", learning_rate=1e30)
    assert "no longer a number" in refused(lambda: train_run(request, corpus()))
    assert names_in(request.out) == {"metrics.csv"}


def test_free_folder_is_the_first_that_is_not_there(tmp_path: Path) -> None:
    assert free_folder(tmp_path, "run") == tmp_path / "run"
    for name in ("run", "run-2", "run-4"):
        (tmp_path / name).mkdir()
    assert free_folder(tmp_path, "run") == tmp_path / "run-3"
