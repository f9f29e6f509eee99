"""Continuous batching: requests join and leave a running batch at any step.

A step reads, together, the newest byte of every request that is writing, the bytes that the memory drafts for it, and a piece
of a prompt, or of a text to be scored, that is still being read. Every byte is drawn from the model's own distribution by its
request's own counter-based random numbers, so neither drafts nor neighbours change what a request writes.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from multiscale_transformer.engine.detokenizer import IncrementalDetokenizer
from multiscale_transformer.engine.engine import MAX_BATCH_TOKENS, Engine, Logits, Read, Sequence
from multiscale_transformer.engine.prompt_scoring import ScoreRequest, ScoreState
from multiscale_transformer.engine.speculative import Drafter
from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.reader import MemoryFeatures, TextReader, no_features
from multiscale_transformer.model.sampling import SampledToken, Sampler, Sampling
from multiscale_transformer.model.vocabulary import EOS
from multiscale_transformer.model.window import window_start

STOP, LENGTH, CANCELLED, FAILED = "stop", "length", "cancelled", "failed"  # why a request ended


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked for: a prompt of ids, how to draw, what to look up in, and until when (`time.monotonic`)."""

    prompt: list[int]
    sampling: Sampling
    memory: CorpusMemory | None = None
    constraint: GrammarConstraint | None = None
    deadline: float | None = None
    draft: bool = True


@dataclass
class OutputChunk:
    """What a step wrote for a request: text that is safe to show, the ids behind it, and, at the end, why it ended.

    A request that FAILED has its `error`.
    """

    text: str = ""
    drawn: list[SampledToken] = field(default_factory=list)
    ended: str | None = None
    error: AxlError | None = None


class SequenceState:
    """A request in the batch. `known` are all ids so far, of which the engine's sequence reads those from `start` on."""

    def __init__(self, engine: Engine, request: Request) -> None:
        self.request, self._engine = request, engine
        self.sampler = Sampler(request.sampling, request.prompt)
        self.stream = IncrementalDetokenizer(request.sampling.stop)
        self.known = list(request.prompt)
        self.written = 0
        self.cancelled = False
        self.begin()

    @property
    def promised(self) -> int:
        """Pages that it may still take."""
        return max(0, _most_pages(self._engine, self.request) - len(self.sequence.pages))

    def begin(self, *, full: bool = False) -> None:
        """Read the window that ends with the newest id, but for pages that are there already; `full` says the last one is."""
        request, context = self.request, self._engine.config.max_seq_len
        self.start = window_start(len(self.known), context, full=full)
        memory = request.memory if self._engine.config.memory else None
        before = (
            hashlib.sha256(np.array(self.known[: self.start], np.int16).tobytes()).hexdigest() if self.start and memory else ""
        )
        self.sequence: Sequence = self._engine.new_sequence(self.known[self.start :], (memory, before))
        read = self.start + self.sequence.length
        self.reader = None if memory is None else TextReader(memory.rows, len(memory.shards))
        if self.reader is not None and read:
            self.reader.read(self.known[:read], n_skip=read)
        self.found: MemoryFeatures = no_features(1)

    @property
    def unread(self) -> int:
        """How many ids the engine has not read yet; 1 while writing."""
        return len(self.known) - self.start - self.sequence.length

    def look_up(self, ids: list[int]) -> MemoryFeatures:
        """What the memory says after the next ids."""
        return no_features(len(ids)) if self.reader is None else self.reader.read(ids)


