"""Server-sent events and lines of JSON that begin with a proper status, end properly, and stop work when nobody listens."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse

from multiscale_transformer.errors import AxlError
from multiscale_transformer.server.core.generation import unless_gone
from multiscale_transformer.server.errors import ApiError, as_api_error, error_body
from multiscale_transformer.server.runtime.model_manager import Loaded
from multiscale_transformer.server.runtime.registry import Entry
from multiscale_transformer.server.state import Service

Item = TypeVar("Item")

PING_SECONDS = 15.0  # of silence, after which a comment keeps proxies from hanging up
_NO_CACHE = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def new_id(prefix: str) -> str:
    """A name for an answer."""
    return f"{prefix}-{secrets.token_hex(12)}"


async def event_stream(
    http: Request,
    service: Service,
    entry: Entry,
    events: Callable[[Loaded], AsyncIterator[str]],
    *,
    done: str | None = "data: [DONE]\n\n",
    memory: list[str] | None = None,
) -> StreamingResponse:
    """Each event as `data:`, or as it is where it begins with `event:`. What fails before the first has a status."""

    def framed(event: str) -> str:
        return event if event.startswith("event:") else f"data: {event}\n\n"

    source = _with_model(service, entry, events, None, memory)
    return await _streaming(http, source, framed, done, "text/event-stream", "/v1/", ": still working\n\n")


async def line_stream(
    http: Request,
    service: Service,
    entry: Entry,
    lines: Callable[[Loaded], AsyncIterator[str]],
    *,
    keep_alive: float | None = None,
    memory: list[str] | None = None,
) -> StreamingResponse:
    """Each line as it is: Ollama's streams."""
    source = _with_model(service, entry, lines, keep_alive, memory)
    return await _streaming(http, source, lambda line: line + "\n", None, "application/x-ndjson", "/api/", None)


async def _streaming(
    http: Request,
    source: AsyncGenerator[str],
    framed: Callable[[str], str],
    done: str | None,
    kind: str,
    path: str,
    ping: str | None,
) -> StreamingResponse:
    """The same for both, so that neither forgets a part."""
    try:  # loading and refusing happen here, while the answer can still have a status
        first = await unless_gone(http, _first(source))
    except BaseException:
        await source.aclose()
        raise

    async def body() -> AsyncIterator[str]:
        try:
            if first is not None:
                yield framed(first)
            async for event in _pinged(source, ping):
                yield event if event == ping else framed(event)
            if done is not None:
                yield done
        except (ApiError, AxlError) as error:
            known = error if isinstance(error, ApiError) else as_api_error(error)
            yield framed(json.dumps(error_body(path, known)))
        finally:
            await source.aclose()

    return StreamingResponse(body(), media_type=kind, headers=_NO_CACHE)


async def _first(source: AsyncGenerator[str]) -> str | None:
    return await anext(source, None)


async def _with_model(
    service: Service,
    entry: Entry,
    events: Callable[[Loaded], AsyncIterator[str]],
    keep_alive: float | None,
    memory: list[str] | None,
) -> AsyncGenerator[str]:
    async with service.loader.use(entry, keep_alive, memory=memory) as model:
        source = events(model)
        try:
            async for event in source:
                yield event
        finally:
            await source.aclose()  # type: ignore[attr-defined]


async def _pinged(source: AsyncIterator[str], ping: str | None) -> AsyncIterator[str]:
    while True:
        following = asyncio.ensure_future(anext(source, None))
        try:
            while ping is not None and not (await asyncio.wait({following}, timeout=PING_SECONDS))[0]:
                yield ping
            event = await following
        except BaseException:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            raise
        if event is None:
            return
        yield event


async def merged(sources: Sequence[AsyncIterator[Item]]) -> AsyncIterator[tuple[int, Item]]:
    """What any of `sources` gives, with its number, as it comes."""
    if len(sources) == 1:
        async for item in sources[0]:
            yield 0, item
        return
    following = {asyncio.ensure_future(anext(source)): index for index, source in enumerate(sources)}
    try:
        while following:
            ready, _ = await asyncio.wait(following, return_when=asyncio.FIRST_COMPLETED)
            for task in ready:
                index = following.pop(task)
                try:
                    item = task.result()
                except StopAsyncIteration:
                    continue
                yield index, item
                following[asyncio.ensure_future(anext(sources[index]))] = index
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        for source in sources:
            await source.aclose()  # type: ignore[attr-defined]
