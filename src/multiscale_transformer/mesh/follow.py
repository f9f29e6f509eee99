"""A gateway's view of a mesh whose registries are elsewhere: it asks each twice a second and puts their answers together.

A registry that does not answer is no reason to forget its members: the gateway goes on with those it knew, and finds out itself
which of them are dead. What two registries say differently is settled in favour of the one that heard the member last.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence

import structlog

from multiscale_transformer.mesh.members import Member
from multiscale_transformer.mesh.registry import MAX_MEMBERS, Events
from multiscale_transformer.mesh.upstream import LostError, UnreachableError, Upstream, UpstreamRequest

log = structlog.get_logger("axl.mesh")

POLL_SECONDS = 0.4
MAX_STATE_BYTES = 4 << 20
PATH = "/mesh/members"


class Followed:
    """The members that the registries at `urls` name."""

    def __init__(self, urls: Sequence[str], token: str | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.events = Events()
        self._registries = {url: Upstream(url, tls, silence=2 * POLL_SECONDS) for url in urls}
        self._answers: dict[str, dict[str, Member]] = {url: {} for url in urls}
        self._reachable: dict[str, bool] = {}
        self._shown: dict[str, str] = {}
        self._headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
        self._members: list[Member] = []

    def members(self) -> Sequence[Member]:
        """All that the registries know, as of their last answers."""
        return self._members

    @property
    def registries(self) -> dict[str, bool]:
        """The registries, and whether each answers."""
        return {url: self._reachable.get(url, False) for url in self._registries}

    async def follow(self) -> None:
        """Keep asking, until cancelled."""
        await asyncio.gather(*(self._follow(url) for url in self._registries))

    async def _follow(self, url: str) -> None:
        while True:
            await self.ask(url)
            await asyncio.sleep(POLL_SECONDS)

    async def ask(self, url: str) -> None:
        """Ask one registry now."""
        try:
            found = await self._ask(self._registries[url])
        except (UnreachableError, LostError, ValueError, TypeError, KeyError) as error:
            self._note(url, reachable=False, what=f"does not answer ({error}); the gateway goes on with what it knows")
            return
        self._answers[url] = found
        self._note(url, reachable=True, what="answers")
        self._merge()

    async def _ask(self, registry: Upstream) -> dict[str, Member]:
        reply = await registry.send(UpstreamRequest("GET", PATH, self._headers, b""))
        try:
            body = await reply.whole(MAX_STATE_BYTES)
        finally:
            reply.close()
        if reply.status != 200:
            raise ValueError(f"status {reply.status}; is its token another?")
        rows = json.loads(body)["members"][:MAX_MEMBERS]
        return {member.said.name: member for row in rows if (member := Member.from_json(row))}

    def _merge(self) -> None:
        """One view of all answers: that of the registry which heard the member last."""
        merged: dict[str, Member] = {}
        for url in sorted(self._answers, key=lambda url: self._reachable.get(url, False), reverse=True):
            for name, member in self._answers[url].items():
                if name not in merged or (self._reachable.get(url) and _silence(member) < _silence(merged[name])):
                    merged[name] = member
        self._members = sorted(merged.values(), key=lambda member: (member.joined, member.said.name))
        for member in self._members:
            name = member.said.name
            if self._shown.get(name) != member.status:
                self._shown[name] = member.status
                self.events.add(name, member.status)

    def _note(self, url: str, *, reachable: bool, what: str) -> None:
        if self._reachable.get(url) != reachable:
            self._reachable[url] = reachable
            self.events.add(url, what)
            log.info("a registry", url=url, what=what)


def _silence(member: Member) -> float:
    return float("inf") if member.silent is None else member.silent
