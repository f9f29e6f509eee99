"""One writer at a time for what AXL keeps on disk: a second one is told who holds it, or waits.

A lock is a hidden file beside its folder, `.NAME.axl-lock`, held with the system's own locks (filelock): those of a killed
process are gone with it. Where the folder beside cannot be written (the root of a mounted volume) the file lies inside.
Readers take no lock, so what cannot be written can always be read.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from multiscale_transformer.errors import AxlError

ENDING = ".axl-lock"
CACHE_SECONDS = 600.0  # for which a process waits for another one that fills the same cache

_held = threading.local()


@contextmanager
def writing(
    path: Path, *, wait: float = 0.0, on_wait: Callable[[str], None] | None = None, doing: str = "is being written"
) -> Iterator[None]:
    """Be the only writer of `path`, a file or folder that need not exist yet, within the block.

    `wait` is for how many seconds to wait for another writer, which `on_wait` is told of in a line. A thread that is the
    writer already may ask again. Raises AxlError that names the other writer, or when no lock can be made.
    """
    place = _place(path)
    mine: set[Path] = _held.__dict__.setdefault("places", set())
    if place in mine:
        yield
        return
    lock = _acquired(path, place, wait, on_wait, doing)
    mine.add(place)
    try:
        _sign(place)
        yield
    finally:
        mine.discard(place)
        with contextlib.suppress(OSError):
            place.unlink()  # before it is released: whoever waits notices that the file is gone, and makes another
        lock.release()


def _place(path: Path) -> Path:
    """The lock file of `path`, the same by whatever name it is reached."""
    path = Path(os.path.realpath(path))
    if path.is_dir() and not os.access(path.parent, os.W_OK):
        return path / ENDING
    return path.parent / f".{path.name[:200]}{ENDING}"


def _acquired(path: Path, place: Path, wait: float, on_wait: Callable[[str], None] | None, doing: str) -> FileLock:
    lock = FileLock(place, is_singleton=False)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if wait and on_wait is not None:
                on_wait(f"{path} {doing} by {_holder(place)}; waiting for it")
            lock.acquire(timeout=wait, poll_interval=0.1)
    except Timeout as error:
        raise AxlError(f"{path} {doing} by {_holder(place)}; wait until it has ended, or choose another folder") from error
    except OSError as error:
        raise AxlError(f"cannot write {path}: {error.strerror or error}; choose a folder you can write to") from error
    return lock


def _sign(place: Path) -> None:
    """Write who holds the lock into its file; where the system has no locks filelock's own mark stands there and stays."""
    with contextlib.suppress(OSError):
        if not place.read_bytes()[:1].strip(b"{"):
            command = shlex.join([Path(sys.argv[0]).name or "python", *sys.argv[1:]])
            holder = {
                "process": os.getpid(),
                "command": command if len(command) <= 120 else f"{command[:119]}…",
                "host": socket.gethostname(),
                "since": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            }
            place.write_text(json.dumps(holder), encoding="utf-8")


def _holder(place: Path) -> str:
    try:
        holder = json.loads(place.read_text(encoding="utf-8"))
        who = f"process {holder['process']} on {holder['host']}, since {holder['since']}"
        return f"{holder['command']} ({who})"
    except (OSError, ValueError, KeyError, TypeError):  # it has not signed yet
        return "another process"
