"""Files that are either whole or absent, whatever happens while they are written.

Everything AXL leaves on disk is written beside its place, flushed to the disk and renamed into it, so that a crash, a full disk
or a pulled plug leaves the old file or the new one and never half of either. `new_folder` does the same for a whole folder.
What a killed command leaves beside the place is named after its process, and the next writer of the same place removes it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import re
import shutil
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.exchange import exchange

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # numpy's words for a full disk, without the system's number
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF, errno.EISDIR)
_TEMPORARY, _ASIDE = ".tmp", ".old"
PRIVATE = 0o600  # the mode of a file that may hold a key
_SHOWN = 40  # characters of a name that its temporary repeats, so that the longest names have one too
_FOREIGN_SECONDS = 86_400  # after which what another machine left is nobody's any more


def write_with(path: Path, write: Callable[[Path], object], mode: int | None = None) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to the disk and rename it into place.

    `mode` are its permissions (default: those of any new file); nobody else can read it before it has them.
    Raises AxlError when the disk is full or the folder cannot be written; `path` is then as it was. Errors of other files that
    `write` reads keep their kind.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        handle, name = tempfile.mkstemp(_TEMPORARY, _prefix(path, os.getpid()), path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            with _only_of(temporary):
                write(temporary)
            _sync(temporary)
            temporary.chmod(0o666 & ~_umask() if mode is None else mode)
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write `content` atomically."""
    write_with(path, lambda temporary: temporary.write_bytes(content), mode)


def write_text(path: Path, content: str, mode: int | None = None) -> None:
    """Write `content` as UTF-8, atomically; names of files that are no UTF-8 become the bytes that they are on the disk."""
    write_bytes(path, content.encode("utf-8", "surrogateescape"), mode)


def write_json(path: Path, content: Any, mode: int | None = None) -> None:
    """Write `content` as indented JSON, atomically.

    A name that is no UTF-8 holds lone surrogates (PEP 383). They are written as JSON's escapes, so the file is UTF-8 on every
    machine and whoever reads it gets the same name back.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_bytes(path, text.encode("utf-8", "backslashreplace"), mode)  # which of surrogates makes \udcxx, as JSON does


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends well, and vanishes when it does not.

    At every instant `path` is the old folder or the new one, where the system can exchange two names (Linux); elsewhere there
    are two instants between which the old one stands aside, from where `recover` brings it back.
    Raises AxlError when the disk is full or the folder cannot be written. Errors of other files that the block reads keep their
    kind.
    """
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        recover(path)
        _sweep(path)
        temporary = Path(tempfile.mkdtemp(_TEMPORARY, _prefix(path, os.getpid()), path.parent))
        try:
            with _only_of(temporary):
                yield temporary
            temporary.chmod(0o777 & ~_umask())
            _sync_tree(temporary)
            _put_in_place(temporary, path)
            _sync_folder(path.parent)
        except AxlError as error:  # about a file inside, which nobody knows by that name
            raise AxlError(str(error).replace(str(temporary), str(path))) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def recover(path: Path) -> None:
    """Bring back a folder that a killed `new_folder` left standing aside; does nothing where there is none."""
    if path.exists():
        return
    for aside, alive in _leftovers(path, _ASIDE):
        if not alive:
            with contextlib.suppress(OSError):  # another process was faster
                os.rename(aside, path)
            return


def _put_in_place(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.rename(temporary, path)
    elif not exchange(temporary, path):  # what stands in `temporary` now is the old one, and the caller removes it
        aside = temporary.with_suffix(_ASIDE)
        os.rename(path, aside)
        try:
            os.rename(temporary, path)
        except BaseException:
            os.rename(aside, path)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _prefix(path: Path, process: int) -> str:
    """How the temporaries of a process for `path` begin."""
    return f".{path.name[:_SHOWN]}.{_machine()}-{process}-"


@functools.cache
def _machine() -> str:
    """A short name for this machine: on a shared disk its process numbers say nothing of those of another."""
    return f"{zlib.crc32(socket.gethostname().encode('utf-8', 'surrogateescape')):08x}"


def _sweep(path: Path) -> None:
    """Remove what killed writers of `path` have left beside it."""
    for ending in (_TEMPORARY, _ASIDE):
        for leftover, alive in _leftovers(path, ending):
            if alive:
                continue
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    leftover.unlink()


def _leftovers(path: Path, ending: str) -> Iterator[tuple[Path, bool]]:
    """Temporaries for `path` that other processes began, and whether their writers are still at it."""
    pattern = re.compile(rf"\.{re.escape(path.name[:_SHOWN])}\.([0-9a-f]{{8}})-(\d+)-\w+{re.escape(ending)}")
    with contextlib.suppress(OSError):
        for name in os.listdir(path.parent):
            if found := pattern.fullmatch(name):
                yield path.parent / name, _is_written(path.parent / name, found[1], int(found[2]))


def _is_written(temporary: Path, machine: str, process: int) -> bool:
    """Whether the process that began a temporary may still be writing it; numbers of processes come again."""
    from time import time

    import psutil  # only when something is left over, which is rare

    try:
        begun = temporary.lstat().st_mtime
    except OSError:
        return True
    if machine != _machine():
        return time() - begun < _FOREIGN_SECONDS
    try:
        return psutil.Process(process).create_time() <= begun + 1
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    """Flush the names in a folder, where the system can do that."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def _sync_tree(folder: Path) -> None:
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync(Path(place, name))
        _sync_folder(Path(place))


class _ForeignError(Exception):
    """Brings an error that is not of the writing past the words for those that are."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def _only_of(temporary: Path) -> Iterator[None]:
    """Tell errors of the file or folder that is written from those of other files, which name them."""
    try:
        yield
    except OSError as error:
        if error.filename is None or error.errno in _FULL:
            raise
        if os.fsdecode(error.filename).startswith(str(temporary)):
            raise
        raise _ForeignError(error) from error


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except _ForeignError as foreign:
        raise foreign.error from None
    except OSError as error:
        if error.errno in _FULL or (error.errno is None and _SHORT_WRITE.search(str(error))):
            raise AxlError(f"the disk is full: {path} was not written; free some space or choose another folder") from error
        raise AxlError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write to") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
