"""`axl agent` on a project: steps are shown, nothing is written without a yes, undo is exact, refusals are one line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from held import needs_sandbox
from multiscale_transformer.cli.main import main
from tiny import SHAPES, checkpoint

pytestmark = needs_sandbox
AREA = """\
def longest(words):
    best = ''
    for word in words:
        if len(word) < len(best):
            best = word
    return best
"""
MENDED = AREA.replace("<", ">")
TEST = """\
from area import longest

def test_longest():
    assert longest(['a', 'abc', 'b']) == 'abc'
    assert longest(['x', 'y']) == 'x'
"""
TASK = "make tests/test_area.py pass"
EDIT = "Replace line 5 of area.py with `            best = str(word)`"
EDITED = AREA.replace("best = word", "best = str(word)")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    checkpoint(SHAPES["flat"].model_copy(update={"max_seq_len": 2048}), folder)
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    root = tmp_path / "project"
    for name, text in (("area.py", AREA), ("tests/test_area.py", TEST), (".git/config", "kept")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "area.py").chmod(0o755)
    return root


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_failing_test_passes_and_undo_is_exact(project: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, before = ["agent", "--project", str(project), "--model", str(model)], snapshot(project)
    assert main([*words, TASK]) == 1  # nobody to ask
    told = capsys.readouterr()
    assert snapshot(project) == before
    for line in (
        "Step        make tests/test_area.py pass",
        "Tool        fix_tests(path='tests/test_area.py')",
        "+        if len(word) > len(best):",
        "Verified    all tests pass (1) after it",
        "Not written  area.py",
    ):
        assert line in told.out, told.out
    assert "run 0: 1 test failing" in told.err
    assert "--yes writes" in told.err
    assert main([*words, TASK, "--yes", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["task"] == TASK
    (step,) = answer["steps"]
    assert (step["tool"], step["ok"], step["written"]) == ("fix_tests", True, True)
    assert (project / "area.py").read_text() == MENDED
    after = snapshot(project)
    assert {name for name in before if before[name] != after[name]} == {"area.py"}
    assert main([*words, TASK]) == 0  # it passes as it is
    assert "all tests pass" in capsys.readouterr().out
    assert main(["agent", "--project", str(project), "--undo"]) == 0
    assert "area.py" in capsys.readouterr().out
    assert snapshot(project) == before
    assert main(["agent", "--project", str(project), "--undo"]) == 2
    assert "no agent has changed anything" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "written"), [("y\n", True), ("\n", False), ("", False), ("no\n", False)])
def test_a_person_is_asked(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, written: bool
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert main(["agent", "--project", str(project), EDIT]) == (0 if written else 1)
    assert "Write this? [y/N]" in capsys.readouterr().err
    assert (project / "area.py").read_text() == (EDITED if written else AREA)


def test_several_steps_and_what_no_tool_does(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agent", "--project", str(project), "list the folder tests/ then read the file area.py"]) == 0
    told = capsys.readouterr().out
    assert "test_area.py\n" in told
    assert "    4          if len(word) < len(best):" in told
    assert main(["agent", "--project", str(project), "thanks a lot!"]) == 1
    assert "no tool does this" in capsys.readouterr().out
    assert main(["agent", "--project", str(project), "read the file ../secret.py", "--json"]) == 1
    assert not json.loads(capsys.readouterr().out)["steps"][0]["ok"]


@pytest.mark.parametrize(
    "words",
    [["agent"], ["agent", "x", "--undo"], ["agent", ""], ["agent", "x", "--project", "absent"], ["agent", ";".join("a" * 20)],
     ["agent", "--undo", "--project", "."]],
)  # fmt: skip
def test_refusals_are_one_line(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith("axl: ")
    assert told.count("\n") == 1


def test_undo_refuses_what_somebody_changed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agent", "--project", str(project), EDIT, "--yes"]) == 0
    (project / "area.py").write_text("mine")
    capsys.readouterr()
    assert main(["agent", "--project", str(project), "--undo"]) == 2
    assert "area.py was changed after the agent" in capsys.readouterr().err
    assert (project / "area.py").read_text() == "mine"
