"""A project folder as an agent sees it: names that cannot lead out of it, and reading with limits.

A name comes from a model, a request or another program, so it is hostile until shown otherwise. It is a path below the folder:
not absolute, without `..`, through no link, into no folder of a version control system, of characters that a person can see.
Files are opened part by part from the folder's own handle, so a link that is put in the way meanwhile is not followed either.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.test_runs import SKIPPED

MAX_FILE_BYTES = 1 << 20  # of a file that is read or written
MAX_NAME_CHARS = 512
MAX_FILES = 20_000  # of a project that is listed
_HIDDEN = {".git", ".hg", ".svn", ".bzr", ".jj"}  # folders of version control systems, which no tool reads or writes
_SHORT_GIT = re.compile(r"git~\d+", re.IGNORECASE)  # .git under its short name on file systems of Windows
_LINK_IN_THE_WAY = (errno.ELOOP, errno.ENOTDIR)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class ProjectFolder:
    """A folder, and files of it by their names: relative paths with `/` between the parts."""

    def __init__(self, root: Path) -> None:
        """Raises AxlError where there is no such folder."""
        if not root.is_dir():
            raise AxlError(f"{root} is no folder; give the folder of a project")
        self.root = root.resolve()

    def name_of(self, name: str) -> str:
        """A name in its plain form (`./a//b.py` is `a/b.py`; the folder itself is empty).

        Whether there is such a file is not looked at. Raises AxlError for a name that leads out.
        """
        if len(name) > MAX_NAME_CHARS or not name.isprintable() or "\\" in name:
            raise _refused(name, "it is no plain path")
        if name.startswith(("/", "~")) or re.match(r"[A-Za-z]:", name):
            raise _refused(name, "it is absolute")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        for part in parts:
            if part == "..":
                raise _refused(name, "it leads upwards")
            if part.casefold().rstrip(" .") in _HIDDEN or _SHORT_GIT.fullmatch(part):
                raise _refused(name, "the history of a project is not touched")
            if len(os.fsencode(part)) > 255:
                raise _refused(name, "it is no plain path")
        return "/".join(parts)

    def path_of(self, name: str) -> Path:
        """The path of a name that need not exist. Raises AxlError for one that leads out, or through a link or a file."""
        plain = self.name_of(name)
        path, parts = self.root, plain.split("/") if plain else []
        for number, part in enumerate(parts, 1):
            path /= part
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                return self.root.joinpath(*parts)
            except OSError as error:
                raise _refused(name, error.strerror or str(error)) from None
            if stat.S_ISLNK(mode):
                raise _refused(name, "it is or lies behind a link")
            if number < len(parts) and not stat.S_ISDIR(mode):
                raise _refused(name, "it lies behind a file")
        return path

    def read_bytes(self, name: str) -> bytes | None:
        """The content of a file, None where there is none. Raises AxlError for what is no regular file or too large."""
        plain = self.name_of(name)
        if not plain:
            raise _refused(name, "it is a folder")
        handle = self._open(plain)
        if handle is None:
            return None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise _refused(name, "it is no regular file")
        with open(handle, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise _refused(name, f"it has more than {MAX_FILE_BYTES >> 20} MB")
        return content

    def read(self, name: str) -> str:
        """The text of a file; line ends stay as they are. Raises AxlError where there is none, or no text."""
        content = self.read_bytes(name)
        if content is None:
            raise AxlError(f"{name} is no file of {self.root}")
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise _refused(name, "it is no UTF-8 text") from None
        if "\0" in text:
            raise _refused(name, "it is no text")
        return text

    def list_dir(self, name: str = "") -> list[str]:
        """What a folder holds, folders with a `/` behind them; links and folders of version control are left out."""
        path = self.path_of(name)
        if not path.is_dir():
            raise AxlError(f"{name or '.'} is no folder of {self.root}")
        found = []
        with os.scandir(path) as entries:
            for entry in entries:
                if not entry.is_symlink() and entry.name.casefold() not in _HIDDEN and entry.name.isprintable():
                    found.append(f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name)
        return sorted(found)

    def files(self) -> Iterator[str]:
        """Names of all files but those of environments, caches and version control, at most MAX_FILES, in a fixed order."""
        count = 0
        for folder, inner, names in os.walk(self.root):
            inner[:] = sorted(name for name in inner if name not in SKIPPED | _HIDDEN and name.isprintable())
            for name in sorted(names):
                path = Path(folder) / name
                if name.isprintable() and not path.is_symlink() and path.is_file():
                    count += 1
                    if count > MAX_FILES:
                        return
                    yield path.relative_to(self.root).as_posix()

    def _open(self, plain: str) -> int | None:
        """A handle of a file, opened from the root part by part without following a link; None where there is none."""
        *folders, last = plain.split("/")
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for folder in folders:
                inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | _NO_FOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
            return os.open(last, os.O_RDONLY | os.O_NONBLOCK | _NO_FOLLOW, dir_fd=handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            in_the_way = error.errno in _LINK_IN_THE_WAY
            raise _refused(plain, "it is or lies behind a link or a file" if in_the_way else str(error.strerror)) from None
        finally:
            os.close(handle)


def _refused(name: str, why: str) -> AxlError:
    shown = "".join(char if char.isprintable() else "?" for char in name)[:80]
    return AxlError(f"{shown!r} is refused: {why}; give the path of a file below the project's folder, as src/area.py")
