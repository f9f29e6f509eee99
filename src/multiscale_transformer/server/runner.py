"""Runs the server: a socket, and uvicorn with a shutdown that lets answers end.

On SIGTERM or Ctrl-C no new connection is taken; what runs has some seconds to finish, then streams end with what they have,
properly, and the process goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import uvicorn
from fastapi import FastAPI

from multiscale_transformer.errors import AxlError
from multiscale_transformer.server.connections import BoundedProtocol, max_connections

GRACE_SECONDS = 10.0
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of <malloc.h>
SWITCH_SECONDS = 0.0001  # for which the event loop may keep an engine from going on after a kernel; Python's default is 0.005


class Served(Protocol):
    """What an application has as `state.server`."""

    def end_requests(self) -> None:
        """End what still runs, properly."""


@dataclass(frozen=True)
class Tls:
    """The certificate that a server shows, and its key, as PEM files."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Raises AxlError for files that are no certificate with its key."""
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise AxlError(f"--tls-cert {self.certificate} with --tls-key {self.key}: {error}") from error


class Server(uvicorn.Server):
    """Uvicorn with a shutdown that gives requests `grace` seconds before it ends them; `leaving` is called before that."""

    def __init__(
        self,
        app: FastAPI,
        grace: float = GRACE_SECONDS,
        tls: Tls | None = None,
        leaving: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=int(grace) + 5,
                server_header=False,
                ssl_certfile=None if tls is None else tls.certificate,
                ssl_keyfile=None if tls is None else str(tls.key),
            )
        )
        self._served: Served = app.state.server
        self._grace, self._leaving = grace, leaving

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end by themselves for `grace` seconds, then end them."""
        if self._leaving is not None:
            await asyncio.to_thread(self._leaving)
        ending = asyncio.create_task(self._end_requests())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    async def _end_requests(self) -> None:
        await asyncio.sleep(self._grace)
        self._served.end_requests()


def _limit_malloc() -> None:
    """Have glibc give large blocks back to the system, and keep two arenas instead of one for each thread.

    Left alone it raises the size from which blocks are given back to what it has seen, and a server that reads a prompt of a
    megabyte now and then grows for hours.
    """
    with contextlib.suppress(OSError, AttributeError):  # another libc, another allocator
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 256 << 10)
        libc.mallopt(M_ARENA_MAX, 2)


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address. Raises AxlError when it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise AxlError(
            f"cannot listen on {host}:{port} ({error.strerror or error}); choose another --port or --host"
        ) from error
    return bound


def prepare() -> None:
    """Set this process up to serve: open files, memory, threads."""
    sys.setswitchinterval(SWITCH_SECONDS)
    BoundedProtocol.most = max_connections()
    _limit_malloc()


def serve(
    app: FastAPI,
    bound: socket.socket,
    grace: float = GRACE_SECONDS,
    tls: Tls | None = None,
    leaving: Callable[[], None] | None = None,
) -> None:
    """Answer requests on `bound` until told to stop; `leaving` is called before no more are taken."""
    prepare()
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when it has shut down
        Server(app, grace, tls, leaving).run(sockets=[bound])
