"""A cable between two network namespaces that delays and loses what it carries, for kernels without `netem`.

Each end is a tap device; a thread carries Ethernet frames from one to the other.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
CLONE_NEWNET = 0x40000000
MAX_FRAME = 65_536


@contextlib.contextmanager
def inside(space: str) -> Iterator[None]:
    """Sockets and devices that this thread makes belong to a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as own, Path(f"/run/netns/{space}").open() as other:
        assert libc.setns(other.fileno(), CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert libc.setns(own.fileno(), CLONE_NEWNET) == 0


def tap(space: str, name: str) -> int:
    """A new tap device in a namespace, as a file descriptor."""
    with inside(space):
        end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return end


class SlowLink:
    """Carries frames between two ends, each after `delay` seconds give or take `jitter`; a share `loss` of them is lost."""

    def __init__(self, ends: tuple[int, int], delay: float, jitter: float, loss: float) -> None:
        self._ends, self._delay, self._jitter, self._loss = ends, delay, jitter, loss
        self._ended, self._random = threading.Event(), random.Random(1)
        self.carried = self.lost = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(10)
        for end in self._ends:
            os.close(end)

    def _run(self) -> None:
        on_the_way: list[tuple[float, int, int, bytes]] = []
        while not self._ended.is_set():
            wait = max(0.0, min(0.1, on_the_way[0][0] - time.monotonic())) if on_the_way else 0.1
            for end in select.select(self._ends, [], [], wait)[0]:
                frame = os.read(end, MAX_FRAME)
                if self._random.random() < self._loss:
                    self.lost += 1
                    continue
                self.carried += 1
                due = time.monotonic() + self._delay + self._random.uniform(-self._jitter, self._jitter)
                other = self._ends[1] if end == self._ends[0] else self._ends[0]
                heapq.heappush(on_the_way, (due, self.carried, other, frame))
            while on_the_way and on_the_way[0][0] <= time.monotonic():
                _, _, end, frame = heapq.heappop(on_the_way)
                with contextlib.suppress(OSError):  # a full queue is a loss like any other
                    os.write(end, frame)
