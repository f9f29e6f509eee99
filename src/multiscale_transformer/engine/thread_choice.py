"""Choosing the number of threads of a step: as many as were fastest lately, for steps of its size.

Sharing pays on a quiet machine and for large steps. Beside other programs, under a quota, or with fewer cores than were
promised it can cost more than it brings, and none of that is written anywhere: so both ways are timed, on real steps.
"""

from __future__ import annotations

from collections import deque
from statistics import median

WINDOW = 5  # times that decide; their median, so that one outlier decides nothing
FIRST_TRIES = 3
TRY_AGAIN, TRY_SELDOM = 32, 256  # steps after which the other way is timed again; doubled each time it has lost


class ThreadChoice:
    """One thread or `most` of them, for each size of step by itself (sizes within a factor of two are one)."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._sizes: dict[int, _Timings] = {}

    def threads(self, size: int) -> int:
        """The number of threads for the next step of `size` (any measure of its work)."""
        if self.most == 1:
            return 1
        return self.most if self._timings(size).next_is_shared() else 1

    def record(self, threads: int, size: int, seconds: float) -> None:
        """A step of `size` on so many `threads` took so long."""
        self._timings(size).record(seconds / size, shared=threads > 1)

    def _timings(self, size: int) -> _Timings:
        return self._sizes.setdefault(size.bit_length(), _Timings())


class _Timings:
    """What steps of one size took, alone (False) and shared (True)."""

    def __init__(self) -> None:
        self._times: dict[bool, deque[float]] = {way: deque(maxlen=WINDOW) for way in (False, True)}
        self._best, self._since, self._pause = True, 0, TRY_AGAIN

    def next_is_shared(self) -> bool:
        for way in (True, False):
            if len(self._times[way]) < FIRST_TRIES:
                return way
        return self._best if self._since < self._pause else not self._best

    def record(self, time: float, *, shared: bool) -> None:
        self._times[shared].append(time)
        if any(len(times) < FIRST_TRIES for times in self._times.values()):
            return
        alone, together = (median(times) for times in self._times.values())
        best = together < alone
        if best is not self._best:
            self._best, self._pause, self._since = best, TRY_AGAIN, 0
        elif shared is self._best:
            self._since += 1
        elif time > min(alone, together):
            self._since, self._pause = 0, min(2 * self._pause, TRY_SELDOM)
        # A try that won is followed by another at once: its median is of times long past.
