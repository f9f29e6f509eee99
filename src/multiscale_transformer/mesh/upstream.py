"""HTTP/1.1 to a member, on the parser that the server has already: kept connections, bodies that come as they are sent.

A gateway has to know exactly how far a request got, because only what has not begun to answer may be asked again, to hand on
what came before a connection broke, and never to wait for a member that is dead. Clients for everybody promise none of that
(docs/adr/0012).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools

CONNECT_SECONDS = 2.0
IDLE_SECONDS = 3.0  # for which an unused connection is kept: less than servers keep theirs
MAX_HEADER_BYTES = 64 << 10
HIGH_WATER, LOW_WATER = 256 << 10, 64 << 10  # bytes that wait for a slow client, above and below which the member is held up
MAX_IDLE = 64  # connections kept for one member
KEEPALIVE = {"TCP_KEEPIDLE": 2, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": 3}  # after 5 s of silence a host counts as dead
_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade content-length".split()
)

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


class _Connection(asyncio.Protocol):
    """One connection, and the answer that is read from it."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.alive, self.used = True, False
        self.head: asyncio.Future[None] | None = None
        self._waiting: asyncio.Future[None] | None = None

    def begin(self, silence: float) -> None:
        """Get ready for the next answer, whose pieces may be `silence` seconds apart."""
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self.status, self.headers = 0, Headers()
        self.head = self._loop.create_future()
        self.pieces: deque[bytes] = deque()
        self.complete, self.error, self._waiting, self._buffered, self._paused = False, "", None, 0, False
        self._stays = False
        self._header_bytes = 0
        self._silence, self.last = silence, self._loop.time()
        self._timer = self._loop.call_later(silence, self._watch)

    # what asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It stands."""
        self.transport = transport
        found = transport.get_extra_info("socket")
        if found is not None:
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for name, value in KEEPALIVE.items():
                    if hasattr(socket, name):
                        found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; where none is expected, the connection is of no use any more."""
        if self.head is None:
            self.abort()
            return
        self.last = self._loop.time()
        if not self.head.done():
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES + HIGH_WATER:
                self._fail("its header is too large")
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"it does not speak HTTP ({error})")
            return
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """It broke, or the member ended it; an answer without a length ends so."""
        self.alive = False
        if self.head is None:
            return
        if self.head.done() and not self.head.exception() and not self.complete and not error and not self._is_framed():
            self.on_message_complete()
            self._wake()
        elif not self.complete:
            self._fail(f"the connection broke ({error})" if error else "the connection was closed")

    # what the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The status, and that all headers are there; an interim answer is not it."""
        status = self._parser.get_status_code()
        if status < 200:
            self.headers = []
            return
        self.status = status
        assert self.head is not None
        if not self.head.done():
            self.head.set_result(None)

    def on_body(self, body: bytes) -> None:
        """A piece; pieces that come together are handed on together."""
        self.pieces.append(body)
        self._buffered += len(body)
        if self._buffered > HIGH_WATER and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if self.status:
            self.complete, self._stays = True, self._parser.should_keep_alive()  # which the parser knows only now
            self._timer.cancel()

    # what the gateway calls

    async def piece(self) -> bytes:
        """What has come since; nothing at the end. Raises LostError where the answer broke off and all of it was read."""
        while not self.pieces and not self.complete and not self.error:
            self._waiting = self._loop.create_future()
            await self._waiting
        if self.pieces:
            found = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
            self.pieces.clear()
            self._buffered = 0
            self.last = self._loop.time()
            if self._paused:
                self._paused = False
                self.transport.resume_reading()
            return found
        if self.error:
            raise LostError(self.error)
        return b""

    def end(self) -> bool:
        """The answer is no longer read; returns whether the connection can carry another."""
        self._timer.cancel()
        reusable = self.complete and self.alive and not self.pieces and self._stays
        self.head = None
        if not reusable:
            self.abort()
        return reusable

    def abort(self) -> None:
        """Break the connection."""
        self.alive = False
        self.transport.abort()

    def fail(self, reason: str) -> None:
        """Give the member up."""
        if self.head is not None and not self.complete:
            self._fail(reason)

    def _is_framed(self) -> bool:
        """Whether the answer says itself where it ends."""
        return any(
            name == b"content-length" or (name == b"transfer-encoding" and b"chunked" in value.lower())
            for name, value in self.headers
        )

    def _watch(self) -> None:
        """The time may have passed in silence; that of a client that does not read does not count."""
        left = self.last + self._silence - self._loop.time()
        if left > 0 or self._buffered:
            self._timer = self._loop.call_later(max(left, 1.0), self._watch)
        else:
            self._fail(f"nothing came for {self._silence:g} s")

    def _fail(self, reason: str) -> None:
        self.error = self.error or reason
        self._timer.cancel()
        if self.head is not None and not self.head.done():
            self.head.set_exception(LostError(reason))
        self._wake()
        self.abort()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done() and (self.pieces or self.complete or self.error):
            self._waiting.set_result(None)


