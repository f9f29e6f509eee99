"""Killing a process with all that it started, and all that those started, as `/proc` lists them.

`sandbox.run` uses it on every system, the fork server on Linux alone, so nothing is imported here that only POSIX has.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress


def kill_descendants(process: int) -> None:
    """Stop them all, then kill them: killed one by one, those of a fork bomb would fork on into the places that become free.

    Who is in the middle of a fork may still leave a child behind; to be sure, call this until there is nothing to wait for.
    """
    stopped: set[int] = set()
    while new := set(_descendants(process)) - stopped:
        stopped |= new
        for one in new:
            _signal(one, signal.SIGSTOP)
    for one in stopped:
        _signal(one, signal.SIGKILL)


def _descendants(process: int) -> Iterator[int]:
    try:
        tasks = os.listdir(f"/proc/{process}/task")
        children = []
        for task in tasks:
            with open(f"/proc/{process}/task/{task}/children", encoding="ascii") as file:
                children += [int(word) for word in file.read().split()]
    except OSError:
        return  # it has ended, and its children are those of the fork server now
    for child in children:
        yield child
        yield from _descendants(child)


def _signal(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
