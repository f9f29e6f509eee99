"""Notices that a client has hung up, so that the work for its answer stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request

from multiscale_transformer.server.errors import ApiError

Answer = TypeVar("Answer")

CLIENT_CLOSED_REQUEST = 499  # nginx's status for an answer that nobody waits for; it stands in the log and the metrics only


async def unless_disconnected(http: Request, answer: Awaitable[Answer]) -> Answer:
    """The answer. When the client hangs up before it is there, `answer` is cancelled. Raises ApiError (499) then."""
    working = asyncio.ensure_future(answer)
    watching = asyncio.ensure_future(_disconnected(http))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ApiError(CLIENT_CLOSED_REQUEST, "the client has gone")
        return await working
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _disconnected(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