class Scheduler:
    """Steps an engine for all its requests. For one thread; `submit` and `cancel` may be called between steps."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.drafter = engine, Drafter()
        self._waiting: deque[Request] = deque()
        self._running: list[SequenceState] = []
        self._of_request: dict[Request, SequenceState] = {}
        self._scans: deque[ScoreRequest] = deque()
        self._scanning: ScoreState | None = None  # the oldest of them
        self._turns = itertools.cycle((True, False))  # whether a prompt or a scan comes first where both wait

    def submit(self, request: Request) -> None:
        """Queue a request. Raises AxlError when its prompt is empty."""
        if not request.prompt:
            raise AxlError("the prompt is empty; begin with BOS")
        self._waiting.append(request)

    def submit_scan(self, scan: ScoreRequest) -> None:
        """Queue a text to be read for its own sake; what came of it stands in `scan` when `step` has reported it.

        Raises AxlError when it is empty.
        """
        if not scan.ids:
            raise AxlError("the text is empty; begin with BOS")
        self._scans.append(scan)

    def cancel(self, request: Request | ScoreRequest) -> None:
        """End a request: it leaves with the next step, or at once and unreported where it has not begun."""
        if isinstance(request, ScoreRequest):
            if self._scanning is not None and self._scanning.scan is request:
                self._end_scan()
            elif request in self._scans:
                self._scans.remove(request)
        elif request in self._of_request:
            self._of_request[request].cancelled = True
        elif request in self._waiting:
            self._waiting.remove(request)

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self._waiting or self._running or self._scans)

    @property
    def _promised(self) -> int:
        """Pages that running requests may still take."""
        return sum(running.promised for running in self._running)

    @property
    def counts(self) -> tuple[int, int]:
        """Requests that run, and requests that wait."""
        return len(self._running), len(self._waiting)

    def step(self) -> list[tuple[Request | ScoreRequest, OutputChunk]]:
        """One forward pass; what it wrote, by request."""
        out: list[tuple[Request | ScoreRequest, OutputChunk]] = [*self._admit()]
        over = [(running, reason) for running in self._running if (reason := self._over(running))]
        for running, reason in over:
            self._leave(running)
            out.append((running.request, OutputChunk(running.stream.close(ended=False), ended=reason)))
        plans = self._plan()
        scanned = self._scan_with(MAX_BATCH_TOKENS - sum(plan.rows for plan in plans))
        reads = [plan.read for plan in plans] + ([] if scanned is None else [scanned])
        logits = self.engine.read(reads) if reads else []
        if scanned is not None and self._scanning is not None:
            self._scanning.take(logits.pop())
        if self._scanning is not None and self._scanning.done:
            out.append((self._end_scan(), OutputChunk(ended=STOP)))
        for plan, of_plan in zip(plans, logits, strict=True):
            piece = self._finish(plan, of_plan)
            if piece is not None:
                out.append((plan.running.request, piece))
        return out

    def close(self) -> None:
        """Let everything go; nothing is reported."""
        for running in list(self._running):
            self._leave(running)
        if self._scanning is not None:
            self._end_scan()
        self._scans.clear()
        self._waiting.clear()

    def stream(self, request: Request) -> Iterator[OutputChunk]:
        """Submit and step until it ends; for callers who have the batcher to themselves. Closing the iterator cancels."""
        self.submit(request)
        try:
            while True:
                for of_request, piece in self.step():
                    if of_request is request:
                        if piece.error is not None:
                            raise piece.error
                        yield piece
                        if piece.ended is not None:
                            return
        finally:
            if request in self._of_request:
                self._leave(self._of_request[request])

    def scan(self, scan: ScoreRequest) -> None:
        """Submit a scan and step until it is done; for callers who have the batcher to themselves."""
        self.submit_scan(scan)
        while not any(done is scan for done, _ in self.step()):
            pass

    def _admit(self) -> Iterator[tuple[Request, OutputChunk]]:
        """Let requests in while there is a row for each and room for all they may become; report those that are too late."""
        now = time.monotonic()
        for request in [request for request in self._waiting if request.deadline is not None and now >= request.deadline]:
            self._waiting.remove(request)
            yield request, OutputChunk(ended=LENGTH)
        while self._waiting and len(self._running) < MAX_BATCH_TOKENS:
            promised = self._promised + (self._scanning.promised if self._scanning is not None else 0)
            if promised and self.engine.cache.available < promised + _most_pages(self.engine, self._waiting[0]):
                break
            running = SequenceState(self.engine, self._waiting.popleft())
            self._running.append(running)
            self._of_request[running.request] = running

    def _over(self, running: SequenceState) -> str | None:
        request = running.request
        if running.cancelled:
            return CANCELLED
        late = request.deadline is not None and time.monotonic() >= request.deadline
        return LENGTH if late or running.written >= request.sampling.max_new_tokens else None

    def _leave(self, running: SequenceState) -> None:
        running.sequence.close()
        self._running.remove(running)
        del self._of_request[running.request]

    def _plan(self) -> list[_Plan]:
        """Writers first, a row each; then a piece of the prompt that came first; what rows are left go to drafts."""
        writing = [running for running in self._running if running.unread == 1]
        plans = [_Plan(running, running.known[-1:], running.look_up(running.known[-1:])) for running in writing]
        room = MAX_BATCH_TOKENS - len(plans)
        reading = next((running for running in self._running if running.unread > 1), None)
        if self._scans and (reading is None or next(self._turns)):
            return plans
        if reading is not None and room:
            begin = reading.start + reading.sequence.length
            ids = reading.known[begin : begin + room]
            plans.append(_Plan(reading, ids, reading.look_up(ids)))
            room -= len(ids)
        for plan in plans[: len(writing)]:
            room -= self._draft(plan, room // max(1, len(writing)))
        return plans

    def _draft(self, plan: _Plan, room: int) -> int:
        """Add drafted ids to the plan of a writer; returns how many."""
        running = plan.running
        left = running.request.sampling.max_new_tokens - running.written - 1
        fits = self.engine.config.max_seq_len - running.sequence.length - 1
        most = min(room, left, fits)
        if running.reader is None or not running.request.draft or most < 1:
            return 0
        plan.drafts, plan.after = self.drafter.propose(running.reader, plan.found, most)
        return len(plan.drafts)

    def _scan_with(self, room: int) -> Read | None:
        """A piece of the oldest scan, where rows and pages are left for it."""
        if not self._scans or not room:
            return None
        if self._scanning is None:
            self._scanning = ScoreState(self.engine, self._scans[0])
        if self._scanning.done or (self._running and self.engine.cache.available < self._promised + self._scanning.promised):
            return None
        return self._scanning.next(room)

    def _end_scan(self) -> ScoreRequest:
        assert self._scanning is not None
        self._scanning.close()
        self._scanning = None
        return self._scans.popleft()

    def _finish(self, plan: _Plan, logits_WV: Logits) -> OutputChunk | None:
        """Draw as many bytes as the drafts agree with, and one more. None while a prompt is being read."""
        running = plan.running
        if running.unread > 0:
            running.sequence.commit()
            return None
        try:
            return self._write(plan, logits_WV)
        except AxlError as error:  # a constraint that got too complex, logits that are no numbers: nobody else's loss
            self._leave(running)
            return OutputChunk(ended=FAILED, error=error)

    def _write(self, plan: _Plan, logits_WV: Logits) -> OutputChunk:
        running, piece, accepted = plan.running, OutputChunk(), 0
        for row, logits_V in enumerate(logits_WV):
            drawn = self._draw(running, logits_V, piece)
            if row < len(plan.drafts):
                agreed = drawn == plan.drafts[row]
                self.drafter.learn(plan.after[row - 1] if row else plan.found, agreed)
            if piece.ended is not None or row == len(plan.drafts) or not agreed:
                break
            accepted += 1
        self._take_back(plan, accepted, piece)
        if piece.ended is not None:
            piece.text += running.stream.close(ended=piece.ended == STOP)
            self._leave(running)
        return piece

    def _draw(self, running: SequenceState, logits_V: Logits, piece: OutputChunk) -> int:
        """Draw an id, and put it into the text."""
        constraint = running.request.constraint
        drawn = running.sampler.draw(logits_V, None if constraint is None else constraint.allowed())
        running.known.append(drawn.id)
        running.written += 1
        piece.drawn.append(drawn)
        if drawn.id == EOS:
            piece.ended = STOP
            return EOS
        if constraint is not None:
            constraint.advance(drawn.id)
        piece.text += running.stream.push(drawn.id)
        if running.stream.stopped or (constraint is not None and constraint.ended):
            piece.ended = STOP
        elif running.written >= running.request.sampling.max_new_tokens:
            piece.ended = LENGTH
        return drawn.id

    def _take_back(self, plan: _Plan, accepted: int, piece: OutputChunk) -> None:
        """Undo the drafts that were not drawn, and go on in a new window where the old one is full."""
        running, rejected = plan.running, len(plan.drafts) - accepted
        if rejected:
            running.sequence.roll_back(rejected)
            assert running.reader is not None
            running.reader.restore()
            if accepted:
                running.reader.read(plan.drafts[:accepted], n_skip=accepted)
        running.sequence.commit()
        if piece.ended is None and running.sequence.length == self.engine.config.max_seq_len:
            running.sequence.close()
            running.begin(full=True)


def _most_pages(engine: Engine, request: Request) -> int:
    """Pages of the longest window that a request can reach, and one to copy a page that is taken back into."""
    most = min(len(request.prompt) + request.sampling.max_new_tokens, engine.config.max_seq_len)
    return -(-most // engine.cache.page) + 1


@dataclass
class _Plan:
    """What a step reads for a request: ids that are known, and after them drafts."""

    running: SequenceState
    ids: list[int]
    found: MemoryFeatures
    drafts: list[int] = field(default_factory=list)
    after: list[MemoryFeatures] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many ids are read."""
        return len(self.ids) + len(self.drafts)

    @property
    def read(self) -> Read:
        """For the engine. Logits are wanted where a byte will be drawn: not inside a prompt."""
        last = self.running.unread == len(self.ids)
        found = MemoryFeatures(*map(np.concatenate, zip(self.found, *self.after, strict=True))) if self.after else self.found
        return Read(self.running.sequence, self.ids + self.drafts, found, (len(self.drafts) + 1) if last else 0)
