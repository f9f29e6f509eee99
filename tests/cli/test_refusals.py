"""What is wrong with a command is said in one line, with status 2, and nothing half-written is left."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from calling import QUICK, Trained, call, code

from multiscale_transformer import files
from multiscale_transformer.cli import training_ui
from multiscale_transformer.training import resume
from multiscale_transformer.training.trainer import Trainer

Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "see axl --help"),
        ("trian", "no such command 'trian'. Did you mean 'train'?"),
        ("train --dta x", "no such option: --dta (Possible options: --data"),
        ("train --minutes", "option '--minutes' requires an argument"),
        ("train --minutes soon", "'--minutes'"),
        ("train --minutes 0", "'--minutes': it must be a number above 0, got 0"),
        ("train --minutes -1", "'--minutes': it must be a number above 0, got -1"),
        ("train --minutes nan", "'--minutes'"),
        ("train --minutes inf", "'--minutes'"),
        ("train --threads 0", "'--threads': it must be a whole number from 1 to 1024, got 0"),
        ("train --threads 1025", "'--threads'"),
        ("train --lr 0", "'--lr': it must be a number above 0, got 0"),
        ("train --seed -1", "'--seed': it must be a whole number from 0 to 9223372036854775807, got -1"),
        ("train --fim-rate 2", "'--fim-rate'"),
        ("train --optimizer adma", "'adma' is not one of 'adamw', 'galore', 'lion', 'muon', 'sgd'"),
        ("train --device gpu", "'gpu' is not one of 'auto', 'cpu', 'cuda', 'mps'"),
        ("train --log excel", "'excel' is not one of 'csv', 'tensorboard'"),
        ("train AXL-Micra", "unknown model 'AXL-Micra'; did you mean AXL-Micro"),
        ("train AXL-Micro --config x.yaml", "give a model's name or --config, not both"),
        ("train --config nowhere.yaml", "there is no config file nowhere.yaml"),
        ("train --config nowhere", "there is no config file nowhere.yaml"),
        ("train AXL-Micro --data nowhere", "nowhere does not exist; check the path"),
        ("train AXL-Micro --data nowhere/*.py", "no file matches"),
        ("train --resume", "no interrupted run in checkpoints; say where it is with --out"),
        ("train --resume --out nowhere", "nothing to resume in nowhere"),
        ("train AXL-Micra --resume", "unknown model 'AXL-Micra'"),
        ("train --resume --minutes 60 --no-memory --out x", "settings of the run; leave out --minutes, --no-memory"),
        ("train --config .", "--config needs a file"),
        ("train AXL-Micro --init none --interpolation 0.5", "is a share of the way from a trained model"),
        ("train AXL-Micro --nodes a,b --log tensorboard --device cpu", "leave out --device, --log"),
        ("train AXL-Micro --nodes a,b --data installed", "--nodes reads folders and stdlib"),
        ("train AXL-Refactor-Lion --nodes a,b", "--nodes reads folders and stdlib"),
        ("train AXL-Vision-v2 --data pages --fim-rate 0.5", "--fim-rate is for models that read text"),
        ("suggest --minutes 0", "'--minutes'"),
        ("suggest --ram -1", "'--ram': it must be a number above 0, got -1"),
        ("suggest --ram 0.0001", "no size trains in 0.0001 GB"),
        ("quickstart --minutes -1", "'--minutes'"),
        ("bench train --minutes 0", "'--minutes'"),
        ("data nowhere", "nowhere does not exist"),
        ("eval bpb", "missing option '--model'; see axl eval bpb --help"),
        ("complete x --model nowhere", "there is no folder nowhere"),
        ("complete x --model .", "no checkpoint in ."),
        ("eval bpb --model nowhere", "there is no folder nowhere"),
        ("report .", "is not a run"),
        ("report nowhere", "is not a run"),
    ],
)
def test_what_is_wrong_is_named(refused: Refused, words: str, said: str) -> None:
    if words:
        assert said in refused(*words.split())
    else:
        assert call().status == 2


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--data", ""),
        ("train", "--data", "good", "--data", " "),
        ("train", "--out", ""),
        ("complete", "x", "--model", ""),
        ("data", ""),
        ("eval", "bpb", "--model", ".", "--data", ""),
    ],
)
def test_an_empty_path_is_not_the_current_folder(refused: Refused, words: tuple[str, ...]) -> None:
    assert "the path is empty (. is the current folder)" in refused(*words)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--temperature", "-1"), "'--temperature'"),
        (("--temperature", "nan"), "'--temperature'"),
        (("--top-k", "-1"), "'--top-k'"),
        (("--top-p", "0"), "--top-p: Input should be greater than 0, got 0.0"),
        (("--top-p", "1.5"), "'--top-p'"),
        (("--repetition-penalty", "0"), "--repetition-penalty: "),
        (("--max-tokens", "-1"), "'--max-tokens'"),
        (("--seed", "-1"), "'--seed'"),
        (("--stop", ""), "--stop needs a text of at least one character"),
    ],
)
def test_sampling_that_makes_no_sense(refused: Refused, trained: Trained, options: tuple[str, ...], said: str) -> None:
    assert said in refused("complete", "x", "--model", trained.folder, *options)


def test_a_config_that_does_not_fit(refused: Refused, work: Path) -> None:
    (work / "odd.yaml").write_text("d_model: 30\nn_heads: 4\n")
    assert "d_model 30 is not divisible by n_heads 4" in refused("train", "--config", "odd.yaml")
    (work / "typo.yaml").write_text("d_modle: 32\n")
    assert "unknown field 'd_modle'; did you mean d_model" in refused("train", "--config", "typo.yaml")
    (work / "broken.yaml").write_text("d_model: [\n")
    assert "cannot read broken.yaml" in refused("train", "--config", "broken.yaml")


def test_data_without_text(refused: Refused, work: Path, config: Path) -> None:
    (work / "empty").mkdir()
    assert f"{work}/empty holds no source text" in refused("train", "--config", config, "--data", "empty")
    (work / "binary").mkdir()
    (work / "binary" / "a.py").write_bytes(b"\0\1\2")
    assert "no usable source text" in refused("train", "--config", config, "--data", "binary")
    assert "no usable source text" in refused("data", "binary")


def test_data_that_may_not_be_read(refused: Refused, work: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "data").mkdir()
    (work / "data" / "a.py").write_text(code(1))
    opened = os.open

    def refuse(path: str, *more: int, **named: int) -> int:  # as the system does to all but root
        if str(path).endswith("a.py"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    assert "make it readable or leave it out" in refused("train", "--config", config, "--data", "data")


def test_a_corpus_smaller_than_the_context(refused: Refused, work: Path, config: Path) -> None:
    (work / "data").mkdir()
    for name in ("a", "b"):
        (work / "data" / f"{name}.py").write_text(f"{name} = 1\nprint({name})\n")
    line = refused("train", "--config", config, "--data", "data", "--out", "run")
    assert "bytes to train on but the context is 128; add files, or name a --config with a smaller max_seq_len" in line


def test_a_folder_that_is_taken(refused: Refused, trained: Trained, work: Path, config: Path, project: Path) -> None:
    shutil.copytree(trained.folder, work / "done")
    options = ("--config", config, "--data", project, *QUICK)
    assert "already holds a finished checkpoint; choose another --out" in refused("train", "--out", "done", *options)
    assert "nothing to resume in done" in refused("train", "--resume", "--out", "done")
    (work / "file").write_text("")
    assert "file is a file, not a folder; choose another --out" in refused("train", "--out", "file", *options)
    assert "file is a file, not a folder; choose another --out" in refused("train", "--out", "file/run", *options)


def test_a_place_that_may_not_be_written(
    refused: Refused, work: Path, project: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_ui.os, "access", lambda path, mode: not mode & os.W_OK)
    assert f"cannot write into {work}; choose another --out" in refused(
        "train", "--config", config, "--data", project, "--out", "run", *QUICK
    )


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run")


def test_a_disk_with_too_little_room(refused: Refused, project: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_ui.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    line = refused("train", "--config", config, "--data", project, "--out", "run", *QUICK)
    assert "the disk is full" in line
    assert "has 1 KB free and this run needs " in line


def test_a_disk_that_fills_up_while_training(
    refused: Refused, project: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def step_and_fill(trainer: Trainer) -> None:
        step(trainer)
        monkeypatch.setattr(files.os, "fsync", full)

    monkeypatch.setattr(Trainer, "step", step_and_fill)
    line = refused("train", "--config", config, "--data", project, "--out", "run", *QUICK)
    assert "the disk is full: run/" in line


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "training.json"])
def test_a_damaged_checkpoint(refused: Refused, trained: Trained, work: Path, name: str) -> None:
    shutil.copytree(trained.folder, work / "run")
    path = work / "run" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert f"run/{name} is damaged" in refused("eval", "bpb", "--model", "run")
    if name != "training.json":
        assert f"run/{name} is damaged" in refused("complete", "x", "--model", "run")


def test_a_folder_of_something_else(refused: Refused, trained: Trained, work: Path) -> None:
    (work / "other").mkdir()
    (work / "other" / "config.json").write_text('{"model_type": "llama"}')
    assert "other is not an AXL checkpoint" in refused("complete", "x", "--model", "other")
    shutil.copytree(trained.folder, work / "run")
    (work / "run" / "training.json").write_text("[]")
    assert "does not say what the run was trained on" in refused("eval", "bpb", "--model", "run")


def test_data_that_changed_since(refused: Refused, work: Path, config: Path) -> None:
    (work / "data").mkdir()
    for number in range(3):
        (work / "data" / f"{number}.py").write_text(code(number))
    assert call("train", "--config", config, "--data", "data", "--out", "run", *QUICK).status == 0
    (work / "data" / "new.py").write_text(code(9))
    line = refused("eval", "bpb", "--model", "run")
    assert "the files that run was trained from have changed; name what to score with --data" in line


def test_a_name_resumes_its_own_runs_alone(refused: Refused, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("axl-code-1b-lion", "axl-code-1b-auto", "axl-code-1b-auto-2", "axl-code-1b"):
        (work / "checkpoints" / name).mkdir(parents=True)
    monkeypatch.setattr(resume, "has_resume", lambda _: True)
    runs = ", ".join(f"checkpoints/axl-code-1b{rest}" for rest in ("", "-auto", "-auto-2"))
    assert f"several runs were interrupted ({runs})" in refused("train", "AXL-Code-1B", "--resume")


def test_several_runs_to_resume(
    refused: Refused, work: Path, config: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(trainer: Trainer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "step", interrupt)
    for _ in range(2):
        assert call("train", "--config", config, "--data", project, *QUICK).status == 130
    line = refused("train", "--resume")
    assert "several runs were interrupted (checkpoints/tiny, checkpoints/tiny-2); say which one with --out" in line
    assert "holds an interrupted run; add --resume" in refused(
        "train", "--config", config, "--data", project, "--out", "checkpoints/tiny"
    )
    point = next((work / "checkpoints" / "tiny-2" / "resume").iterdir()) / "progress.json"
    point.write_text("{")
    assert "is damaged or from another version" in refused("train", "--resume", "--out", "checkpoints/tiny-2")
