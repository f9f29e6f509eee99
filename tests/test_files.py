"""Files are whole or absent, whatever fails on the way, and no temporary is left behind."""

from __future__ import annotations

import errno
import json
import os
import stat
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


def test_a_new_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with files.new_folder(tmp_path / "folder") as folder:
            (folder / name).write_text(name)
    assert names_in(tmp_path) == {"folder", "folder/new"}
