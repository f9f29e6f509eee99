"""Runs generation requests on a worker, and folds the chunks of output into results, whole or as they are written.

A dialect makes `GenerationRequest`s, calls `generate` or iterates a `GenerationStream`, and renders each `GenerationResult` in
its own JSON.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from multiscale_transformer.agents.tool_schema import Tool, ToolCall
from multiscale_transformer.engine.scheduler import OutputChunk
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.server.core.chat_template import may_be_call, parse_answer
from multiscale_transformer.server.core.requests import GenerationRequest, plain_ends
from multiscale_transformer.server.core.sources import find_sources
from multiscale_transformer.server.runtime.worker import EngineRequest, RequestHandle, Worker

Item = TypeVar("Item")


@dataclass
class GenerationResult:
    """One answer so far: all its `text`, and what the last `chunk` added to it.

    Text that may become a tool call is held back: `delta` is what may be shown now. At the end the text is either shown or
    parsed into `calls`.
    """

    request: GenerationRequest
    memory: CorpusMemory | None
    tools: Sequence[Tool] = ()
    index: int = 0
    text: str = ""
    delta: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    completion_tokens: int = 0
    chunk: OutputChunk = field(default_factory=OutputChunk)
    begins: bool = False  # the last chunk was the first
    shown: int = 0  # characters of `text` that were in a delta
    handle: RequestHandle | None = None
    ended_at: float = 0.0  # by `time.monotonic`

    def add(self, chunk: OutputChunk) -> None:
        """Take the next chunk."""
        self.begins = not self.completion_tokens and not self.text
        self.chunk = chunk
        self.text += chunk.text
        self.completion_tokens += len(chunk.drawn)
        self.ended_at = time.monotonic()
        showable: str | None = self.text
        if self.ended:
            showable, self.calls = parse_answer(self.text, self.tools)
        elif self.held_back:
            showable = None
        self.delta = (showable or "")[self.shown :]
        self.shown += len(self.delta)

    @property
    def ended(self) -> bool:
        """Whether the last chunk was the last of all."""
        return self.chunk.ended is not None

    @property
    def held_back(self) -> bool:
        """Whether the text is a tool call, or may still become one."""
        return bool(self.calls) or (not self.ended and bool(self.tools) and may_be_call(self.text))

    @property
    def finish_reason(self) -> str:
        """Why it ended, in OpenAI's words: stop or length."""
        return "stop" if self.chunk.ended == "stop" else "length"

    def stop_among(self, asked: Sequence[str]) -> str:
        """The stop string of those asked for that ended it, or nothing: templates and gaps have stop strings of their own."""
        found = (text for text in asked if self.chunk.stop_text in (text, plain_ends(text)))
        return next(found, "") if self.chunk.stop_text else ""

    @property
    def seconds(self) -> tuple[float, float]:
        """How long reading and writing took. The candidates of a gap are read and written at once, which counts as writing."""
        assert self.handle is not None
        started, first = self.handle.started, self.handle.first_byte_at
        if first is None or (self.request.prompt.gap is not None and self.request.sampling.candidates > 1):
            first = started
        return first - started, max(0.0, self.ended_at - first)

    async def sources(self) -> dict[str, Any]:
        """The field `sources` of an answer, or nothing where there are none."""
        found = await find_sources(self.request, self.memory, self.text)
        return {"sources": found} if found else {}


async def generate(
    worker: Worker, requests: Sequence[GenerationRequest], memory: CorpusMemory | None, tools: Sequence[Tool] = ()
) -> list[GenerationResult]:
    """The finished results. When one fails all are cancelled."""
    handles = _submit(worker, [request.for_engine(memory) for request in requests], live=False)
    results = _results(requests, memory, tools, handles)
    for result, chunk in zip(results, await _wait(handles), strict=True):
        result.add(chunk)
    return results


class GenerationStream:
    """Results while they are written: iterating gives a result each time a chunk was added to it.

    A context manager: whatever has not ended at its exit is cancelled. Raises ApiError when the queue has no place for all.
    """

    def __init__(
        self, worker: Worker, requests: Sequence[GenerationRequest], memory: CorpusMemory | None, tools: Sequence[Tool] = ()
    ) -> None:
        self._handles = _submit(worker, [request.for_engine(memory) for request in requests], live=True)
        self.results = _results(requests, memory, tools, self._handles)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for result, handle in zip(self.results, self._handles, strict=True):
            if not result.ended:
                handle.cancel()

    async def __aiter__(self) -> AsyncIterator[GenerationResult]:
        async for index, chunk in merged([aiter(handle) for handle in self._handles]):
            self.results[index].add(chunk)
            yield self.results[index]


async def submit_and_wait(worker: Worker, requests: Sequence[EngineRequest]) -> list[OutputChunk]:
    """All output of each. When one fails or the caller is cancelled, all are cancelled."""
    return await _wait(_submit(worker, requests, live=False))


async def _wait(handles: Sequence[RequestHandle]) -> list[OutputChunk]:
    tasks = [asyncio.ensure_future(handle.whole()) for handle in handles]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task, handle in zip(tasks, handles, strict=True):
            task.cancel()
            handle.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def merged(iterators: Sequence[AsyncIterator[Item]]) -> AsyncIterator[tuple[int, Item]]:
    """What any of the iterators gives, with its number, as it comes."""
    if len(iterators) == 1:
        async for item in iterators[0]:
            yield 0, item
        return
    following = {asyncio.ensure_future(anext(iterator)): index for index, iterator in enumerate(iterators)}
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
                following[asyncio.ensure_future(anext(iterators[index]))] = index
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


def _results(
    requests: Sequence[GenerationRequest],
    memory: CorpusMemory | None,
    tools: Sequence[Tool],
    handles: Sequence[RequestHandle],
) -> list[GenerationResult]:
    return [
        GenerationResult(request, memory, tools, index, handle=handle)
        for index, (request, handle) in enumerate(zip(requests, handles, strict=True))
    ]


def _submit(worker: Worker, requests: Sequence[EngineRequest], *, live: bool) -> list[RequestHandle]:
    """Put all of them into the batch, or none: raises ApiError when the queue has no place for one."""
    handles: list[RequestHandle] = []
    try:
        for request in requests:
            handles.append(worker.submit(request, live=live))
    except BaseException:
        for handle in handles:
            handle.cancel()
        raise
    return handles
