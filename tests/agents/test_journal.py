"""Undo is exact: after any changes of any files the project is as it was, or nothing is taken back and a line says why."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiscale_transformer.agents import journal as module
from multiscale_transformer.agents.journal import MAX_RUNS, Change, Journal
from multiscale_transformer.agents.project import ProjectFolder
from multiscale_transformer.errors import AxlError

NAMES = ("a.py", "src/b.py", "src/new/c.txt", "d")
CONTENTS = st.one_of(st.none(), st.binary(max_size=20))
State = dict[str, tuple[bytes, int] | None]


def state(root: Path) -> State:
    """Every file with its permissions, and every folder."""
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def project(root: Path, content: dict[str, bytes | None]) -> ProjectFolder:
    (root / "src").mkdir(parents=True)
    for name, text in content.items():
        if text is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(text)
            (root / name).chmod(0o750)
    return ProjectFolder(root)


@settings(deadline=None, max_examples=40)
@given(
    st.fixed_dictionaries(dict.fromkeys(NAMES, CONTENTS)),
    st.lists(
        st.lists(st.tuples(st.sampled_from(NAMES), CONTENTS), min_size=1, max_size=4, unique_by=lambda one: one[0]), max_size=4
    ),
)
def test_undo_brings_everything_back(content: dict[str, bytes | None], steps: list[list[tuple[str, bytes | None]]]) -> None:
    with tempfile.TemporaryDirectory() as base:
        folder = project(Path(base, "project"), content)
        journal = Journal(folder, Path(base, "data"))
        before, changes = state(folder.root), journal.begin("task")
        for step in steps:
            changes.apply([Change(name, folder.read_bytes(name), after) for name, after in step])
            assert all(folder.read_bytes(name) == after for name, after in step)
        if not steps:
            with pytest.raises(AxlError, match="no agent has changed anything"):
                journal.undo()
            return
        journal.undo()
        assert state(folder.root) == before
        with pytest.raises(AxlError, match="no agent has changed anything"):
            journal.undo()


def test_runs_are_taken_back_one_after_the_other(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", {"a.py": b"0"})
    journal = Journal(folder, tmp_path / "data")
    for number in range(1, MAX_RUNS + 5):
        journal.begin("task").apply([Change("a.py", str(number - 1).encode(), str(number).encode())])
    for number in reversed(range(5, MAX_RUNS + 5)):
        assert journal.undo() == ["a.py"]
        assert folder.read("a.py") == str(number - 1)
    with pytest.raises(AxlError):
        journal.undo()  # the oldest are forgotten


def test_what_somebody_changed_is_not_taken_back(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", {"a.py": b"a", "d": b"d"})
    journal = Journal(folder, tmp_path / "data")
    journal.begin("task").apply([Change("a.py", b"a", b"b"), Change("d", b"d", None)])
    (folder.root / "a.py").write_bytes(b"mine")
    before = state(folder.root)
    with pytest.raises(AxlError, match=r"a\.py was changed after the agent"):
        journal.undo()
    assert state(folder.root) == before
    (folder.root / "a.py").write_bytes(b"b")
    assert journal.undo() == ["a.py", "d"]


def test_a_killed_run_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project(tmp_path / "project", {"a.py": b"a", "d": b"d"})
    journal = Journal(folder, tmp_path / "data")
    before, put = state(folder.root), module.put

    def killed(path: Path, content: bytes | None, mode: int | None) -> None:
        if path.name == "d":
            raise KeyboardInterrupt
        put(path, content, mode)

    monkeypatch.setattr(module, "put", killed)
    with pytest.raises(KeyboardInterrupt):
        journal.begin("task").apply([Change("a.py", b"a", b"b"), Change("d", b"d", b"e")])
    assert folder.read("a.py") == "b"
    monkeypatch.setattr(module, "put", put)
    journal.undo()
    assert state(folder.root) == before


@pytest.mark.parametrize("name", ["../x", ".git/config", "link/x", "/x"])
def test_nothing_outside_is_written(tmp_path: Path, name: str) -> None:
    folder = project(tmp_path / "project", {})
    (tmp_path / "out").mkdir()
    (folder.root / "link").symlink_to(tmp_path / "out")
    before = state(tmp_path)
    journal = Journal(folder, tmp_path.parent / f"{tmp_path.name}-data")
    with pytest.raises(AxlError, match="is refused"):
        journal.begin("task").apply([Change("a.py", None, b"x"), Change(name, None, b"x")])
    assert state(tmp_path) == before


def test_a_file_that_is_another_one_now_is_not_written(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", {"a.py": b"a"})
    with pytest.raises(AxlError, match="changed meanwhile"):
        Journal(folder, tmp_path / "data").begin("task").apply([Change("d", None, b"x"), Change("a.py", b"b", b"c")])
    assert folder.read_bytes("d") is None


def test_a_link_is_not_followed_out_by_undo(tmp_path: Path) -> None:
    folder = project(tmp_path / "project", {"src/b.py": b"a"})
    journal = Journal(folder, tmp_path / "data")
    journal.begin("task").apply([Change("src/b.py", b"a", b"b")])
    (folder.root / "src").rename(tmp_path / "moved")
    (folder.root / "src").symlink_to(tmp_path / "moved")
    with pytest.raises(AxlError, match="link"):
        journal.undo()
    assert (tmp_path / "moved" / "b.py").read_bytes() == b"b"
