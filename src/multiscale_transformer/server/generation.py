"""From what any route asks for to what is written: the fields that all of them share, and running a request.

OpenAI, Ollama and llama.cpp name the same options differently; their routes translate into `GenerationRequest`, so sampling,
memory, time limits, stop texts and sources are the same whoever asks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from fastapi import Request as HttpRequest

from multiscale_transformer.engine.scheduler import OutputChunk, Request
from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.provenance import provenance
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.prompts import MARKER_STOPS, Prompt
from multiscale_transformer.server.worker import Job, RequestHandle, Worker

Answer = TypeVar("Answer")

log = structlog.get_logger("axl.server")

DEFAULTS: dict[str, Any] = {"temperature": 0.4, "top_p": 0.95, "max_new_tokens": 256}  # as of `axl complete`
MAX_NEW = 65_536  # bytes of one answer
MAX_STOPS = 64  # texts that end it


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt, how to draw, and what else a request may say. `seconds` is its time limit; `sources` asks where it is from."""

    prompt: Prompt
    sampling: Sampling
    constraint: GrammarConstraint | None = None
    seconds: float | None = None
    sources: bool = True


@dataclass
class GenerationResult:
    """A finished text: its pieces as one, and where they stand in the memory."""

    piece: OutputChunk
    sources: list[dict[str, Any]] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """Why it ended, in OpenAI's words."""
        return "stop" if self.piece.ended == "stop" else "length"


def sampling_of(options: dict[str, Any], stops: list[str] | str | None, *, hole: bool = False) -> Sampling:
    """`Sampling` from options (those that are None are defaults) and stop texts.

    What fills a hole also ends at another marker: some editors' templates make models write one.
    """
    given = {name: value for name, value in options.items() if value is not None}
    texts = [stops] if isinstance(stops, str) else list(stops or ())
    if len(texts) > MAX_STOPS:
        raise ApiError(400, f"stop: {len(texts)} texts are too many; the most are {MAX_STOPS}", param="stop")
    texts += MARKER_STOPS if hole else ()
    fields = {**DEFAULTS, **given, "stop": tuple(text.encode("utf-8", "replace") for text in texts if text)}
    fields["max_new_tokens"] = min(int(fields["max_new_tokens"]), MAX_NEW)
    return Sampling.model_validate(fields)


def seeded(asked: GenerationRequest, index: int) -> GenerationRequest:
    """The same request for another answer: choice `index` has the seed plus its number."""
    if index == 0 or asked.sampling.seed is None:
        return asked
    sampling = asked.sampling.model_copy(update={"seed": (asked.sampling.seed + index) % 2**63})
    return GenerationRequest(asked.prompt, sampling, _copied(asked.constraint), asked.seconds, asked.sources)


def start_all(
    worker: Worker, asked: Sequence[GenerationRequest], memory: CorpusMemory | None, *, live: bool
) -> list[RequestHandle]:
    """Put all of them into the batch, or none: raises ApiError when there is no place for one."""
    return submit_all(worker, [_request(one, memory) for one in asked], live=live)


def submit_all(worker: Worker, jobs: Sequence[Job], *, live: bool) -> list[RequestHandle]:
    """All or none, as `start_all`."""
    tickets: list[RequestHandle] = []
    try:
        for job in jobs:
            tickets.append(worker.submit(job, live=live))
    except BaseException:
        for ticket in tickets:
            ticket.cancel()
        raise
    return tickets


async def write_all(worker: Worker, asked: Sequence[GenerationRequest], memory: CorpusMemory | None) -> list[GenerationResult]:
    """The whole texts, and where they are from. When one fails all are given up."""
    pieces = await all_whole(start_all(worker, asked, memory, live=False))
    return [
        GenerationResult(piece, await found_sources(one, memory, piece.text)) for piece, one in zip(pieces, asked, strict=True)
    ]


async def all_whole(tickets: Sequence[RequestHandle]) -> list[OutputChunk]:
    """What all of them write. When one fails or the caller is cancelled, all are given up."""
    tasks = [asyncio.ensure_future(ticket.whole()) for ticket in tickets]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task, ticket in zip(tasks, tickets, strict=True):
            task.cancel()
            ticket.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def found_sources(asked: GenerationRequest, memory: CorpusMemory | None, text: str) -> list[dict[str, Any]]:
    """The documents that the text stands in, as JSON; bytes are counted in its UTF-8.

    None of them where the search fails: an answer that is written does not fail for that.
    """
    if memory is None or not asked.sources or not text:
        return []
    try:
        found = await asyncio.to_thread(provenance, memory, asked.prompt.before, text.encode())
    except (AxlError, OSError, ValueError, IndexError) as error:
        log.warning("sources", note=f"they could not be found: {error}")
        return []
    return [
        {
            "begin": source.begin,
            "end": source.end,
            "file": source.name,
            "line": source.line,
            "matched": source.length,
            "copied": source.copied,
            "licence": source.licence,
        }
        for source in found
    ]


async def live_pieces(ticket: RequestHandle) -> AsyncIterator[OutputChunk]:
    """What is written as it is written; leaving early takes the request out of the batch."""
    ended = False
    try:
        async for piece in ticket:
            ended = piece.ended is not None
            yield piece
    finally:
        if not ended:
            ticket.cancel()


async def unless_gone(http: HttpRequest, answer: Awaitable[Answer]) -> Answer:
    """The answer, unless the client hangs up first: then the work stops and nobody gets anything."""
    working = asyncio.ensure_future(answer)
    watching = asyncio.ensure_future(_gone(http))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ApiError(499, "the client has gone")
        return await working
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _gone(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


def _request(asked: GenerationRequest, memory: CorpusMemory | None) -> Request:
    deadline = None if asked.seconds is None else time.monotonic() + asked.seconds
    return Request(asked.prompt.ids, asked.sampling, memory, _copied(asked.constraint), deadline)


def _copied(constraint: Any) -> Any:
    return None if constraint is None else constraint.copy()
