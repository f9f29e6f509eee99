"""Bits per byte of documents under a model, with the context a user would have.

Every document is read from its start. Its first window scores all of its bytes; each later window begins half a context
earlier than the first byte it scores, so a byte always sees at least half a context of what came before it, or everything.
Nothing is thrown away: the sum runs over every byte (the end mark, which is no byte of the file, is not scored).
"""

# Shape suffixes: B windows, T bytes of a window, N scored bytes, E model width, V vocabulary.

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from multiscale_transformer.memory import lookup as memory_lookup
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.parallel import Workers
from multiscale_transformer.model.placement import moved
from multiscale_transformer.model.vocabulary import BOS
from multiscale_transformer.model.window import scoring_windows

BATCH_BYTES = 8192


@dataclass(frozen=True)
class Score:
    """Total cost in bits of a number of bytes."""

    bits: float
    bytes: int

    @property
    def bits_per_byte(self) -> float:
        """Mean cost; NaN for no bytes."""
        return self.bits / self.bytes if self.bytes else math.nan


@dataclass(frozen=True)
class _Window:
    """Ids `start` to `end` of a document with BOS before it, that is bytes up to `end`; the last `scored` bytes count."""

    content: bytes
    start: int
    end: int
    scored: int

    def __len__(self) -> int:
        return self.end - self.start + 1

    def ids(self) -> list[int]:
        """The ids, one more than are predicted. Made when wanted: as lists a corpus would take many times its size."""
        return [BOS, *self.content[: self.end]] if self.start == 0 else list(self.content[self.start - 1 : self.end])

    def to_read(self) -> memory_lookup.Window:
        """For the memories: the ids that something follows, and all of the document before them."""
        history = np.frombuffer(self.content[: max(0, self.start - 1)], np.uint8)
        return memory_lookup.Window(np.array(self.ids()[:-1]), history)


def score_documents(
    model: MultiScaleTransformer,
    documents: Iterable[tuple[str, bytes]],
    *,
    context: int | None = None,
    memory: CorpusMemory | None = None,
    threads: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> Score:
    """Cost of all bytes of `documents` under `model` with windows of `context` bytes (default: the model's own).

    The model must be in evaluation mode; it may lie on any device. Batches are shared among `threads` (default: as many as
    PyTorch has), and the sum does not depend on how many these are. `on_bytes` is called after each batch with the number of
    bytes that it scored.
    """
    context = context or model.config.max_seq_len
    windows = [_Window(content, *window) for _, content in documents for window in scoring_windows(len(content), context)]
    windows.sort(key=len)
    bits, count = 0.0, 0
    with Workers(threads or torch.get_num_threads()) as workers:
        for cost, scored in workers.map(partial(_cost, model, memory), _batches(windows)):
            bits += cost
            count += scored
            if on_bytes is not None:
                on_bytes(scored)
    return Score(bits, count)


def _batches(windows: list[_Window]) -> Iterator[list[_Window]]:
    """Neighbours in length together, about `BATCH_BYTES` at a time."""
    batch: list[_Window] = []
    for window in windows:
        if batch and (len(batch) + 1) * len(window) > BATCH_BYTES:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


@torch.inference_mode()
def _cost(model: MultiScaleTransformer, memory: CorpusMemory | None, batch: list[_Window]) -> tuple[float, int]:
    """Bits of the scored bytes, and how many these are. Rows are padded at their end, which no causal prediction can see."""
    longest = max(map(len, batch))
    ids_BT = torch.full((len(batch), longest), BOS)
    counts_BT = torch.zeros((len(batch), longest - 1), dtype=torch.bool)
    for row, window in enumerate(batch):
        length = len(window)
        ids_BT[row, :length] = torch.tensor(window.ids())
        counts_BT[row, length - 1 - window.scored : length - 1] = True
    recall = None if memory is None else memory.recall([window.to_read() for window in batch], threads=1)
    ids_BT, counts_BT, recall = moved(ids_BT, model.device), moved(counts_BT, model.device), moved(recall, model.device)
    states_BTE, _ = model.states(ids_BT[:, :-1], features=recall)
    scored_recall = None if recall is None else recall[counts_BT]
    logits_NV = model.head(states_BTE[counts_BT], scored_recall)  # only where a byte is scored: half of most windows
    nats_N = F.cross_entropy(logits_NV, ids_BT[:, 1:][counts_BT], reduction="none").cpu()
    return float(nats_N.double().sum()) / math.log(2), len(nats_N)
