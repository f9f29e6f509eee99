"""Folders for the tests of reading: files of code, and git repositories made by git itself."""

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from multiscale_transformer.data.dropped import Dropped
from multiscale_transformer.data.selection import EVERYTHING, Selection
from multiscale_transformer.data.sources import list_sources, read_source

QUIET = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *QUIET, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def repository(root: Path, files: dict[str, str | bytes], *, tracked: bool = True) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q", "-b", "main")
    write(root, files)
    if tracked:
        git(root, "add", "-A", "-f")
        git(root, "commit", "-q", "-m", "x")
    return root


def listed(*paths: Path | str, selection: Selection = EVERYTHING, dropped: Dropped | None = None) -> list[str]:
    """The names behind `paths`, sorted."""
    return sorted(file.name for file in list_sources(paths, selection, dropped=dropped or Dropped()))


def read_sources(paths: Sequence[Path | str]) -> Iterator[tuple[str, bytes]]:
    """Name and content of every document behind `paths`."""
    dropped = Dropped()
    for file in list_sources(paths, dropped=dropped):
        yield from ((document.name, document.content) for document in read_source(file, dropped))


def reasons(*paths: Path | str, selection: Selection = EVERYTHING) -> dict[str, str]:
    """Why each entry below the first path is dropped, by its name in it."""
    dropped = Dropped(listed=True)
    list_sources(paths, selection, dropped=dropped)
    return {place.removeprefix(f"{paths[0]}/"): reason for place, reason in dropped.entries}


def function(number: int, comment: str = "") -> str:
    """Some code that is unlike that of any other number; `comment` makes a near-duplicate of it."""
    stem = hashlib.sha256(str(number).encode()).hexdigest()
    words = [f"v{stem[at : at + 3]}" for at in range(0, 60, 3)]
    return f"# {comment}\n" * bool(comment) + "\n".join(f"{one} = {two} + 1" for one in words[:6] for two in words[6:]) + "\n"
