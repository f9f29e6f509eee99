"""Git repositories as a reader of files sees them: where one begins, what it tracks, what it ignores, what it is a tree of.

All of it is read from files; git is never run (see `data.git_index`). A `.git` that is a file points to the folder with the
index, as in linked worktrees and submodules. It may point anywhere: what is read there are names and patterns, which can only
say which files of the folder itself are dropped.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from multiscale_transformer.data.dropped import Dropped
from multiscale_transformer.data.git_config import excludes_file, settings_in
from multiscale_transformer.data.git_index import UnreadableIndexError, tracked_names
from multiscale_transformer.data.ignoring import Rules, rules_in_file
from multiscale_transformer.data.names import carried, native, shown
from multiscale_transformer.data.reading import read_whole

_HASH_BYTES = {"sha1": 20, "sha256": 32}
_MAX_POINTER = 4096  # bytes of a file that only names a folder


@dataclass(frozen=True, eq=False)
class Repository:
    """A working tree. `top` is its absolute carried path, `common` the folder that all trees of one repository share.

    `linked` marks a tree that `git worktree add` made, `tracked` holds names relative to `top`, `changed` is when its index
    last was (seconds).
    """

    top: str
    common: str
    linked: bool
    tracked: frozenset[str]
    rules: tuple[Rules, ...]
    changed: float = 0.0

    @cached_property
    def folders(self) -> frozenset[str]:
        """Folders that hold something tracked, relative to `top`, submodules included."""
        folders = set(self.tracked)  # what is tracked as a file cannot be met as a folder, unless it is a submodule
        for name in self.tracked:
            parent = os.path.dirname(name)
            while parent and parent not in folders:
                folders.add(parent)
                parent = os.path.dirname(parent)
        return frozenset(folders)


def open_repository(folder: str, dropped: Dropped) -> Repository | None:
    """The repository whose top is the absolute carried path `folder`, or None when none is there.

    An index that cannot be read is noted: no file then counts as tracked, and the rules still hold.
    """
    git = _git_folder(folder)
    if git is None:
        return None
    common = _common_folder(git)
    settings = settings_in(f"{common}/config")
    hash_bytes = _HASH_BYTES.get(settings.get("extensions.objectformat", "sha1").lower(), 20)
    try:
        names = tracked_names(git, hash_bytes)
    except UnreadableIndexError as error:
        dropped.note(f"the index of the git repository {shown(folder)} cannot be read ({error}); nothing counts as tracked")
        names = set()
    tracked = frozenset(name.rstrip(b"/").decode("utf-8", "surrogateescape") for name in names)
    files = [(excludes_file(settings, native(folder)), True), (f"{common}/info/exclude", False)]
    rules = (rules_in_file(folder, carried(path), follow=follow) for path, follow in files)
    linked = os.path.realpath(git) != os.path.realpath(common)
    return Repository(folder, os.path.realpath(common), linked, tracked, tuple(filter(None, rules)), _changed(git))


def enclosing_repository(folder: str, dropped: Dropped) -> Repository | None:
    """The repository that the absolute carried path `folder` stands in, the innermost one."""
    place = PurePosixPath(folder) if os.sep == "/" else PurePosixPath(folder.replace(os.sep, "/"))
    for parent in (place, *place.parents):
        repository = open_repository(str(parent).rstrip("/"), dropped)
        if repository is not None:
            return repository
    return None


def _git_folder(folder: str) -> str | None:
    """The (native) folder with `HEAD` and `index` of a tree at `folder`."""
    git = native(f"{folder}/.git")
    if not os.path.isdir(git):
        pointer = read_whole(git, _MAX_POINTER)
        if pointer is None or not pointer.startswith(b"gitdir: "):
            return None
        target = os.fsdecode(pointer.removeprefix(b"gitdir: ").rstrip(b"\r\n"))
        if "\0" in target:
            return None
        git = os.path.join(native(folder or "/"), target)
    return git if os.path.isfile(f"{git}/HEAD") else None


def _common_folder(git: str) -> str:
    pointer = read_whole(f"{git}/commondir", _MAX_POINTER)
    named = os.fsdecode((pointer or b"").rstrip(b"\r\n"))
    return os.path.join(git, named) if named and "\0" not in named else git


def _changed(git: str) -> float:
    try:
        return os.stat(f"{git}/index").st_mtime
    except OSError:
        return 0.0
