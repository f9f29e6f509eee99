"""Routers whose bodies are bounded before they are parsed, so that no request holds up all others.

Reading a text of megabytes takes milliseconds; what takes seconds is a body of hundreds of thousands of small objects, because
parsing, validating and rendering look at each. Containers and values are therefore counted first, which is fast.
"""

# Shape suffixes: N bytes.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from multiscale_transformer.server.errors import ApiError

MAX_CONTAINERS = 10_000  # objects and arrays of one body
MAX_VALUES = 150_000  # separated by commas: a prompt may be a list of ids
LARGE = 256 << 10  # bytes of a body that is looked at in a thread

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def router(tag: str) -> APIRouter:
    """A router for the routes of a dialect."""
    return APIRouter(tags=[tag], route_class=_BoundedRoute)


def check_shape(body: bytes) -> None:
    """Raises ApiError (413) for a body of too many parts; what stands in its strings does not count."""
    if body.count(b"{") + body.count(b"[") <= MAX_CONTAINERS and body.count(b",") <= MAX_VALUES:
        return
    plain_N = np.frombuffer(body.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    outside_N = np.cumsum(plain_N == ord('"'), dtype=np.uint8) & 1 == 0  # of an odd number of quotes the last is open
    containers = np.count_nonzero(outside_N & ((plain_N == ord("{")) | (plain_N == ord("["))))
    if containers > MAX_CONTAINERS or np.count_nonzero(outside_N & (plain_N == ord(","))) > MAX_VALUES:
        parts = f"{MAX_CONTAINERS:,} objects and arrays, or {MAX_VALUES:,} values"
        raise ApiError(413, f"the body has more than {parts}; send less")


class _BoundedRoute(APIRoute):
    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            body = await request.body()
            if len(body) > LARGE:
                await asyncio.to_thread(check_shape, body)
            else:
                check_shape(body)
            return await handle(request)

        return bounded
