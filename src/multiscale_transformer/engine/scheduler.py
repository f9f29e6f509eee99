"""The scheduler: continuous batching, where requests join and leave a running batch at any step.

A step reads, in one forward pass, the newest byte of every request that decodes, the bytes that are drafted for it, and a part
of a prompt (chunked prefill) or of a text to be scored. Every byte is sampled from the model's own distribution by its
request's own counter-based random numbers, so neither drafts nor neighbours change what a request writes.
"""

# Shape suffixes: W rows with logits, V vocabulary.

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator

from multiscale_transformer.engine.candidates import Choice
from multiscale_transformer.engine.decoding import (
    CANCELLED,
    FAILED,
    LENGTH,
    STOP,
    OutputChunk,
    Request,
    SequenceState,
    SequenceStep,
    decode,
    max_pages,
    prefill,
)
from multiscale_transformer.engine.engine import MAX_BATCH_TOKENS, Engine, Logits, Read
from multiscale_transformer.engine.prompt_scoring import ScoreRequest, ScoreState
from multiscale_transformer.engine.speculative import Drafter, draft, verify_draft
from multiscale_transformer.errors import AxlError

__all__ = ["CANCELLED", "FAILED", "LENGTH", "STOP", "OutputChunk", "Request", "Scheduler"]  # all that callers need

Output = tuple[Request | ScoreRequest, OutputChunk]


