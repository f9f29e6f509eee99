"""Training windows as a pure function of the seed and the step.

Resuming a run needs only the number of the next step: nothing about the stream is stored. All documents stand one after
another in a stream that exists only as arithmetic (BOS, bytes, EOS, next document, and after the last the first again), so
a corpus larger than half the memory still trains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.fim import MIDDLE, PLAIN, Ids, fill_in_the_middle
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vocabulary import BOS, EOS


class Windows(NamedTuple):
    """Windows of one step: ids (int64) and what each id is (uint8, see `data.fim.Rearranged`), both (batch, window + 1)."""

    ids_BT: Ids
    parts_BT: npt.NDArray[np.uint8]


class WindowStream:
    """Batches of windows over `documents`.

    An epoch cuts the stream, which is a ring, into windows from a random point on and visits them in random order; both are
    drawn anew for every epoch. Less than one window is left over where the ring closes. Each window is `window` + 1 ids and
    shares its last id with the next window, so every other id is predicted exactly once an epoch.

    `fim_rate` is the share of windows in which one span is rearranged for fill-in-the-middle (`data.fim`). Answers to prompts
    (`Documents.answers`) and the EOS behind them are marked as middles are: they count several times in the loss, and their
    windows are not rearranged.

    Raises AxlError when the corpus does not fill one window.
    """

    def __init__(self, documents: Documents, window: int, batch: int, seed: int, fim_rate: float = 0.0) -> None:
        if window < 1 or batch < 1 or not 0.0 <= fim_rate <= 1.0:
            raise ValueError("window and batch must be positive and fim_rate a share")
        self._data = documents.data
        self._starts = documents.offsets + 2 * np.arange(len(documents.offsets), dtype=np.int64)
        self._length = int(self._starts[-1])
        if self._length <= window:
            raise AxlError(
                f"the corpus holds {documents.nbytes:,} bytes but the context is {window:,}; add files or use a smaller context"
            )
        self.window, self.batch = window, batch
        self._seed = seed % 2**64
        self._fim_rate = fim_rate
        self._answers = None if documents.answers is None else self._starts[:-1] + 1 + documents.answers
        self._windows = self._length // window
        self._epoch: tuple[int, Ids] | None = None

    @property
    def bytes_per_epoch(self) -> int:
        """Ids that one epoch predicts, the marks between documents included."""
        return self._windows * self.window

    def windows_at(self, step: int) -> Windows:
        """The windows of one step: the same for the same seed and step, always."""
        ids_BT = np.empty((self.batch, self.window + 1), np.int64)
        parts_BT = np.full(ids_BT.shape, PLAIN, np.uint8)
        for row, begin in enumerate(self._begins_of(step)):
            self._fill(ids_BT[row], begin)
            if self._answers is not None:
                self._mark_answers(parts_BT[row], begin)
        if self._fim_rate:
            rng = np.random.default_rng((self._seed, 1, step))
            without_answer = (parts_BT == PLAIN).all(axis=1)
            for chosen in np.flatnonzero((rng.random(self.batch) < self._fim_rate) & without_answer):
                ids_BT[chosen], parts_BT[chosen] = fill_in_the_middle(ids_BT[chosen], rng)
        return Windows(ids_BT, parts_BT)

    def batch_at(self, step: int) -> Ids:
        """Only the ids of `windows_at`."""
        return self.windows_at(step).ids_BT

    def origins_at(self, step: int) -> list[tuple[int, int]]:
        """Where the windows of one step begin: the document, and how many of its bytes stand before the window.

        A window that begins with BOS begins in the document that follows it, one with EOS in the one that ends there.
        """
        origins = []
        for begin in self._begins_of(step):
            document = int(np.searchsorted(self._starts, begin, "right")) - 1
            origins.append((document, max(0, begin - int(self._starts[document]) - 1)))
        return origins

    def _begins_of(self, step: int) -> Iterator[int]:
        """Where in the stream each window of one step begins."""
        for number in range(step * self.batch, (step + 1) * self.batch):
            epoch, rank = divmod(number, self._windows)
            yield int(self._begins(epoch)[rank])

    def _begins(self, epoch: int) -> Ids:
        """Where the windows of `epoch` begin, in the order of visiting; the newest epoch is kept."""
        if self._epoch is None or self._epoch[0] != epoch:
            rng = np.random.default_rng((self._seed, 0, epoch))
            phase = rng.integers(self._length)
            self._epoch = epoch, (phase + self.window * rng.permutation(self._windows)) % self._length
        return self._epoch[1]

    def _mark_answers(self, parts: npt.NDArray[np.uint8], begin: int) -> None:
        """Mark what of the answers, from their first byte to EOS, stands in the window that begins at `begin` of the ring."""
        assert self._answers is not None
        places = (begin + np.arange(len(parts))) % self._length
        document = np.searchsorted(self._starts, places, "right") - 1
        parts[places >= self._answers[document]] = MIDDLE

    def _fill(self, row: Ids, begin: int) -> None:
        """Write the stream from `begin` on into `row`, around the ring where it closes."""
        before_end = min(len(row), self._length - begin)
        self._fill_straight(row[:before_end], begin)
        if before_end < len(row):
            self._fill_straight(row[before_end:], 0)

    def _fill_straight(self, row: Ids, begin: int) -> None:
        end = begin + len(row)
        first = int(np.searchsorted(self._starts, begin, "right")) - 1
        # Without the marks, neighbouring documents stand in the corpus as they stand in the stream: one slice fills all.
        source = self._data[begin - 2 * first - int(begin > self._starts[first]) :]
        if begin > self._starts[first] and end < self._starts[first + 1]:
            row[:] = source[: len(row)]
            return
        last = int(np.searchsorted(self._starts, end, "left"))
        bos = self._starts[first:last] - begin
        eos = self._starts[first + 1 : last + 1] - 1 - begin
        bos, eos = bos[bos >= 0], eos[eos < len(row)]
        is_byte = np.ones(len(row), np.bool_)
        is_byte[bos] = False
        is_byte[eos] = False
        row[is_byte] = source[: len(row) - len(bos) - len(eos)]
        row[bos] = BOS
        row[eos] = EOS
