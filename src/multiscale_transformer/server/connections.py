"""Connections that send nothing, or half a request, do not keep others from being answered.

Uvicorn closes a connection that is idle between requests, but waits for ever for the first byte, the rest of a header or of a
body. Here each of these has a deadline, and where the process may hold no more open files, the connection that has waited
longest for its client is closed for the new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0
BODY_SECONDS = 60.0
MAX_HEADER_BYTES = 64 << 10
SPARE_FILES = 128  # for models, indexes, logs and the event loop itself
MOST_CONNECTIONS = 16_384
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def max_connections() -> int:
    """How many connections may be open, after raising the limit of open files as far as the system permits."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + SPARE_FILES
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    files = most if soft == resource.RLIM_INFINITY else min(soft, wanted)
    return max(8, files - SPARE_FILES)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `most` are the connections of a server, set before it starts."""

    most = MOST_CONNECTIONS
    _turns = itertools.count()  # a clock would not do: uvloop's stands still while it takes in all that have come

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._turn: int | None = None  # since which of all waits it waits for its client; None while the server is to act
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(transport)
        self._wait(HEADER_SECONDS)
        if len(self.connections) > self.most:
            waiting = [one for one in self.connections if isinstance(one, BoundedProtocol) and one._turn is not None]
            min(waiting, key=lambda one: one._turn or 0).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._act()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """More bytes; of a header only so many."""
        if self._header_bytes >= 0:
            self._header_bytes += len(data)
            if self._header_bytes - len(data) > MAX_HEADER_BYTES:
                self.transport.write(_TOO_LARGE)
                self.transport.close()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._header_bytes = 0
        self._wait(HEADER_SECONDS)

    def on_headers_complete(self) -> None:
        """Its body follows."""
        self._header_bytes = -1
        self._wait(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._act()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The client may ask again; until then uvicorn's own limit for idle connections holds."""
        super().on_response_complete()
        if not self.pipeline and self.transport is not None:
            self._turn = next(self._turns)

    def _wait(self, seconds: float) -> None:
        self._act()
        self._turn = next(self._turns)
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _act(self) -> None:
        self._turn = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
