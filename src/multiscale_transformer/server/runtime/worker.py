"""The thread that steps an engine, and the handles by which the event loop follows its requests.

All requests of a model share one `Scheduler`, which one thread steps for as long as there is something to do. What it writes
goes to the event loop in bundles, at most every few hundredths of a second: one wake-up for all requests, and several bytes an
event, so that the loop takes no time from the engine. The first and the last chunk of a request go at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable

from multiscale_transformer.engine.engine import MAX_BATCH_TOKENS, Engine
from multiscale_transformer.engine.prompt_scoring import ScoreRequest
from multiscale_transformer.engine.scheduler import FAILED, LENGTH, OutputChunk, Request, Scheduler
from multiscale_transformer.errors import AxlError
from multiscale_transformer.server.errors import ApiError, StoppedError
from multiscale_transformer.server.metrics import Metrics
from multiscale_transformer.server.settings import Limits

EngineRequest = Request | ScoreRequest

BUNDLE_SECONDS = 0.02
BUNDLE_SECONDS_EACH = 0.01  # more for each stream: with many readers nobody reads faster than that
RETRY_SECONDS = 5  # after which a client that found the queue full should come again

log = logging.getLogger("axl.server")


class RequestHandle:
    """A request that was submitted. Iterating gives its output as chunks, until the one that has `ended`.

    `live` requests get chunks while they are being written, the others one chunk at the end.
    """

    def __init__(self, worker: Worker, request: EngineRequest, *, live: bool) -> None:
        self.request, self.live = request, live
        self._worker, self._loop = worker, asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._pending = OutputChunk()
        self.started = time.monotonic()
        self.first_byte_at: float | None = None

    async def __aiter__(self) -> AsyncIterator[OutputChunk]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            chunk, self._pending = self._pending, OutputChunk()
            if chunk.error is not None:
                raise chunk.error
            yield chunk
            if chunk.ended is not None:
                return

    async def whole(self) -> OutputChunk:
        """All of its output, when it has ended. Cancels the request when the caller is cancelled."""
        whole = OutputChunk()
        try:
            async for chunk in self:
                whole.add(chunk)
        finally:
            if whole.ended is None:
                self.cancel()
        return whole

    def cancel(self) -> None:
        """Take the request out of the batch; it takes effect with the next step."""
        self._worker.drop(self)

    def deliver(self, chunk: OutputChunk) -> None:
        """Take more output; called on the event loop."""
        self._pending.add(chunk)
        self._changed.set()


class Worker:
    """Runs an engine on a thread of its own until `close`."""

    def __init__(self, engine: Engine, name: str, metrics: Metrics, max_queue: int = Limits.max_queue) -> None:
        self.engine, self.name, self.max_queue = engine, name, max_queue
        self._scheduler = Scheduler(engine)
        self._prompt_bytes, self._written_bytes = metrics.prompt_bytes.labels(name), metrics.written_bytes.labels(name)
        self._first_byte_seconds = metrics.first_byte_seconds.labels(name)
        self._wake, self._closing = threading.Condition(), False
        self._inbox: list[Callable[[Scheduler], None]] = []
        self._handles: dict[EngineRequest, RequestHandle] = {}
        self._ready: dict[RequestHandle, OutputChunk] = {}
        self._flushed = 0.0
        self._thread = threading.Thread(target=self._run, name=f"axl-{name}", daemon=True)
        self._thread.start()

    def submit(self, request: EngineRequest, *, live: bool) -> RequestHandle:
        """Queue a request of the running event loop; with `live` its handle gets output while it is being written.

        Raises ApiError when the batch is full and `max_queue` wait, StoppedError when the worker is closing.
        """
        if len(self._handles) >= MAX_BATCH_TOKENS + self.max_queue:
            raise ApiError(429, "too many requests wait; try again later", code="queue_full", retry_after=RETRY_SECONDS)
        handle = RequestHandle(self, request, live=live)
        with self._wake:
            if self._closing:
                raise StoppedError("the model is being unloaded; try again")
            self._handles[request] = handle

        self._call(lambda scheduler: scheduler.submit(request))
        return handle

    @property
    def counts(self) -> tuple[int, int]:
        """Requests that run, and requests that wait, those too that the thread has not seen yet."""
        running, _ = self._scheduler.counts
        return running, max(0, len(self._handles) - running)

    @property
    def idle(self) -> bool:
        """Whether no request runs or waits, and no output waits for delivery."""
        return not self._handles and not self._ready and not self._scheduler.busy

    def drop(self, handle: RequestHandle) -> None:
        """End a request that nobody waits for any more."""
        self._forget(handle)  # first, so that no later step collects for it

        def leave(scheduler: Scheduler) -> None:
            scheduler.cancel(handle.request)
            self._ready.pop(handle, None)

        self._call(leave)

    def end_all(self) -> None:
        """End every request as if it had reached its length, so that streams end properly; score requests fail."""

        def end(scheduler: Scheduler) -> None:
            for request, handle in list(self._handles.items()):
                scheduler.cancel(request)
                failed = OutputChunk(ended=FAILED, error=StoppedError("the server stops"))
                stopped = failed if isinstance(request, ScoreRequest) else OutputChunk(ended=LENGTH)
                self._ready.setdefault(handle, OutputChunk()).add(stopped)
            self._flush()

        self._call(end)

    def close(self) -> None:
        """Stop the thread, fail the requests that have not ended, and close the engine."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        for handle in list(self._handles.values()):
            self._ready[handle] = OutputChunk(ended=FAILED, error=StoppedError("the model is being unloaded; try again"))
        self._flush()
        self._scheduler.close()
        self.engine.close()

    def _call(self, action: Callable[[Scheduler], None]) -> None:
        """Run `action` on the thread, between two steps."""
        with self._wake:
            self._inbox.append(action)
            self._wake.notify()

    def _forget(self, handle: RequestHandle) -> None:
        """Deliver nothing to a handle any more."""
        self._handles.pop(handle.request, None)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._inbox or self._scheduler.busy or self._closing)
                if self._closing:
                    return
                inbox, self._inbox = self._inbox, []
            for action in inbox:
                action(self._scheduler)
            if self._scheduler.busy:
                self._step()

    def _step(self) -> None:
        try:
            output = self._scheduler.step()
        except Exception as error:
            log.exception("a step of the engine failed")
            self._fail_all(error)
            return
        at_once = not self._scheduler.busy
        for request, chunk in output:
            handle = self._handles.get(request)
            if handle is None:
                continue
            self._count(handle, chunk)
            at_once |= chunk.ended is not None or (handle.live and handle not in self._ready and handle.first_byte_at is None)
            if chunk.drawn and handle.first_byte_at is None:
                handle.first_byte_at = time.monotonic()
                self._first_byte_seconds.observe(handle.first_byte_at - handle.started)
            self._ready.setdefault(handle, OutputChunk()).add(chunk)
        now = time.monotonic()
        if self._ready and (at_once or now - self._flushed > max(BUNDLE_SECONDS, BUNDLE_SECONDS_EACH * len(self._ready))):
            self._flushed = now
            self._flush()

    def _flush(self) -> None:
        """Deliver what is ready to the event loop; of requests that are not `live` only what has ended."""
        due = {handle: chunk for handle, chunk in self._ready.items() if handle.live or chunk.ended is not None}
        for handle in due:
            del self._ready[handle]
        for loop in {handle._loop for handle in due}:
            of_loop = [(handle, chunk) for handle, chunk in due.items() if handle._loop is loop]
            try:
                loop.call_soon_threadsafe(self._deliver, of_loop)
            except RuntimeError:  # the loop is closed: nobody is there to hear it
                for handle, _ in of_loop:
                    self._forget(handle)

    def _deliver(self, chunks: list[tuple[RequestHandle, OutputChunk]]) -> None:
        for handle, chunk in chunks:
            if chunk.ended is not None:
                self._forget(handle)
            handle.deliver(chunk)

    def _count(self, handle: RequestHandle, chunk: OutputChunk) -> None:
        self._written_bytes.inc(len(chunk.drawn))
        if chunk.ended is not None and isinstance(handle.request, Request):
            self._prompt_bytes.inc(len(handle.request.prompt))

    def _fail_all(self, error: Exception) -> None:
        """After an error of the engine: fail every request, and begin again with an empty batch."""
        self._scheduler.close()
        self._scheduler = Scheduler(self.engine)
        reason = StoppedError(str(error) if isinstance(error, AxlError) else "the engine failed; the server's log says more")
        for handle in list(self._handles.values()):
            self._ready[handle] = OutputChunk(ended=FAILED, error=reason)
        self._flush()
