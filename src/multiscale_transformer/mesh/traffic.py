"""What a gateway knows of each member from its own requests: how many are at it, how fast it answers, its circuit breaker."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from multiscale_transformer.mesh.breaker import Breaker
from multiscale_transformer.mesh.members import Announcement
from multiscale_transformer.mesh.registry import Events

REMEMBERED = 64  # times to the first byte


@dataclass
class MemberTraffic:
    """Of one member."""

    breaker: Breaker
    in_flight: int = 0
    answered: int = 0
    failed: int = 0
    sent_bytes: int = 0
    first_byte_seconds: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def as_json(self) -> dict[str, Any]:
        """For the page."""
        times = self.first_byte_seconds
        return {
            "in_flight": self.in_flight,
            "answered": self.answered,
            "failed": self.failed,
            "sent_bytes": self.sent_bytes,
            "first_byte_ms": round(1000 * statistics.median(times), 1) if times else None,
            "breaker": self.breaker.state,
        }


class Traffic:
    """Of all members, by name."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self._members: dict[str, MemberTraffic] = {}

    def of(self, said: Announcement) -> MemberTraffic:
        """That of a member; a process that was started anew has a breaker of its own."""
        found = self._members.get(said.name)
        if found is None:
            found = self._members[said.name] = MemberTraffic(Breaker(said.incarnation))
        elif found.breaker.incarnation != said.incarnation:
            found.breaker = Breaker(said.incarnation)
        return found

    def in_flight(self) -> dict[str, int]:
        """Requests that are at each member."""
        return {name: traffic.in_flight for name, traffic in self._members.items()}

    def failed(self, said: Announcement, reason: str, *, at_once: bool = False) -> None:
        """A request that a member did not answer."""
        traffic = self.of(said)
        before = traffic.breaker.state
        traffic.failed += 1
        traffic.breaker.failed(at_once=at_once)
        if before == "closed" and traffic.breaker.state != "closed":
            self.events.add(said.name, f"is not asked for now: {reason}")

    def keep_only(self, names: set[str]) -> None:
        """Forget members that nobody knows any more."""
        for name in [name for name, traffic in self._members.items() if name not in names and not traffic.in_flight]:
            del self._members[name]
