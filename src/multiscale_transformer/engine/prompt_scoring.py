"""Prompt scoring: reading a text for its own sake, for the log-probability of each byte or for an embedding.

The windows of a text that is scored are those of `evaluation.bits_per_byte`, so that a server says what `axl eval bpb` says:
every byte sees at least half a context of what came before, or everything, and the memory sees all of it. An embedding is a
mean, to which the place of a byte in its window matters little: its windows are short and do not overlap, which is faster.
"""

# Shape suffixes: T ids of the text, W rows with logits, V vocabulary, E model width.

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from multiscale_transformer.engine.engine import MAX_BATCH_TOKENS, Engine, Logits, Read
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.reader import TextReader, no_features
from multiscale_transformer.model.sampling import SampledToken, reported
from multiscale_transformer.model.vocabulary import BOS
from multiscale_transformer.model.window import scoring_windows

POOL_WINDOW = 512  # ids, of a text that is embedded


@dataclass(eq=False)
class ScoreRequest:
    """A text of ids (T,), the first of which is BOS, and what is asked about it.

    With `top`, `costs` gets for each id but the first its log-probability and those of the `top` best; with `pool`, `state`
    becomes the mean (E,) of the net's last states, of length 1. Windows that end before the id number `since` are left out.
    """

    ids: list[int]
    memory: CorpusMemory | None = None
    top: int | None = None
    pool: bool = False
    since: int = 0
    costs: list[SampledToken] = field(default_factory=list)
    state: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True)
class _Window:
    """Ids `start` to `end` are read; the last `n_scored` of them count."""

    start: int
    end: int
    n_scored: int


class ScoreState:
    """A score request on its way through an engine, chunk by chunk: `next_read` is read, and `record` gets what came of it."""

    def __init__(self, engine: Engine, request: ScoreRequest) -> None:
        self.request, self._engine = request, engine
        length, context = len(request.ids), engine.config.max_seq_len
        if request.pool:
            cuts = range(0, length, min(context, POOL_WINDOW))
            windows = [_Window(start, min(start + cuts.step, length), cuts.step) for start in cuts]
        else:
            windows = [_Window(*window) for window in scoring_windows(length - 1, context)]
        self._windows = [window for window in windows if window.end >= request.since][::-1]
        self._sum_E = np.zeros(engine.config.d_model)
        self._open_window()

    @property
    def done(self) -> bool:
        """Whether all windows are read."""
        return self._window is None

    @property
    def reserved(self) -> int:
        """Pages that it may still take."""
        whole = -(-self._engine.config.max_seq_len // self._engine.cache.page)
        return whole - len(self._sequence.pages)

    def next_read(self, room: int) -> Read:
        """Up to `room` further ids of the window."""
        window = self._window
        assert window is not None
        begin = window.start + self._sequence.length
        end = min(window.end, begin + room)
        ids = self.request.ids[begin:end]
        features = no_features(len(ids)) if self._reader is None else self._reader.read(ids)
        self._n_scored = max(0, min(end - begin, end - (window.end - window.n_scored)))
        self._end = end
        return Read(self._sequence, ids, features, self._n_scored)

    def record(self, logits_WV: Logits) -> None:
        """What the engine made of them; must come before it reads anything else."""
        window, request = self._window, self.request
        assert window is not None
        if request.top is not None:
            for at, logits_V in enumerate(logits_WV, self._end - self._n_scored):
                scored = request.ids[at + 1]
                request.costs.append(SampledToken(scored, *reported(logits_V, scored, request.top)))
        if request.pool and self._n_scored:
            self._sum_E += self._engine.last_states()[-1][-self._n_scored :].sum(0, dtype=np.float64)
        if self._end == window.end:
            self.close()
            self._open_window()

    def close(self) -> None:
        """Give the pages back."""
        self._sequence.close()

    def _open_window(self) -> None:
        self._window = self._windows.pop() if self._windows else None
        start = self._window.start if self._window else 0
        self._sequence = self._engine.new_sequence([], object())  # shared pages would hold no logits
        memory = self.request.memory if self._engine.config.memory else None
        self._reader = None if memory is None else TextReader(memory)
        if self._reader is not None and start:
            self._reader.read(self.request.ids[:start], n_skip=start)
        if self._window is None and self.request.pool:
            length = math.sqrt(float(self._sum_E @ self._sum_E)) or 1.0
            self.request.state = (self._sum_E / length).astype(np.float32)


def engine_bits_per_byte(engine: Engine, texts: Sequence[bytes], memory: CorpusMemory | None = None) -> float:
    """Bits per byte of the beginnings of `texts`, a context each, under the compiled engine."""
    nats, count = 0.0, 0
    for text in texts:
        request = ScoreRequest([BOS, *text[: engine.config.max_seq_len]], memory, top=0)
        state = ScoreState(engine, request)
        while not state.done:
            state.record(engine.read([state.next_read(MAX_BATCH_TOKENS)])[-1])
        state.close()
        nats -= sum(token.logprob for token in request.costs)
        count += len(request.costs)
    return nats / count / math.log(2)
