"""The connections to all members, the keys they are sent, and what happens to those of a member that is dead."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from multiscale_transformer.errors import AxlError
from multiscale_transformer.mesh.members import Announcement, Member
from multiscale_transformer.mesh.upstream import Headers, LostError, UnreachableError, Upstream, UpstreamRequest

PROBE_SECONDS = 2.0
SILENT_SECONDS = 5.0  # after which a request at a member that is gone is doubted
HEALTH = UpstreamRequest("GET", "/health", [], b"")


@dataclass
class Upstreams:
    """Connections by address. `token` is what members are sent that have no key of their own."""

    token: str | None = None
    tls: ssl.SSLContext | None = None
    silence: float = 300.0
    _by_url: dict[str, Upstream] = field(default_factory=dict)

    def of(self, said: Announcement) -> Upstream:
        """The connections to a member."""
        found = self._by_url.get(said.url)
        if found is None:
            found = self._by_url[said.url] = Upstream(said.url, self.tls, self.silence)
        return found

    def authorization(self, said: Announcement) -> Headers:
        """What a member is sent instead of the client's own key."""
        key = said.key or self.token
        return [(b"authorization", f"Bearer {key}".encode())] if key else []

    async def probe(self, said: Announcement) -> bool:
        """Whether a member answers at all, within `PROBE_SECONDS`."""
        upstream = Upstream(said.url, self.tls, PROBE_SECONDS)  # a connection of its own: those that stand may be dead
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                reply = await upstream.send(HEALTH)
                reply.close()
        except (UnreachableError, LostError, TimeoutError):
            return False
        finally:
            upstream.close_idle()
        return reply.status < 500

    async def bury(self, members: list[Member], in_flight: dict[str, int]) -> list[str]:
        """Break the requests that are at members which are gone and, asked directly, do not answer; returns their names.

        A member that said goodbye takes no new requests, and ends those it has. One that is merely too busy for heartbeats
        still sends its streams, and only what has been silent for `SILENT_SECONDS` is broken.
        """
        gone = [one for one in members if one.status == "gone" and not one.left and in_flight.get(one.said.name)]
        doubtful = [one for one in gone if self.of(one.said).silent(SILENT_SECONDS)]
        alive = await asyncio.gather(*(self.probe(one.said) for one in doubtful))
        dead = [one for one, answers in zip(doubtful, alive, strict=True) if not answers]
        for member in dead:
            self.of(member.said).give_up("its lease has run out, and it does not answer", SILENT_SECONDS)
        return [member.said.name for member in dead]

    def keep_only(self, urls: set[str]) -> None:
        """Close what leads to nobody any more."""
        for url in [url for url in self._by_url if url not in urls]:
            self._by_url.pop(url).close_idle()

    def give_up(self) -> None:
        """Break everything."""
        for upstream in self._by_url.values():
            upstream.give_up("the gateway ends")


def trust(ca: Path | None) -> ssl.SSLContext | None:
    """Whom to trust: the certificate authority in a file, or those of the system. Raises AxlError for no such file."""
    if ca is None:
        return None
    try:
        return ssl.create_default_context(cafile=str(ca))
    except (OSError, ssl.SSLError) as error:
        raise AxlError(f"--tls-ca {ca} holds no certificate ({error})") from error
