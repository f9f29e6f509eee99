"""Answers a request, whole or as a stream that begins with a proper status, ends properly, and stops work when nobody listens.

Server-sent events are OpenAI's, Anthropic's and llama.cpp's streams, lines of JSON Ollama's.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.server.core.disconnects import unless_disconnected
from multiscale_transformer.server.errors import ApiError, as_api_error, error_body
from multiscale_transformer.server.runtime.model_manager import LoadedModel
from multiscale_transformer.server.runtime.registry import ModelEntry
from multiscale_transformer.server.state import ServerState

KEEP_ALIVE_SECONDS = 15.0  # of silence, after which a comment keeps proxies from hanging up
# Threads of their own: behind searches for sources, which take the loop's, no request should wait to begin.
_PREPARING = ThreadPoolExecutor(4, "axl-prepare")
NO_CACHE = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class StreamFormat:
    """How events are framed: `ping` keeps a silent stream alive, `done` ends it, errors have the shape of `error_path`."""

    media_type: str
    frame: Callable[[str], str]
    error_path: str
    done: str | None = None
    ping: str | None = None


def _frame_event(event: str) -> str:
    """An event as `data:`, or as it is where it has a name of its own."""
    return event if event.startswith("event:") else f"data: {event}\n\n"


def _frame_named(event: str) -> str:
    """An event with its name; what has none is an error."""
    return event if event.startswith("event:") else f"event: error\ndata: {event}\n\n"


EVENTS = StreamFormat("text/event-stream", _frame_event, "/v1/", "data: [DONE]\n\n", ": still working\n\n")
EVENTS_WITHOUT_DONE = replace(EVENTS, done=None)
NAMED_EVENTS = StreamFormat("text/event-stream", _frame_named, "/v1/messages", ping='event: ping\ndata: {"type": "ping"}\n\n')
JSON_LINES = StreamFormat("application/x-ndjson", lambda line: line + "\n", "/api/")


def new_id(prefix: str) -> str:
    """A new name for an answer."""
    return f"{prefix}-{secrets.token_hex(12)}"


def named_event(kind: str, **fields: Any) -> str:
    """A server-sent event with a name, which its data repeat as `type`."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


class Responder(Protocol):
    """Answers one request, in the JSON of its dialect."""

    async def whole(self) -> dict[str, Any]:
        """The answer as one body."""

    def events(self) -> AsyncGenerator[str]:
        """The answer as the events of a stream."""


MakeResponder = Callable[[LoadedModel, CorpusMemory | None], Responder]


async def respond(
    http: Request,
    state: ServerState,
    entry: ModelEntry,
    make_responder: MakeResponder,
    *,
    stream: StreamFormat | None,
    memory: list[str] | None,
    keep_alive: float | None = None,
) -> Response:
    """Answer as one body, or as events in the format `stream`; `memory` names the indexes to look up in.

    `make_responder` runs in a thread: templates, schemas and the tool router may take a while.
    """
    if stream is None:
        async with state.models.use(entry, keep_alive, memory=memory) as model:
            responder = await _prepared(make_responder, model, state.models.memory(model, memory))
            return JSONResponse(await unless_disconnected(http, responder.whole()))
    source = _with_model(state, entry, make_responder, keep_alive, memory)
    try:  # loading and refusing happen here, while the answer can still have a status
        first = await unless_disconnected(http, _first(source))
    except BaseException:
        await source.aclose()
        raise
    return StreamingResponse(_body(first, source, stream), media_type=stream.media_type, headers=NO_CACHE)


async def _prepared(make_responder: MakeResponder, model: LoadedModel, memory: CorpusMemory | None) -> Responder:
    return await asyncio.get_running_loop().run_in_executor(_PREPARING, make_responder, model, memory)


async def _first(source: AsyncGenerator[str]) -> str | None:
    return await anext(source, None)


async def _with_model(
    state: ServerState,
    entry: ModelEntry,
    make_responder: MakeResponder,
    keep_alive: float | None,
    memory: list[str] | None,
) -> AsyncGenerator[str]:
    async with state.models.use(entry, keep_alive, memory=memory) as model:
        responder = await _prepared(make_responder, model, state.models.memory(model, memory))
        source = responder.events()
        try:
            async for event in source:
                yield event
        finally:
            await source.aclose()


async def _body(first: str | None, source: AsyncGenerator[str], stream: StreamFormat) -> AsyncIterator[str]:
    """The framed events; an error in the middle is the last of them."""
    try:
        if first is not None:
            yield stream.frame(first)
        async for event in _kept_alive(source, stream.ping):
            yield stream.frame(event) if event != stream.ping else event
        if stream.done is not None:
            yield stream.done
    except (ApiError, AxlError) as error:
        api_error = error if isinstance(error, ApiError) else as_api_error(error)
        yield stream.frame(json.dumps(error_body(stream.error_path, api_error)))
    finally:
        await source.aclose()


async def _kept_alive(source: AsyncIterator[str], ping: str | None) -> AsyncIterator[str]:
    """The events of `source`, and `ping` each time it was silent for `KEEP_ALIVE_SECONDS`."""
    while True:
        following = asyncio.ensure_future(anext(source, None))
        try:
            while ping is not None and not (await asyncio.wait({following}, timeout=KEEP_ALIVE_SECONDS))[0]:
                yield ping
            event = await following
        except BaseException:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            raise
        if event is None:
            return
        yield event
