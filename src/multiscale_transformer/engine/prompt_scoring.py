"""Reading a text for its own sake: what each byte cost, or what the net made of it.

The windows are those of `evaluation.bits_per_byte`, so that a server that scores a text says what `axl eval bpb` says: every
byte sees at least half a context of what came before, or everything, and the memory sees all of it.
"""

# Shape suffixes: T ids of the text, W wanted rows, V vocabulary, E model width.

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from multiscale_transformer.engine.engine import Engine, Logits, Read
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.reader import TextReader, no_features
from multiscale_transformer.model.sampling import SampledToken, reported
from multiscale_transformer.model.window import scoring_windows


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
    """Ids `start` to `end` are read; what is made of the last `wanted` of them counts."""

    start: int
    end: int
    wanted: int


class ScoreState:
    """A scan on its way through an engine, piece by piece: `next` is read, and `take` gets what came of it."""

    def __init__(self, engine: Engine, scan: ScoreRequest) -> None:
        self.scan, self._engine = scan, engine
        length = len(scan.ids) if scan.pool else len(scan.ids) - 1
        windows = (_Window(*part) for part in scoring_windows(length, engine.config.max_seq_len))
        self._windows = [window for window in windows if window.end >= scan.since][::-1]
        self._sum_E = np.zeros(engine.config.d_model)
        self._counted = 0
        self._open()

    @property
    def done(self) -> bool:
        """Whether all windows are read."""
        return self._window is None

    @property
    def promised(self) -> int:
        """Pages that it may still take."""
        whole = -(-self._engine.config.max_seq_len // self._engine.cache.page)
        return whole - len(self._sequence.pages)

    def next(self, room: int) -> Read:
        """Up to `room` further ids of the window."""
        window = self._window
        assert window is not None
        begin = window.start + self._sequence.length
        end = min(window.end, begin + room)
        ids = self.scan.ids[begin:end]
        found = no_features(len(ids)) if self._reader is None else self._reader.read(ids)
        self._wanted = max(0, min(end - begin, end - (window.end - window.wanted)))
        self._at = end
        return Read(self._sequence, ids, found, self._wanted)

    def take(self, logits_WV: Logits) -> None:
        """What the engine made of them; must come before it reads anything else."""
        window, scan = self._window, self.scan
        assert window is not None
        first = self._at - self._wanted
        if scan.top is not None:
            for at, logits_V in enumerate(logits_WV, first):
                scan.costs.append(SampledToken(scan.ids[at + 1], *reported(logits_V, scan.ids[at + 1], scan.top)))
        if scan.pool and self._wanted:
            self._sum_E += self._engine.last_states()[-1][-self._wanted :].sum(0, dtype=np.float64)
            self._counted += self._wanted
        if self._at == window.end:
            self.close()
            self._open()

    def close(self) -> None:
        """Give the pages back."""
        self._sequence.close()

    def _open(self) -> None:
        self._window = self._windows.pop() if self._windows else None
        start = self._window.start if self._window else 0
        self._sequence = self._engine.new_sequence([], object())  # shared pages would hold no logits
        memory = self.scan.memory if self._engine.config.memory else None
        self._reader = None if memory is None else TextReader(memory.rows, len(memory.shards))
        if self._reader is not None and start:
            self._reader.read(self.scan.ids[:start], n_skip=start)
        if self._window is None and self.scan.pool:
            length = math.sqrt(float(self._sum_E @ self._sum_E)) or 1.0
            self.scan.state = (self._sum_E / length).astype(np.float32)