class Scheduler:
    """Steps an engine for all its requests. For one thread; `submit` and `cancel` may be called between steps."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.drafter = engine, Drafter()
        self._waiting: deque[Request] = deque()
        self._running: list[SequenceState] = []
        self._state_of: dict[Request, SequenceState] = {}
        self._to_score: deque[ScoreRequest] = deque()
        self._scoring: ScoreState | None = None  # the oldest of them
        self._choices: dict[Request, Choice] = {}  # by the request and by each of its candidates
        self._turns = itertools.cycle((True, False))  # whether a prompt or a text to score comes first where both wait

    def submit(self, request: Request | ScoreRequest) -> None:
        """Queue a request; a `ScoreRequest` holds its results when `step` has reported it. Raises AxlError when it is empty."""
        if isinstance(request, ScoreRequest):
            if not request.ids:
                raise AxlError("the text is empty; begin with BOS")
            self._to_score.append(request)
            return
        if not request.prompt:
            raise AxlError("the prompt is empty; begin with BOS")
        choice = Choice(request)
        self._choices |= dict.fromkeys([request, *choice.parts] if choice.parts else [], choice)
        self._waiting.extend(choice.parts[:2] or [request])

    def cancel(self, request: Request | ScoreRequest) -> None:
        """End a request: it leaves with the next step, or at once and unreported where it has not begun."""
        if isinstance(request, ScoreRequest):
            if self._scoring is not None and self._scoring.request is request:
                self._end_scoring()
            elif request in self._to_score:
                self._to_score.remove(request)
        elif request in self._choices:
            for part in self._forget(self._choices[request]):
                self.cancel(part)
        elif request in self._state_of:
            self._state_of[request].cancelled = True
        elif request in self._waiting:
            self._waiting.remove(request)

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""
        return bool(self._waiting or self._running or self._to_score or self._choices)

    @property
    def counts(self) -> tuple[int, int]:
        """Requests that run, and requests that wait."""
        return len(self._running), len(self._waiting)

    def step(self) -> list[Output]:
        """One forward pass; what it wrote, by request."""
        return list(self._choose(self._read()))

    def _choose(self, output: list[Output]) -> Iterator[Output]:
        """The same output with the best of its candidates for a request that has several, when all are there."""
        for request, chunk in output:
            if isinstance(request, Request) and request in self._choices:
                self._choices[request].take(request, chunk)
            else:
                yield request, chunk
        for choice in self._ended_choices():
            if self._has_window:
                self._forget(choice)
                yield choice.request, choice.choose(self.engine)

    def _ended_choices(self) -> list[Choice]:
        """Those whose candidates are all there."""
        return [choice for choice in dict.fromkeys(self._choices.values()) if choice.ended]

    def _forget(self, choice: Choice) -> list[Request]:
        """Choose no more; returns the candidates."""
        for request in (choice.request, *choice.parts):
            del self._choices[request]
        return choice.parts

    @property
    def _has_window(self) -> bool:
        """Whether there are pages for one more window of the context, beside what runs."""
        taken = self._reserved + (self._scoring.reserved if self._scoring is not None else 0)
        return self.engine.cache.available > taken - (-self.engine.config.max_seq_len // self.engine.cache.page)

    def _read(self) -> list[Output]:
        out = [*self._expire_waiting()]
        self._admit()
        out += self._end_running()
        steps = self._schedule()
        score = self._schedule_scoring(MAX_BATCH_TOKENS - sum(step.rows for step in steps))
        reads = [step.read for step in steps] + ([] if score is None else [score])
        logits = self.engine.read(reads) if reads else []
        if score is not None and self._scoring is not None:
            self._scoring.record(logits.pop())
        if self._scoring is not None and self._scoring.done:
            out.append((self._end_scoring(), OutputChunk(ended=STOP)))
        for step, logits_WV in zip(steps, logits, strict=True):
            chunk = self._finish(step, logits_WV)
            if chunk is not None:
                out.append((step.state.request, chunk))
        return out

    def close(self) -> None:
        """Let everything go; nothing is reported."""
        for state in list(self._running):
            self._leave(state)
        if self._scoring is not None:
            self._end_scoring()
        self._to_score.clear()
        self._waiting.clear()
        self._choices.clear()

    def stream(self, request: Request) -> Iterator[OutputChunk]:
        """Submit and step until it ends; for callers who have the scheduler to themselves. Closing the iterator cancels."""
        self.submit(request)
        try:
            while True:
                for of_request, chunk in self.step():
                    if of_request is request:
                        if chunk.error is not None:
                            raise chunk.error
                        yield chunk
                        if chunk.ended is not None:
                            return
        finally:
            for left in self._forget(self._choices[request]) if request in self._choices else [request]:
                if left in self._state_of:
                    self._leave(self._state_of[left])
                elif left in self._waiting:
                    self._waiting.remove(left)

    def score(self, request: ScoreRequest) -> None:
        """Submit a text to be scored and step until it is; for callers who have the scheduler to themselves."""
        self.submit(request)
        while not any(finished is request for finished, _ in self.step()):
            pass

    def _expire_waiting(self) -> Iterator[Output]:
        """Report waiting requests whose deadline has passed."""
        now = time.monotonic()
        for request in [request for request in self._waiting if request.deadline is not None and now >= request.deadline]:
            self._waiting.remove(request)
            yield request, OutputChunk(ended=LENGTH)

    def _admit(self) -> None:
        """Let waiting requests in while there is a row for each and there are pages for all they may become.

        What is left of them is for choices first, which wait for a window.
        """
        if self._ended_choices():
            return
        for choice in dict.fromkeys(self._choices.values()):
            if choice.later and self._has_read(choice.parts[0]):
                self._waiting.extendleft(choice.later[::-1])
                choice.later = []
        while self._waiting and len(self._running) < MAX_BATCH_TOKENS:
            reserved = self._reserved + (self._scoring.reserved if self._scoring is not None else 0)
            if reserved and self.engine.cache.available < reserved + max_pages(self.engine, self._waiting[0]):
                break
            state = SequenceState(self.engine, self._waiting.popleft())
            self._running.append(state)
            self._state_of[state.request] = state

    def _has_read(self, request: Request) -> bool:
        """Whether all of a prompt is read."""
        state = self._state_of.get(request)
        return request not in self._waiting if state is None else state.pending <= 1

    @property
    def _reserved(self) -> int:
        """Pages that running requests may still take."""
        return sum(state.reserved for state in self._running)

    def _end_running(self) -> Iterator[Output]:
        """Report running requests that are cancelled, too late, or at their length, and let them leave."""
        now = time.monotonic()
        for state in list(self._running):
            request = state.request
            late = request.deadline is not None and now >= request.deadline
            if state.cancelled or late or state.n_generated >= request.sampling.max_new_tokens:
                self._leave(state)
                text = state.detokenizer.close(ended=False)
                yield request, OutputChunk(text, ended=CANCELLED if state.cancelled else LENGTH)

    def _leave(self, state: SequenceState) -> None:
        state.sequence.close()
        self._running.remove(state)
        del self._state_of[state.request]

    def _schedule(self) -> list[SequenceStep]:
        """Decode steps first, a row each; then a part of the prompt that came first; what rows are left go to drafts."""
        decoding = [decode(state) for state in self._running if state.pending == 1]
        room = MAX_BATCH_TOKENS - len(decoding)
        prompt = next((state for state in self._running if state.pending > 1), None)
        if self._to_score and (prompt is None or next(self._turns)):
            return decoding
        steps = [*decoding]
        if prompt is not None and room:
            steps.append(prefill(prompt, room))
            room -= steps[-1].rows
        for step in decoding:
            room -= draft(step, self.drafter, room // len(decoding))
        return steps

    def _schedule_scoring(self, room: int) -> Read | None:
        """A part of the oldest text to score, where rows and pages are left for it."""
        if not self._to_score or not room:
            return None
        if self._scoring is None:
            self._scoring = ScoreState(self.engine, self._to_score[0])
        if self._scoring.done or (self._running and self.engine.cache.available < self._reserved + self._scoring.reserved):
            return None
        return self._scoring.next_read(room)

    def _end_scoring(self) -> ScoreRequest:
        assert self._scoring is not None
        self._scoring.close()
        self._scoring = None
        return self._to_score.popleft()

    def _finish(self, step: SequenceStep, logits_WV: Logits) -> OutputChunk | None:
        """Sample what can be sampled. None while a prompt is being read."""
        state = step.state
        if state.pending > 0:
            state.sequence.commit()
            return None
        try:
            chunk = verify_draft(step, logits_WV, self.drafter)
        except AxlError as error:  # a constraint that got too complex, logits that are no numbers: nobody else's loss
            self._leave(state)
            return OutputChunk(ended=FAILED, error=error)
        if chunk.ended is not None:
            chunk.text += state.detokenizer.close(ended=chunk.ended == STOP)
            if chunk.ended == STOP and not chunk.text and state.begin_again():
                return None
            self._leave(state)
        return chunk
