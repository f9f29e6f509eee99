"""The thread that owns an engine, and what the event loop holds of it: tickets.

All requests of a model share one `Scheduler`, which one thread steps for as long as there is something to do. What it writes
goes to the event loop in bundles, at most every few hundredths of a second: one wake-up for all requests, and several bytes an
event, so that the loop takes no time from the engine. What begins or ends a request goes at once.
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

Job = Request | ScoreRequest

BUNDLE_SECONDS = 0.02
BUNDLE_SECONDS_EACH = 0.01  # more for each stream: with many readers nobody reads faster than that
QUEUED = 64  # requests that wait for a place in the batch, at most
LATEST = 5  # seconds after which a client that found the queue full should come again

log = logging.getLogger("axl.server")


class RequestHandle:
    """One request on its way. Iterating gives what was written since the last look, until the piece that has `ended`."""

    def __init__(self, worker: Worker, job: Job, *, live: bool) -> None:
        self.job, self.live = job, live
        self._worker, self._loop = worker, asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._piece = OutputChunk()
        self.started = time.monotonic()
        self.first: float | None = None  # when the first byte came

    async def __aiter__(self) -> AsyncIterator[OutputChunk]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            piece, self._piece = self._piece, OutputChunk()
            if piece.error is not None:
                raise piece.error
            yield piece
            if piece.ended is not None:
                return

    async def whole(self) -> OutputChunk:
        """All that it wrote, when it has ended. Cancels the request when the caller is cancelled."""
        written = OutputChunk()
        try:
            async for piece in self:
                merge(written, piece)
        finally:
            if written.ended is None:
                self.cancel()
        return written

    def cancel(self) -> None:
        """Take the request out of the batch; it takes effect with the next step."""
        self._worker.drop(self)

    def deliver(self, piece: OutputChunk) -> None:
        """More of it, on the event loop."""
        merge(self._piece, piece)
        self._changed.set()


class Worker:
    """Runs an engine on a thread of its own until `close`."""

    def __init__(self, engine: Engine, name: str, metrics: Metrics, queued: int = QUEUED) -> None:
        self.engine, self.name, self.queued = engine, name, queued
        self._batcher = Scheduler(engine)
        self._read, self._written = metrics.read.labels(name), metrics.written.labels(name)
        self._first_byte = metrics.first_byte.labels(name)
        self._wake, self._closing = threading.Condition(), False
        self._inbox: list[Callable[[Scheduler], None]] = []
        self._tickets: dict[Job, RequestHandle] = {}
        self._ready: dict[RequestHandle, OutputChunk] = {}
        self._flushed = 0.0
        self._thread = threading.Thread(target=self._run, name=f"axl-{name}", daemon=True)
        self._thread.start()

    def submit(self, job: Job, *, live: bool) -> RequestHandle:
        """Queue a request of the running event loop; `live` wants what is written while it is being written.

        Raises ApiError when the batch is full and `queued` wait, StoppedError when the worker is closing.
        """
        if len(self._tickets) >= MAX_BATCH_TOKENS + self.queued:
            raise ApiError(429, "too many requests wait; try again later", code="queue_full", retry_after=LATEST)
        ticket = RequestHandle(self, job, live=live)
        with self._wake:
            if self._closing:
                raise StoppedError("the model is being unloaded; try again")
            self._tickets[job] = ticket
        self.call(lambda batcher: batcher.submit(job))
        return ticket

    @property
    def counts(self) -> tuple[int, int]:
        """Requests that run, and requests that wait, those too that the thread has not seen yet."""
        running, _ = self._batcher.counts
        return running, max(0, len(self._tickets) - running)

    def call(self, action: Callable[[Scheduler], None]) -> None:
        """Have the thread do something between two steps."""
        with self._wake:
            self._inbox.append(action)
            self._wake.notify()

    def forget(self, ticket: RequestHandle) -> None:
        """Nobody waits for it any more."""
        self._tickets.pop(ticket.job, None)

    def drop(self, ticket: RequestHandle) -> None:
        """Nobody waits for it any more, and it is not to go on."""
        self.forget(ticket)  # first, so that no later step collects for it

        def leave(batcher: Scheduler) -> None:
            batcher.cancel(ticket.job)
            self._ready.pop(ticket, None)

        self.call(leave)

    def end_all(self) -> None:
        """End what runs as if it had reached its length, so that streams end properly; scans fail."""

        def end(batcher: Scheduler) -> None:
            for job, ticket in list(self._tickets.items()):
                batcher.cancel(job)
                failed = OutputChunk(ended=FAILED, error=StoppedError("the server stops"))
                stopped = failed if isinstance(job, ScoreRequest) else OutputChunk(ended=LENGTH)
                merge(self._ready.setdefault(ticket, OutputChunk()), stopped)
            self._flush()

        self.call(end)

    def close(self) -> None:
        """Stop the thread, fail what it has not ended, and let the engine go."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        for ticket in list(self._tickets.values()):
            self._ready[ticket] = OutputChunk(ended=FAILED, error=StoppedError("the model is being unloaded; try again"))
        self._flush()
        self._batcher.close()
        self.engine.close()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._inbox or self._batcher.busy or self._closing)
                if self._closing:
                    return
                inbox, self._inbox = self._inbox, []
            for action in inbox:
                action(self._batcher)
            if self._batcher.busy:
                self._step()

    def _step(self) -> None:
        try:
            written = self._batcher.step()
        except Exception as error:
            log.exception("a step of the engine failed")
            self._fail_all(error)
            return
        at_once = not self._batcher.busy
        for job, piece in written:
            ticket = self._tickets.get(job)
            if ticket is None:
                continue
            self._count(ticket, piece)
            at_once |= piece.ended is not None or (ticket.live and ticket not in self._ready and ticket.first is None)
            if piece.drawn and ticket.first is None:
                ticket.first = time.monotonic()
                self._first_byte.observe(ticket.first - ticket.started)
            merge(self._ready.setdefault(ticket, OutputChunk()), piece)
        now = time.monotonic()
        if self._ready and (at_once or now - self._flushed > max(BUNDLE_SECONDS, BUNDLE_SECONDS_EACH * len(self._ready))):
            self._flushed = now
            self._flush()

    def _flush(self) -> None:
        """Bring what is ready to the event loop; what is not live waits until it has ended."""
        due = {ticket: piece for ticket, piece in self._ready.items() if ticket.live or piece.ended is not None}
        for ticket in due:
            del self._ready[ticket]
        for loop in {ticket._loop for ticket in due}:
            of_loop = [(ticket, piece) for ticket, piece in due.items() if ticket._loop is loop]
            try:
                loop.call_soon_threadsafe(self._deliver, of_loop)
            except RuntimeError:  # the loop is closed: nobody is there to hear it
                for ticket, _ in of_loop:
                    self.forget(ticket)

    def _deliver(self, pieces: list[tuple[RequestHandle, OutputChunk]]) -> None:
        for ticket, piece in pieces:
            if piece.ended is not None:
                self.forget(ticket)
            ticket.deliver(piece)

    def _count(self, ticket: RequestHandle, piece: OutputChunk) -> None:
        self._written.inc(len(piece.drawn))
        if piece.ended is not None and isinstance(ticket.job, Request):
            self._read.inc(len(ticket.job.prompt))

    def _fail_all(self, error: Exception) -> None:
        """A defect or a full cache: whoever was in the batch is told, and the next request finds a new one."""
        self._batcher.close()
        self._batcher = Scheduler(self.engine)
        reason = StoppedError(str(error) if isinstance(error, AxlError) else "the engine failed; the server's log says more")
        for ticket in list(self._tickets.values()):
            self._ready[ticket] = OutputChunk(ended=FAILED, error=reason)
        self._flush()


def merge(written: OutputChunk, more: OutputChunk) -> None:
    """Put what came after `written` behind it."""
    written.text += more.text
    written.drawn += more.drawn
    written.ended = more.ended or written.ended
    written.error = more.error or written.error