@dataclass
class Reply:
    """An answer whose head is there. Its owner calls `close`."""

    connection: _Connection
    upstream: Upstream

    @property
    def status(self) -> int:
        """The status."""
        return self.connection.status

    @property
    def headers(self) -> Headers:
        """The headers that are for whoever reads the answer."""
        return [(name, value) for name, value in self.connection.headers if name not in _HOP]

    @property
    def content_type(self) -> bytes:
        """Of the body, in small letters."""
        return next((value.lower() for name, value in self.connection.headers if name == b"content-type"), b"")

    async def piece(self) -> bytes:
        """What has come of the body; nothing at its end. Raises LostError."""
        return await self.connection.piece()

    async def whole(self, limit: int) -> bytes:
        """All of the body. Raises LostError, for one of more than `limit` bytes too."""
        found = bytearray()
        while piece := await self.piece():
            found += piece
            if len(found) > limit:
                raise LostError(f"the answer is larger than {limit:,} bytes")
        return bytes(found)

    def close(self) -> None:
        """Keep the connection for another request, or break it where the answer was not read to its end."""
        self.upstream.take_back(self.connection)


@dataclass
class Upstream:
    """The connections to one address. `tls` says whom to trust; `silence` is how long an answer may pause, in seconds."""

    url: str
    tls: ssl.SSLContext | None = None
    silence: float = 300.0
    _idle: list[tuple[float, _Connection]] = field(default_factory=list)
    _busy: set[_Connection] = field(default_factory=set)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self._host, self._secure, self._path = parts.hostname or "", parts.scheme == "https", parts.path.rstrip("/")
        self._port, self._netloc = parts.port or (443 if self._secure else 80), parts.netloc.encode("ascii")

    async def send(self, request: UpstreamRequest) -> Reply:
        """Send a request; returns when the head of the answer is there. Raises UnreachableError and LostError.

        A kept connection may have been closed at the very moment: then the request goes over a new one.
        """
        while True:
            connection = self._from_idle() or await self._connect()
            reused, connection.used = connection.used, True
            connection.begin(self.silence)
            self._busy.add(connection)
            connection.transport.write(self._bytes_of(request))
            assert connection.head is not None
            try:
                await connection.head
            except LostError:
                nothing_came = connection._header_bytes == 0
                self.take_back(connection)
                if not (reused and nothing_came):
                    raise
            except BaseException:
                self.take_back(connection)
                raise
            else:
                return Reply(connection, self)

    def take_back(self, connection: _Connection) -> None:
        """A connection whose answer is no longer read."""
        if connection not in self._busy:
            return
        self._busy.discard(connection)
        if connection.end() and len(self._idle) < MAX_IDLE:
            self._idle.append((asyncio.get_running_loop().time(), connection))
        else:
            connection.abort()

    def silent(self, seconds: float) -> list[_Connection]:
        """The connections whose answers have paused for so long."""
        now = asyncio.get_running_loop().time()
        return [connection for connection in self._busy if now - connection.last >= seconds]

    def give_up(self, reason: str, silence: float = 0.0) -> None:
        """Break the connections that were silent for so long: the member is dead."""
        for connection in self.silent(silence):
            connection.fail(reason)
        self.close_idle()

    def close_idle(self) -> None:
        """Break the connections that nobody uses."""
        for _, connection in self._idle:
            connection.abort()
        self._idle.clear()

    def _from_idle(self) -> _Connection | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, connection = self._idle.pop()
            if connection.alive and now - since < IDLE_SECONDS and not connection.transport.is_closing():
                return connection
            connection.abort()
        return None

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        if self._secure and self.tls is None:
            self.tls = ssl.create_default_context()
        secure = self.tls if self._secure else None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(_Connection, self._host, self._port, ssl=secure)
        except (OSError, TimeoutError, UnicodeError) as error:
            reason = f"no answer within {CONNECT_SECONDS:g} s" if isinstance(error, TimeoutError) else str(error)
            raise UnreachableError(f"{self.url}: {reason}") from None
        return connection

    def _bytes_of(self, request: UpstreamRequest) -> bytes:
        lines = [f"{request.method} {self._path}{request.target} HTTP/1.1".encode("ascii"), b"host: " + self._netloc]
        lines += [name + b": " + value for name, value in request.headers if name not in _HOP and name != b"host"]
        lines.append(b"content-length: %d" % len(request.body))
        return b"\r\n".join([*lines, b"", request.body])
