"""Runs the server: a socket, and uvicorn with a shutdown that lets answers end.

On SIGTERM or Ctrl-C no new connection is taken; what runs has some seconds to finish, then streams end with what they have,
properly, and the process goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import sys

import uvicorn
from fastapi import FastAPI

from multiscale_transformer.errors import AxlError
from multiscale_transformer.server.connections import BoundedProtocol, max_connections
from multiscale_transformer.server.state import ServerState

GRACE_SECONDS = 10.0
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8  # of <malloc.h>
SWITCH_SECONDS = 0.0001  # for which the event loop may keep an engine from going on after a kernel; Python's default is 0.005


class Server(uvicorn.Server):
    """Uvicorn with a shutdown that gives requests `grace` seconds before it ends them."""

    def __init__(self, app: FastAPI, grace: float = GRACE_SECONDS) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=int(grace) + 5,
                server_header=False,
            )
        )
        self._state: ServerState = app.state.server
        self._grace = grace

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end by themselves for `grace` seconds, then end them."""
        ending = asyncio.create_task(self._end_requests())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()

    async def _end_requests(self) -> None:
        await asyncio.sleep(self._grace)
        for model in list(self._state.models.loaded.values()):
            model.worker.end_all()


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


def serve(app: FastAPI, bound: socket.socket, grace: float = GRACE_SECONDS) -> None:
    """Answer requests on `bound` until told to stop."""
    sys.setswitchinterval(SWITCH_SECONDS)
    BoundedProtocol.most = max_connections()
    _limit_malloc()
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when it has shut down
        Server(app, grace).run(sockets=[bound])
