"""A project folder lets no name out of it, and reads what it holds and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.agents.project import MAX_FILE_BYTES, ProjectFolder
from multiscale_transformer.errors import AxlError

SECRET = b"a secret outside"
PARTS = st.sampled_from(
    ["..", ".", "", "src", "a.py", "link", "links", "out", ".git", ".GIT", ".git ", "git~1", "config", "~", "C:", "secret",
     "\0", "\n", "\u202e", "\u200c", "x" * 300, "\\", "\\..\\", "...", " "]
)  # fmt: skip
NAMES = st.one_of(
    st.builds("/".join, st.lists(PARTS, max_size=6)), st.text(max_size=30), st.builds("/".join, st.lists(st.text(max_size=4)))
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """A project with files, and with links that lead out of it and stay in it."""
    base = tmp_path_factory.mktemp("base")
    (base / "secret").write_bytes(SECRET)
    (base / "out").mkdir()
    (base / "out" / "a.py").write_bytes(SECRET)
    root = base / "project"
    for name in ("src/a.py", ".git/config", "src/.git/config", "a.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "link").symlink_to(base / "secret")
    (root / "links").symlink_to(base / "out")
    (root / "src" / "link").symlink_to(root / "a.py")
    (root / "src" / "up").symlink_to("..")
    os.mkfifo(root / "pipe")
    return ProjectFolder(root)


@given(NAMES)
def test_no_name_leads_out(folder: ProjectFolder, name: str) -> None:
    try:
        path = folder.path_of(name)
    except AxlError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert "\n" not in refused
        return
    assert path.is_relative_to(folder.root)
    assert path.resolve() == path
    assert not {".git"} & {part.casefold().strip() for part in path.relative_to(folder.root).parts}


@given(NAMES)
def test_nothing_outside_is_read(folder: ProjectFolder, name: str) -> None:
    try:
        content = folder.read_bytes(name)
    except AxlError:
        return
    assert content is None or content == folder.name_of(name).encode()


REFUSED = """../secret src/../../secret /etc/passwd link links/a.py src/link src/up/a.py .git/config src/.git/config .GIT/config
~/x C:/x a\\b a.py/x git~1/config pipe src"""


@pytest.mark.parametrize("name", [*REFUSED.split(), "", "a\0b", "a\nb", "x" * 600])
def test_these_are_refused(folder: ProjectFolder, name: str) -> None:
    with pytest.raises(AxlError) as refused:
        folder.read_bytes(name)
    assert "\n" not in str(refused.value)


def test_plain_names_are_read(folder: ProjectFolder) -> None:
    assert folder.read("./src//a.py") == "src/a.py"
    assert folder.name_of("./src//a.py") == "src/a.py"
    assert folder.read_bytes("src/absent.py") is None
    assert folder.read_bytes("absent/absent.py") is None
    assert folder.list_dir("src") == ["a.py"]
    assert folder.list_dir() == ["a.py", "pipe", "src/"]
    assert list(folder.files()) == ["a.py", "src/a.py"]


def test_limits_and_binary_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "zero").write_bytes(b"a\0")
    (tmp_path / "crlf").write_bytes(b"a\r\nb")
    folder = ProjectFolder(tmp_path)
    for name in ("large", "binary", "zero", "absent"):
        with pytest.raises(AxlError):
            folder.read(name)
    assert folder.read("crlf") == "a\r\nb"
    with pytest.raises(AxlError, match="is no folder"):
        ProjectFolder(tmp_path / "crlf")
