"""The registry: who is in the mesh, by leases that heartbeats renew.

A member that is silent for `LEASE_SECONDS` is gone: known, so that requests for its models may wait for it, but not asked. Two
registries know of each other only through the members, which report to both: neither leads, and there is nothing to agree on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from multiscale_transformer.mesh.members import LEASE_SECONDS, Announcement, Member, Status
from multiscale_transformer.mesh.store import Store
from multiscale_transformer.server.errors import ApiError

MAX_MEMBERS = 256
MAX_EVENTS = 100


class Directory(Protocol):
    """Where a gateway learns who is in the mesh."""

    events: Events

    def members(self) -> Sequence[Member]:
        """All members that are known, gone or not."""


@dataclass
class Events:
    """What happened last, for people: when (Unix seconds), to whom, and what."""

    latest: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))

    def add(self, member: str, what: str) -> None:
        """Note what happened now."""
        self.latest.append((time.time(), member, what))


@dataclass
class _Entry:
    said: Announcement
    joined: float
    until: float  # by the registry's clock
    heard: float | None = None
    left: bool = False


class Registry:
    """The members of one mesh. `clock` never jumps; `peers` are the other registries that members shall report to."""

    def __init__(self, store: Store, peers: Sequence[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.events, self.peers = Events(), tuple(peers)
        self._store, self._clock = store, clock
        self._entries = {said.name: _Entry(said, joined, clock() + LEASE_SECONDS) for said, joined in store.members()}
        self._drained = store.drained()
        self._shown: dict[str, Status] = {}

    def announce(self, said: Announcement) -> bool:
        """Take a heartbeat; returns whether the member is drained.

        Raises ApiError for a name that another address holds (409), and where there are too many members (503).
        """
        now, entry = self._clock(), self._entries.get(said.name)
        if entry is not None and entry.said.url != said.url and now < entry.until and entry.heard is not None:
            raise ApiError(409, f"{said.name} is {entry.said.url}, which is alive; choose another name")
        if entry is None:
            self._make_room()
            entry = self._entries[said.name] = _Entry(said, time.time(), now)
            self._store.keep(said, entry.joined)
        elif said.lasting != entry.said.lasting:
            self._store.keep(said, entry.joined)
        entry.said, entry.heard, entry.until, entry.left = said, now, now + LEASE_SECONDS, False
        self.watch()
        return said.name in self._drained

    def leave(self, name: str) -> None:
        """End the lease of a member that says goodbye; it may come back. Raises ApiError (404) for an unknown one."""
        entry = self._entry(name)
        entry.until, entry.left = self._clock(), True
        self.watch()

    def forget(self, name: str) -> None:
        """Forget a member. Raises ApiError for an unknown one (404) and for one that is alive (409)."""
        if self._clock() < self._entry(name).until:
            raise ApiError(409, f"{name} is alive; end it first")
        del self._entries[name]
        self._drained.discard(name)
        self._store.forget(name)
        self._shown.pop(name, None)

    def drain(self, name: str, *, drained: bool) -> None:
        """Send nothing new to a member, or send to it again; that stays so until it is changed. Raises ApiError (404)."""
        self._entry(name)
        self._store.drain(name, drained=drained)
        (self._drained.add if drained else self._drained.discard)(name)
        self.watch()

    def members(self) -> list[Member]:
        """All members, in the order in which they came."""
        now = self._clock()
        return [self._member(entry, now) for entry in self._entries.values()]

    def watch(self) -> None:
        """Note whose state has changed since this was last called."""
        for member in self.members():
            name = member.said.name
            if self._shown.get(name) != member.status:
                self._shown[name] = member.status
                self.events.add(name, member.status)

    def _member(self, entry: _Entry, now: float) -> Member:
        silent = None if entry.heard is None else now - entry.heard
        return Member(entry.said, self._status(entry, now), entry.joined, silent, entry.left)

    def _status(self, entry: _Entry, now: float) -> Status:
        if now >= entry.until:
            return "gone"
        if not entry.said.healthy:
            return "ill"
        return "draining" if entry.said.draining or entry.said.name in self._drained else "up"

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise ApiError(404, f"there is no member {name}; axl mesh status lists them")
        return self._entries[name]

    def _make_room(self) -> None:
        """Forget the member that is gone for the longest time, where there are too many."""
        if len(self._entries) < MAX_MEMBERS:
            return
        gone = [member for member in self.members() if member.status == "gone"]
        if not gone:
            raise ApiError(503, f"the mesh has {MAX_MEMBERS} members, which is the most", retry_after=10)
        self.forget(max(gone, key=lambda member: member.silent or float("inf")).said.name)
