"""Opening files that nobody vouches for.

A folder can hold pipes that never answer, devices that never end, links to elsewhere and files larger than memory. So a file
is seen to be a plain one before it is opened (to open some devices is to start them), opened without waiting, seen again by its
open handle, and read up to a limit.
"""

from __future__ import annotations

import errno
import os
import stat

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_PIECE = 1 << 20


def read_plain(path: str, limit: int, *, follow: bool = False) -> bytes:
    """The first `limit` + 1 bytes of a plain file: more than `limit` of them means that it is longer.

    Raises OSError when it cannot be read, is no plain file or, without `follow`, is a link.
    """
    _check_plain(os.stat(path, follow_symlinks=follow), path)
    descriptor = os.open(path, _FLAGS | (0 if follow else _NO_FOLLOW))
    try:
        _check_plain(os.fstat(descriptor), path)
        pieces, remaining = [], limit + 1
        while remaining and (piece := os.read(descriptor, min(_PIECE, remaining))):
            pieces.append(piece)
            remaining -= len(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def _check_plain(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a plain file", path)


def read_whole(path: str, limit: int, *, follow: bool = False) -> bytes | None:
    """A plain file of at most `limit` bytes, or None where there is none that can be read: for files that may be missing."""
    try:
        content = read_plain(path, limit, follow=follow)
    except (OSError, ValueError):
        return None
    return content if len(content) <= limit else None
