"""Decoding of one sequence: prefill of its prompt, decode steps, and the sampling of every byte.

A `SequenceState` is a request in the running batch. `prefill` and `decode` say what it reads next, `sample` draws a byte from
the logits that come of it. The scheduler puts many sequences into one forward pass (`engine.scheduler`); drafts are added and
verified in `engine.speculative`.
"""

# Shape suffixes: V vocabulary.

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from multiscale_transformer.engine.detokenizer import IncrementalDetokenizer, begins_again
from multiscale_transformer.engine.engine import Engine, Logits, Read, Sequence
from multiscale_transformer.engine.infill import Gap
from multiscale_transformer.engine.stop_rules import NO_RULES, StopRules, second_choice
from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.reader import MemoryFeatures, TextReader, joined, no_features
from multiscale_transformer.model.sampling import SampledToken, Sampler, Sampling
from multiscale_transformer.model.vocabulary import EOS
from multiscale_transformer.model.window import window_start

STOP, LENGTH, CANCELLED, FAILED = "stop", "length", "cancelled", "failed"  # why a request ended


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked for: a prompt of ids, how to sample, what to look up in, and until when (`time.monotonic`).

    `rules` end it where an editor would; with `crlf` its lines end with CRLF. Where there is a `gap`, the best of
    `sampling.candidates` is written.
    """

    prompt: list[int]
    sampling: Sampling
    memory: CorpusMemory | None = None
    constraint: GrammarConstraint | None = None
    deadline: float | None = None
    draft: bool = True
    rules: StopRules = NO_RULES
    crlf: bool = False
    gap: Gap | None = None


@dataclass
class OutputChunk:
    """What a step wrote for a request: text that is safe to show, the ids behind it, and, at the end, why it ended.

    A request that FAILED has its `error`, one that a stop string ended has it as `stop_text`.
    """

    text: str = ""
    drawn: list[SampledToken] = field(default_factory=list)
    ended: str | None = None
    error: AxlError | None = None
    stop_text: str = ""

    def add(self, more: OutputChunk) -> None:
        """Append the output that came after it."""
        self.text += more.text
        self.drawn += more.drawn
        self.ended = more.ended or self.ended
        self.error = more.error or self.error
        self.stop_text = more.stop_text or self.stop_text


class SequenceState:
    """A request in the batch. `ids` are all so far, of which the engine's sequence reads those from `start` on."""

    def __init__(self, engine: Engine, request: Request) -> None:
        self.request, self._engine = request, engine
        self.cancelled = False
        self.may_begin_again = request.constraint is None and begins_again(request.rules, request.sampling)
        self._begin(None)

    def _begin(self, without: tuple[int, int] | None) -> None:
        request = self.request
        self.sampler = Sampler(request.sampling, request.prompt, without)
        self.detokenizer = IncrementalDetokenizer(request.sampling.stop, request.rules, crlf=request.crlf)
        self.ids = list(request.prompt)
        self.n_generated = 0
        self.open_window()

    def begin_again(self) -> bool:
        """Write once more, with another beginning, where the rules left nothing; returns whether there is one."""
        without = second_choice(self.ids[len(self.request.prompt) :]) if self.may_begin_again else None
        if without is None:
            return False
        self.may_begin_again = False
        self.sequence.close()
        self._begin(without)
        return True

    def open_window(self, *, full: bool = False) -> None:
        """Begin the window of the context that ends with the newest id; `full` says that the last window is.

        A prefix of it that the prefix cache holds is not read again.
        """
        request, context = self.request, self._engine.config.max_seq_len
        self.start = window_start(len(self.ids), context, full=full)
        memory = request.memory if self._engine.config.memory else None
        before = (
            hashlib.sha256(np.array(self.ids[: self.start], np.int16).tobytes()).hexdigest() if self.start and memory else ""
        )
        self.sequence: Sequence = self._engine.new_sequence(self.ids[self.start :], root_of(memory, before))
        cached = self.start + self.sequence.length
        self.reader = None if memory is None else TextReader(memory)
        if self.reader is not None and cached:
            self.reader.read(self.ids[:cached], n_skip=cached)
        self._looked_up: MemoryFeatures | None = None  # what the memory says after ids that come next
        self._may_reuse = self.reader is not None

    def slide_window(self) -> None:
        """Go on in a new window where the context is full."""
        if self.sequence.length == self._engine.config.max_seq_len:
            self.sequence.close()
            self.open_window(full=True)

    def reuse_pages(self) -> None:
        """Go on in pages that the prefix cache has from before the memory changed, as far as it says the same there."""
        page = self._engine.cache.page
        while self._may_reuse and self.pending > page:
            begin = self.start + self.sequence.length
            ids = self.ids[begin : begin + page]
            features = self.look_up(ids)
            self._may_reuse = self.sequence.reuse(ids, features)
            if not self._may_reuse:  # nor is there any that comes after it
                self._looked_up = features

    def look_up(self, ids: list[int]) -> MemoryFeatures:
        """What the memory says after each of the ids that come next."""
        if self.reader is None:
            return no_features(len(ids))
        if self._looked_up is None:
            return self.reader.read(ids)
        known, self._looked_up = self._looked_up, None
        count = len(known.lengths_T2)
        if count > len(ids):
            self._looked_up = known.part(slice(len(ids), None))
            return known.part(slice(len(ids)))
        return joined([known, self.reader.read(ids[count:])]) if count < len(ids) else known

    @property
    def pending(self) -> int:
        """How many ids the engine has not read yet; 1 while decoding, more during prefill."""
        return len(self.ids) - self.start - self.sequence.length

    @property
    def reserved(self) -> int:
        """Pages that it may still take."""
        return max(0, max_pages(self._engine, self.request) - len(self.sequence.pages))

    @property
    def max_draft(self) -> int:
        """How many drafted ids may follow the newest one: those that may be generated, and that fit the context."""
        left = self.request.sampling.max_new_tokens - self.n_generated - 1
        return min(left, self._engine.config.max_seq_len - self.sequence.length - 1)


