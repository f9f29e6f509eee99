"""Files are whole or absent, whatever fails on the way, and no temporary is left behind."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from tiny import names_in

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3),
    max_leaves=8,
)


def fail(code: int) -> Callable[..., Any]:
    def failing(*args: object, **kwargs: object) -> Any:
        raise OSError(code, os.strerror(code))

    return failing


@given(json_values)
def test_json_reads_back(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    path = tmp_path_factory.mktemp("json") / "deep" / "down.json"
    files.write_json(path, content)
    assert json.loads(path.read_text(encoding="utf-8")) == content
    assert path.read_bytes().endswith(b"\n")


def test_a_written_file_has_the_rights_of_an_ordinary_one(tmp_path: Path) -> None:
    files.write_text(tmp_path / "ours", "x")
    (tmp_path / "ordinary").write_text("x")
    with files.new_folder(tmp_path / "our folder"):
        pass
    (tmp_path / "ordinary folder").mkdir()
    for ours, ordinary in (("ours", "ordinary"), ("our folder", "ordinary folder")):
        assert stat.S_IMODE((tmp_path / ours).stat().st_mode) == stat.S_IMODE((tmp_path / ordinary).stat().st_mode)


def test_rights_that_are_given_are_there_before_anybody_can_read(tmp_path: Path) -> None:
    path, begun = tmp_path / "file", []

    def write(temporary: Path) -> None:
        begun.append(stat.S_IMODE(temporary.stat().st_mode))
        temporary.write_bytes(b"x")

    files.write_with(path, write, 0o640)
    assert [*begun, stat.S_IMODE(path.stat().st_mode)] == [0o600, 0o640]
    for writing, content in ((files.write_bytes, b"x"), (files.write_text, "x"), (files.write_json, "x")):
        path.chmod(0o644)
        writing(path, content, 0o600)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_full_disk_leaves_the_old_file_and_no_temporary(
    failing: str, before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    full = fail(errno.ENOSPC)
    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    if failing == "replace":
        monkeypatch.setattr(Path, "replace", full)

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"half of")
        if failing == "write":
            full()

    with pytest.raises(AxlError, match=r"the disk is full: .*file was not written; free some space") as caught:
        files.write_with(path, write)
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == (set() if before is None else {"file"})
    assert before is None or path.read_bytes() == before


def test_another_error_is_no_full_disk_and_a_defect_keeps_its_kind(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match=r"cannot write .*: Permission denied; choose"):
        files.write_with(tmp_path / "file", fail(errno.EACCES))
    with pytest.raises(ZeroDivisionError):
        files.write_with(tmp_path / "file", lambda temporary: 1 // 0)
    (tmp_path / "plain").write_text("a file where a folder should be")
    with pytest.raises(AxlError, match="cannot write"):
        files.write_text(tmp_path / "plain" / "file", "x")
    assert names_in(tmp_path) == {"plain"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "full"), AxlError("no")])
def test_a_folder_that_fails_leaves_the_old_one(error: BaseException, tmp_path: Path) -> None:
    with files.new_folder(tmp_path / "folder") as folder:
        (folder / "old").write_text("old")
        assert not (tmp_path / "folder").exists()

    def failing() -> None:
        with files.new_folder(tmp_path / "folder") as folder:
            (folder / "new").write_text("new")
            raise error

    with pytest.raises((KeyboardInterrupt, AxlError)):
        failing()
    assert names_in(tmp_path) == {"folder", "folder/old"}


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.py"), "caf\u00e9.py", os.fsdecode("caf\u00e9.py".encode("latin-1"))])
def test_any_name_of_a_file_comes_back_from_json(name: str, tmp_path: Path) -> None:
    files.write_json(tmp_path / "names.json", {"names": [name], name: 1})
    assert json.loads((tmp_path / "names.json").read_text(encoding="utf-8")) == {"names": [name], name: 1}
    files.write_text(tmp_path / "names.txt", name)
    assert os.fsdecode((tmp_path / "names.txt").read_bytes()) == name


def test_numpy_s_words_for_a_full_disk_are_said_as_such(tmp_path: Path) -> None:
    def short(_: Path) -> None:
        raise OSError("941489 requested and 550880 written")

    with pytest.raises(AxlError, match="the disk is full"):
        files.write_with(tmp_path / "file", short)


def test_what_cannot_be_read_is_not_said_to_be_written(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError, match="missing"):
        files.write_with(tmp_path / "file", lambda _: missing.read_bytes())
    with pytest.raises(FileNotFoundError, match="missing"), files.new_folder(tmp_path / "folder"):
        missing.read_bytes()
    assert not names_in(tmp_path)


def test_a_failing_file_in_a_new_folder_is_called_as_it_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", fail(errno.ENOSPC))
    with pytest.raises(AxlError) as caught, files.new_folder(tmp_path / "folder") as folder:
        files.write_text(folder / "inside", "x")
    assert f"{tmp_path / 'folder' / 'inside'} was not written" in str(caught.value)


# Replaces a folder twice and dies at the call of the system whose number is given: before it, or after it when odd.
DYING = """
import os, shutil, signal, sys
from pathlib import Path
from multiscale_transformer import files

target, die_at, exchanges = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
calls = 0

def step():
    global calls
    if calls == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    calls += 1

def dying(call):
    def called(*args, **kwargs):
        step()
        result = call(*args, **kwargs)
        step()
        return result
    return called

if not exchanges:
    files.exchange = lambda *_: False
for module, name in ((os, "fsync"), (os, "rename"), (os, "mkdir"), (os, "chmod"), (os, "unlink"), (os, "rmdir"), (os, "open"),
                     (files, "exchange"), (shutil, "rmtree")):
    setattr(module, name, dying(getattr(module, name)))
with files.new_folder(target) as made:
    for name in ("a", "b"):
        (made / name).write_text("new")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 is of POSIX")
@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_replaced_under_kill_9_is_the_old_one_or_the_new_one(exchanges: bool, tmp_path: Path) -> None:
    """At each step; where names cannot be exchanged the next use brings the old one back."""
    target, states = tmp_path / "folder", set()
    for die_at in range(200):
        with files.new_folder(target) as made:
            for name in ("a", "b", "c"):
                (made / name).write_text("old")
        ended = subprocess.run([sys.executable, "-c", DYING, target, str(die_at), str(exchanges)], check=False)
        if not exchanges:
            files.recover(target)
        found = {path.name: path.read_text() for path in target.iterdir()}
        assert found in ({"a": "old", "b": "old", "c": "old"}, {"a": "new", "b": "new"}), die_at
        states.add(len(found))
        with files.new_folder(target) as made:
            (made / "next").write_text("next")
        assert names_in(tmp_path) == {"folder", "folder/next"}, die_at
        if ended.returncode == 0:
            break
    assert ended.returncode == 0
    assert states == {2, 3}
    assert die_at > 12


def test_what_another_writer_is_at_stays(tmp_path: Path) -> None:
    with files.new_folder(tmp_path / "folder") as first:
        (first / "file").write_text("x")
        files.write_text(tmp_path / "folder.txt", "other")
        with files.new_folder(tmp_path / "folder") as second:
            assert first != second
        assert (first / "file").exists()
    assert names_in(tmp_path) == {"folder", "folder/file", "folder.txt"}


def test_a_new_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with files.new_folder(tmp_path / "folder") as folder:
            (folder / name).write_text(name)
    assert names_in(tmp_path) == {"folder", "folder/new"}
