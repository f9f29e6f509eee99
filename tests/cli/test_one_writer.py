"""Commands that write the same thing: the second is refused with one line that says who is at it, and destroys nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from calling import QUICK, Trained, call, code

HOLDING = """
import sys
from pathlib import Path
from multiscale_transformer.locks import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def held(path: Path) -> Iterator[int]:
    """Another process is writing `path`."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDING, path], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    yield holder.pid
    holder.communicate("\n")


def test_a_second_training_into_a_folder_is_refused(
    config: Path, project: Path, work: Path, refused: Callable[..., str]
) -> None:
    """Defect D9: both ran, and the folder held a mixture of the two."""
    with held(work / "run") as process:
        line = refused("train", "--config", config, "--data", project, "--out", "run", *QUICK)
    assert "run is being written by" in line
    assert f"process {process} on" in line
    (work / "run").mkdir()  # what the other one may have begun stays
    (work / "run" / "config.json").write_text("{}")
    with held(work / "run"):
        refused("train", "--config", config, "--data", project, "--out", "run", *QUICK)
    assert (work / "run" / "config.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("export", "gguf", "--out", "there", "--kind", "F16"),
        ("export", "hf", "--out", "there"),
        ("distill", "--out", "there", "--minutes", "0.01"),
        ("tune",),
    ],
)
def test_a_second_writer_of_anything_is_refused(
    words: tuple[str, ...], trained: Trained, work: Path, refused: Callable[..., str]
) -> None:
    shutil.copytree(trained.folder, work / "model")
    with held(work / ("model" if words == ("tune",) else "there")) as process:
        answer = call(*words, "--model", "model")
    assert answer.status == 2
    assert f"process {process} on" in answer.err.splitlines()[-1]
    assert not (work / "there").exists()
    assert not (work / "model" / "engine.json").exists()


def test_a_distilled_checkpoint_has_a_card_and_nothing_to_resume(
    trained: Trained, work: Path, refused: Callable[..., str]
) -> None:
    """Defect 3.8: a traceback about the machine."""
    shutil.copytree(trained.folder, work / "model")
    answer = call("distill", "--model", "model", "--out", "plain", "--minutes", "0.01", "--threads", "1")
    assert answer.status == 0, answer
    card = (work / "plain" / "README.md").read_text()
    assert "distilled from `model`" in card
    assert "metrics.csv" not in card
    assert "plain was distilled" in refused("train", "--resume", "--out", "plain")
    facts = json.loads((work / "plain" / "training.json").read_text())
    del facts["machine"]  # as earlier versions wrote it
    (work / "plain" / "training.json").write_text(json.dumps(facts))
    assert "plain was distilled" in refused("train", "--resume", "--out", "plain")


def test_an_interrupted_distillation_keeps_the_student(trained: Trained, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from multiscale_transformer.training.distill import Distiller

    step, steps = Distiller.step, []

    def interrupted(trainer: Distiller) -> None:
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(step(trainer))

    monkeypatch.setattr(Distiller, "step", interrupted)
    answer = call("distill", "--model", trained.folder, "--out", "plain", "--minutes", "1", "--threads", "1")
    assert answer.status == 130
    assert answer.err.splitlines()[-1] == "Interrupted; the student as it is by now: plain"
    assert json.loads((work / "plain" / "training.json").read_text())["steps"] == 3
    assert call("complete", "x", "--model", "plain", "--max-tokens", "3", "--engine", "torch").status == 0


def test_one_that_fills_a_cache_waits_for_another(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from multiscale_transformer.zoo import library

    (work / "lib").mkdir()
    (work / "lib" / "a.py").write_text(code(1))
    monkeypatch.setattr(library, "library_folder", lambda: work / "cache" / "library")
    (work / "cache").mkdir()
    monkeypatch.setattr(library, "stream_documents", lambda _: iter([("a.py", code(1).encode())]))
    monkeypatch.setattr(library, "CACHE_SECONDS", 0.3)
    told: list[str] = []
    with held(work / "cache" / "library"), pytest.raises(ValueError, match="is being written"):
        library.library_index(told.append)
    assert len(told) == 1
    assert library.library_index(told.append) == work / "cache" / "library"
    assert len(told) == 1