@dataclass
class SequenceStep:
    """What a step reads of a sequence: `ids` of its text, and after them drafts; with the memory features after each."""

    state: SequenceState
    ids: list[int]
    features: MemoryFeatures
    drafts: list[int] = field(default_factory=list)
    draft_features: list[MemoryFeatures] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many ids are read."""
        return len(self.ids) + len(self.drafts)

    @property
    def read(self) -> Read:
        """For the engine. Logits are wanted where a byte will be sampled: not inside a prompt."""
        n_logits = len(self.drafts) + 1 if self.state.pending == len(self.ids) else 0
        return Read(self.state.sequence, self.ids + self.drafts, joined([self.features, *self.draft_features]), n_logits)


def prefill(state: SequenceState, room: int) -> SequenceStep:
    """The next ids of a prompt, `room` of them at most, after those of its pages that the prefix cache has."""
    state.reuse_pages()
    begin = state.start + state.sequence.length
    ids = state.ids[begin : begin + room]
    return SequenceStep(state, ids, state.look_up(ids))


def decode(state: SequenceState) -> SequenceStep:
    """The newest id, after which the next one is sampled."""
    return prefill(state, 1)


def root_of(memory: CorpusMemory | None, before: str = "") -> object:
    """What the pages of a text depend on beside its ids: the memory, and a digest of what it saw before the window."""
    return (None if memory is None else memory.version, before)


def sample(state: SequenceState, logits_V: Logits, chunk: OutputChunk) -> int:
    """Draw the next id, and put it into the text and the chunk, which says whether the text ends with it."""
    constraint = state.request.constraint
    token = state.sampler.draw(logits_V, None if constraint is None else constraint.allowed())
    state.ids.append(token.id)
    state.n_generated += 1
    chunk.drawn.append(token)
    if token.id == EOS:
        chunk.ended = STOP
        return EOS
    if constraint is not None:
        constraint.advance(token.id)
    chunk.text += state.detokenizer.push(token.id)
    state.may_begin_again &= not chunk.text
    if state.detokenizer.stopped or (constraint is not None and constraint.ended):
        chunk.ended, chunk.stop_text = STOP, state.detokenizer.stop_text
    elif state.n_generated >= state.request.sampling.max_new_tokens:
        chunk.ended = LENGTH
    return token.id


def max_pages(engine: Engine, request: Request) -> int:
    """Pages of the longest window that a request can reach, and one to copy a page that is rolled back into."""
    length = min(len(request.prompt) + request.sampling.max_new_tokens, engine.config.max_seq_len)
    return -(-length // engine.cache.page) + 1
