"""A circuit breaker for each member: after failures nothing is sent to it for a while, then one request tries it.

The pauses double with every failed trial. A member that starts anew begins with a closed breaker.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

FAILURES = 3  # in a row, after which a breaker opens
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # seconds

State = Literal["closed", "open", "half-open"]


class Breaker:
    """The breaker of one member in one of its lives."""

    def __init__(self, incarnation: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self.incarnation, self._clock = incarnation, clock
        self._failures, self._pause, self._until = 0, 0.0, 0.0
        self._trying_since: float | None = None

    @property
    def state(self) -> State:
        """Closed lets all through, open none, half-open one."""
        if self._pause == 0:
            return "closed"
        return "open" if self._clock() < self._until else "half-open"

    def permits(self) -> bool:
        """Whether a request may be sent. A trial that nobody reported on is over after the longest pause."""
        if self.state == "half-open":
            return self._trying_since is None or self._clock() - self._trying_since > LONGEST_PAUSE
        return self.state == "closed"

    def begin(self) -> None:
        """A request is sent."""
        if self.state == "half-open":
            self._trying_since = self._clock()

    def succeeded(self) -> None:
        """The member has answered."""
        self._failures, self._pause, self._trying_since = 0, 0.0, None

    def abandoned(self) -> None:
        """A request ended without showing anything, because its client has gone."""
        self._trying_since = None

    def failed(self, *, at_once: bool = False) -> None:
        """The member has not answered; `at_once` where nobody even listens there."""
        self._failures += 1
        if self._failures >= FAILURES or at_once or self._pause:
            self._pause = min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
            self._until = self._clock() + self._pause
        self._trying_since = None
