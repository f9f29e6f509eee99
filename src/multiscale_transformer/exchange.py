"""Two names that change places in one step, where the system can do that: Linux's renameat2 with RENAME_EXCHANGE.

Python has no call for it, and without it there is an instant at which neither the old folder nor the new one has the name.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM)  # an old kernel, a disk or a sandbox that does not know it


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two files or folders; returns False, and has done nothing, where the system cannot do that.

    Raises OSError when one of them is missing or may not be renamed.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # another system, another libc
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(other))
