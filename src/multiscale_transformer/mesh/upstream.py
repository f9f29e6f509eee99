"""HTTP to members, on aiohttp's client: kept connections, bodies that come as they are sent, and how far a request got.

Only what has not begun to answer may be asked again, so errors say whether a request was sent at all (`UnreachableError`) or
broke off (`LostError`). A piece of a stream costs aiohttp half as much CPU as httpx, which counts beside a model on the same
cores; docs/log.md has the figures.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from yarl import URL

CONNECT_SECONDS = 2.0
IDLE_SECONDS = 3.0  # for which an unused connection is kept: less than servers keep theirs
PIECE_BYTES = 128 << 10  # that wait for a slow client at most, above which the member is held up (times two)
KEEPALIVE = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3}  # after 5 s of silence a host counts as dead
_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade content-length".split()
)
_OWN = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # of aiohttp, which are not the client's

Headers = list[tuple[bytes, bytes]]


class UnreachableError(Exception):
    """Nobody listens there: the request was not sent."""


class LostError(Exception):
    """The connection broke, or fell silent, after the request was sent and before the answer was whole."""


@dataclass(frozen=True)
class UpstreamRequest:
    """A request as it is sent; hop-by-hop headers are left out."""

    method: str
    target: str
    headers: Headers
    body: bytes


class Connections:
    """Connections to any addresses, which last as long as the event loop that first uses them, or until `close`.

    `tls` says whom to trust; `silence` is how long an answer may pause, in seconds; `kept` whether a connection serves more
    than one request.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, silence: float = 300.0, *, kept: bool = True) -> None:
        self._tls, self.silence, self._kept = tls, silence, kept
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The client, made when the first request is sent: it belongs to an event loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    ssl=self._tls or True,
                    socket_factory=_socket,
                    force_close=not self._kept,
                    keepalive_timeout=IDLE_SECONDS if self._kept else None,
                ),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=PIECE_BYTES,
                skip_auto_headers=_OWN,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=self.silence),
                trace_configs=[_noting_reuse()],
            )
        return self._session

    async def close(self) -> None:
        """Break all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class Reply:
    """An answer whose head is there, or is waited for. Its owner calls `close`."""

    _answer: aiohttp.ClientResponse

    def __init__(self, upstream: Upstream) -> None:
        self._upstream, self._given_up = upstream, ""
        self.last = asyncio.get_running_loop().time()  # when something came
        self._asking: asyncio.Future[aiohttp.ClientResponse] | None = None

    @property
    def status(self) -> int:
        """The status."""
        return self._answer.status

    @property
    def headers(self) -> Headers:
        """The headers that are for whoever reads the answer."""
        return [(name.lower(), value) for name, value in self._answer.raw_headers if name.lower() not in _HOP]

    @property
    def content_type(self) -> bytes:
        """Of the body, in small letters."""
        return self._answer.headers.get("content-type", "").lower().encode("latin-1", "replace")

    async def begin(self, asked: asyncio.Future[aiohttp.ClientResponse]) -> None:
        """Wait for the head. Raises LostError where somebody gives the member up meanwhile."""
        self._asking = asked
        try:
            self._answer = await asked
        except asyncio.CancelledError:
            if self._given_up:
                raise LostError(self._given_up) from None
            raise
        finally:
            self._asking = None
        if self._given_up:  # at the moment when the head came
            self._answer.close()
            raise LostError(self._given_up)
        self.last = asyncio.get_running_loop().time()

    async def piece(self) -> bytes:
        """What has come of the body; nothing at its end. Raises LostError."""
        try:
            found = await self._answer.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise LostError(self._given_up or self._upstream.reason(error)) from None
        if not found and self._given_up:
            raise LostError(self._given_up)
        self.last = asyncio.get_running_loop().time()
        return found

    async def whole(self, limit: int) -> bytes:
        """All of the body. Raises LostError, for one of more than `limit` bytes too."""
        found = bytearray()
        while piece := await self.piece():
            found += piece
            if len(found) > limit:
                raise LostError(f"the answer is larger than {limit:,} bytes")
        return bytes(found)

    def give_up(self, reason: str) -> None:
        """Break the answer off: whoever reads it gets a LostError."""
        self._given_up = reason
        if self._asking is not None:
            self._asking.cancel()
        else:
            self._answer.close()

    def close(self) -> None:
        """Keep the connection for another request, or break it where the answer was not read to its end."""
        self._upstream.busy.discard(self)
        self._answer.release()


@dataclass
class Upstream:
    """The requests to one address."""

    url: str
    connections: Connections
    busy: set[Reply] = field(default_factory=set)

    async def send(self, request: UpstreamRequest) -> Reply:
        """Send a request; returns when the head of the answer is there. Raises UnreachableError and LostError.

        A kept connection may have been closed at the very moment: then the request goes over a new one.
        """
        reply = Reply(self)
        self.busy.add(reply)
        try:
            while True:
                reused: list[bool] = []
                try:
                    await reply.begin(asyncio.ensure_future(self._asked(request, reused)))
                except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                    raise UnreachableError(f"{self.url}: {self.reason(error)}") from None
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                    if not reused:
                        raise LostError(self.reason(error)) from None
                except aiohttp.InvalidURL:
                    raise UnreachableError(f"{self.url} is no address") from None
                except (aiohttp.ClientError, OSError) as error:
                    raise LostError(self.reason(error)) from None
                else:
                    break
            if reply.status < 200:
                reply.close()
                raise LostError(f"it does not speak HTTP (status {reply.status})")
        except BaseException:
            self.busy.discard(reply)
            raise
        return reply

    def silent(self, seconds: float) -> list[Reply]:
        """The answers that have paused for so long."""
        now = asyncio.get_running_loop().time()
        return [reply for reply in self.busy if now - reply.last >= seconds]

    def give_up(self, reason: str, silence: float = 0.0) -> None:
        """Break the answers off that were silent for so long: the member is dead."""
        for reply in self.silent(silence):
            reply.give_up(reason)

    def reason(self, error: Exception) -> str:
        """What went wrong, in a line."""
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no answer within {CONNECT_SECONDS:g} s"
        if isinstance(error, TimeoutError):
            return f"nothing came for {self.connections.silence:g} s"
        return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

    async def _asked(self, request: UpstreamRequest, reused: list[bool]) -> aiohttp.ClientResponse:
        return await self.connections.session.request(
            request.method,
            URL(self.url.rstrip("/") + request.target, encoded=True),
            headers=[
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in request.headers
                if name not in _HOP and name != b"host"
            ],
            data=request.body or None,
            allow_redirects=False,
            trace_request_ctx=reused,
        )


def _noting_reuse() -> aiohttp.TraceConfig:
    """What tells a request's list that its connection had served before."""

    async def note(session: aiohttp.ClientSession, context: Any, parameters: object) -> None:
        context.trace_request_ctx.append(True)

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(note)
    return config


def _socket(address: Any) -> socket.socket:
    """A socket that notices when the other host has vanished."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
