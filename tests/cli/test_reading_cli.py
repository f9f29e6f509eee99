"""Reading from the command line: what is left out is told, AXL's own output is not read, and torch is not waited for."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import QUICK, call, code

from multiscale_transformer.training.trainer import Trainer


@pytest.fixture
def here(work: Path) -> Path:
    """The folder to stand in, with a small project in it."""
    for number in range(40, 46):
        (work / f"f{number}.py").write_text(code(number))
    return work


def interrupted(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    step = Trainer.step

    def step_and_interrupt(trainer: Trainer) -> None:
        step(trainer)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", step_and_interrupt)
        assert call(*words).status == 130


def test_what_is_left_out_is_listed_when_asked(here: Path) -> None:
    (here / "twin.py").write_text("# a copy\n" + code(40))
    (here / "a b\n.bin").write_bytes(b"\0")
    (here / "zero.py").write_bytes(b"\0")
    (here / "node_modules").mkdir()
    answer = call("data", ".", "--dropped")
    assert answer.status == 0, answer
    lines = dict(line.split("\t") for line in answer.out.splitlines())
    near = lines.pop(f"{here}/twin.py", None) or lines.pop(f"{here}/f40.py")
    assert near.startswith(f"near-duplicate of {here}/")
    assert lines == {
        f"{here}/a b\\n.bin": "unknown suffix",
        f"{here}/node_modules": "skipped folder",
        f"{here}/zero.py": "binary",
    }
    assert "dropped: binary 1, near-duplicate 1, skipped folder 1, unknown suffix 1" in call("data", ".").out
    for path in here.glob("f*.py"):
        path.unlink()
    (here / "twin.py").unlink()
    answer = call("data", ".", "--dropped")
    assert answer.status == 2
    assert f"{here}/zero.py\tbinary" in answer.out.splitlines()


def test_include_and_exclude_choose(here: Path) -> None:
    (here / "x.weird").write_text(code(50))
    shown = call("data", ".", "--include", "*.weird", "--exclude", "f40.py", "--exclude", "f41.py").out
    assert "4 files" in shown
    assert "dropped: excluded 2" in shown
    answer = call("index", ".", "--exclude", "f4?.py", "--include", "*.weird")
    assert "1 document" in answer.out
    assert "--exclude '!' is no pattern" in call("data", ".", "--exclude", "!").err


def test_a_run_in_its_own_data_is_resumed(here: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("train", "--config", config, "--data", ".", *QUICK)
    assert call(*words).status == 0  # a finished one beside it
    interrupted(monkeypatch, *words)
    assert sorted(path.name for path in Path("checkpoints").iterdir()) == ["tiny", "tiny-2"]
    again = call("train", "--resume", "--threads", "1")
    assert again.status == 0, again
    facts = json.loads(Path("checkpoints/tiny-2/training.json").read_text())
    assert facts["data"]["train_documents"] + facts["data"]["held_out_documents"] == 6
    assert call("eval", "bpb", "--model", "checkpoints/tiny-2", "--threads", "1").status == 0
    listed = call("data", ".").out
    assert "checkpoints" not in listed
    assert "written by AXL" in listed


def test_a_selection_is_kept_with_the_run(here: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "x.weird").write_text(code(50))
    chosen = ("--include", "*.weird", "--exclude", "f40.py")
    interrupted(monkeypatch, "train", "--config", config, "--data", ".", "--out", "run", *chosen, *QUICK)
    assert call("train", "--resume", "--out", "run", "--threads", "1").status == 0
    data = json.loads(Path("run/training.json").read_text())["data"]
    assert data["selection"] == {"include": ["*.weird"], "exclude": ["f40.py"]}
    assert data["train_documents"] + data["held_out_documents"] == 6
    assert call("eval", "bpb", "--model", "run", "--threads", "1").status == 0


def test_an_index_in_its_own_data_settles(here: Path) -> None:
    assert "6 documents" in call("index", ".").out
    for _ in range(2):
        answer = call("index", ".", "--update", "--prune")
        assert "0 added, 0 replaced, 0 removed, 6 unchanged" in answer.out, answer
    assert "6 documents" in call("index", ".", "--out", "other").out


def test_only_folders_are_pruned_by(here: Path, refused: Callable[..., str]) -> None:
    assert call("index", ".", "--out", "made").status == 0
    for path in ("f40.py", "*.py"):
        assert f"--prune goes with folders, and {path} is none" in refused(
            "index", path, "--out", "made", "--update", "--prune"
        )


def test_what_cannot_be_read_is_not_pruned(here: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("index", ".", "--out", "made").status == 0
    opened = os.open

    def refuse(path: str, *more: int, **named: int) -> int:
        if str(path).endswith("f40.py"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    line = refused("index", ".", "--out", "made", "--update", "--prune")
    assert "1 files or folders could not be read, and --prune would remove them from the index" in line
    assert "5 unchanged" in call("index", ".", "--out", "made", "--update").out


def test_an_index_keeps_near_duplicates_and_drops_exact_ones(here: Path) -> None:
    (here / "near.py").write_text("# a copy\n" + code(40))
    (here / "same.py").write_text(code(41))
    answer = call("index", ".")
    assert "7 documents" in answer.out
    assert "exact copy 1" in answer.out


def test_a_git_index_that_cannot_be_read_is_said(here: Path, refused: Callable[..., str]) -> None:
    subprocess.run(["git", "init", "-q", "."], check=True)
    (here / ".git" / "index").write_bytes(b"damaged")
    note = f"the index of the git repository {here} cannot be read (it is damaged); nothing counts as tracked"
    assert f"note: {note}" in call("data", ".").out
    assert f"note: {note}" in call("index", ".").err


def test_reading_does_not_wait_for_torch(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x = 1\n" * 200)
    script = "import sys, multiscale_transformer.cli.main as m; m.main(['data', sys.argv[1]]); sys.exit('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "1 file (1 KB) to train on" in answer.stdout


@pytest.mark.parametrize("locale", [{}, {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_names_that_are_no_utf8_can_be_looked_at(locale: dict[str, str], here: Path) -> None:
    (here / os.fsdecode(b"caf\xe9.py")).write_text(code(60) + code(61))
    (here / "日本.bin").write_bytes(b"\0")
    (here / os.fsdecode(b"\x1b[31m\xff.bin")).write_bytes(b"\0")
    script = "import sys, multiscale_transformer.cli.main as m; sys.exit(m.main(sys.argv[1:]))"
    command, environment = [sys.executable, "-c", script, "data", "."], {**os.environ, **locale}
    assert b"caf\\xe9.py" in subprocess.run(command, env=environment, capture_output=True, check=True).stdout
    listed = subprocess.run([*command, "--dropped"], env=environment, capture_output=True, check=True).stdout
    assert f"{here}/\\x1b[31m\\xff.bin\tunknown suffix".encode() in listed


def test_a_flag_of_an_earlier_version_works_and_says_its_new_name(here: Path) -> None:
    (here / "zero.py").write_bytes(b"\0")
    old, new = call("data", ".", "--left-out"), call("data", ".", "--dropped")
    assert (old.status, old.out) == (0, new.out)
    assert "note: --left-out is called --dropped now" in old.err
    assert "--left-out" not in call("data", "--help").out
