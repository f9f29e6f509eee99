"""The time-boxed loop: batch, loss, step, until the minutes are over.

What else happens while training (progress bar, metrics file, held-out probes, resume points) are callbacks that are handed the
`Progress` after each step; the loop knows none of them. All of it happens inside the time box.
"""

# Shape suffixes: B rows, T bytes of a window.

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.stream import WindowStream
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.context import HISTORY
from multiscale_transformer.memory.lookup import CorpusMemory, Window
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.recall import Recall
from multiscale_transformer.training.grow import depth_at, grow
from multiscale_transformer.training.memory_plan import MemoryPlan, plan_memory
from multiscale_transformer.training.optimizers import LEARNING_RATES, OptimizerSet, build_optimizer
from multiscale_transformer.training.schedule import rate_multiplier, window_at
from multiscale_transformer.training.settings import TrainSettings

_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SMOOTHING_SECONDS = 3.0  # time constant of the training loss that is shown


@dataclass
class Progress:
    """Where a run stands; saved with each resume point."""

    step: int = 0
    seconds: float = 0.0
    bytes: int = 0
    train_bpb: float = math.nan
    fraction: float = 0.0
    multiplier: float = 0.0
    bytes_per_second: float = 0.0
    flops: float = 0.0
    lookup_seconds: float = 0.0
    steps_at_window: dict[int, int] = field(default_factory=dict)


Callback = Callable[[Progress], None]


class Trainer:
    """Trains `model` on `documents` under `settings`; with `settings.grow` it deepens to `target` on the way.

    `progress` other than a fresh one (and optimizer state loaded by the caller) goes on where an earlier run stood.
    """

    def __init__(
        self,
        model: MultiScaleTransformer,
        target: ModelConfig,
        documents: Documents,
        settings: TrainSettings,
        available_memory: int,
        progress: Progress | None = None,
        memory: CorpusMemory | None = None,
    ) -> None:
        self.model, self.settings, self.progress = model, settings, progress or Progress()
        self._memory = memory
        self._target = target
        self._documents, self._available = documents, available_memory
        self._streams: dict[int, WindowStream] = {}
        self._last_read = 0
        self.optimizer = self._new_optimizer()
        for _, window in settings.stages:  # too small a corpus or memory for any stage must fail now, not minutes later
            self._plan(target, self._stream(window))

    @property
    def base_lr(self) -> float:
        """Peak learning rate of the matrices between states."""
        return self.settings.learning_rate or LEARNING_RATES[self.settings.optimizer]

    def _new_optimizer(self) -> OptimizerSet:
        return build_optimizer(self.model, self.settings.optimizer, self.settings.learning_rate, self.model.compute_dtype)

    def _stream(self, window: int) -> WindowStream:
        if window not in self._streams:
            rows = max(1, self.settings.batch_bytes // window)
            seed = self.settings.seed * 1_000_003 + window
            self._streams[window] = WindowStream(self._documents, window, rows, seed, self.settings.fim_rate)
        return self._streams[window]

    def _plan(self, config: ModelConfig, stream: WindowStream) -> MemoryPlan:
        return plan_memory(config, stream.window, stream.batch, self.model.compute_dtype.itemsize, self._available)

    def run(self, callbacks: Sequence[Callback] = ()) -> None:
        """Train until the time box is full. Raises AxlError when the loss stops being a number.

        An interrupt (Ctrl-C) comes between two steps, never within one, so what it leaves can be saved and gone on with.
        """
        limit = self.settings.minutes * 60
        begin = time.perf_counter() - self.progress.seconds
        self.model.train()
        while self.progress.fraction < 1.0:
            with _uninterrupted():
                before = time.perf_counter()
                self.step()
                self.progress.seconds = time.perf_counter() - begin
                self.progress.fraction = self.progress.seconds / limit
                self._smooth_speed(time.perf_counter() - before)
            for callback in callbacks:
                callback(self.progress)
        self._grow()  # few, long steps may have left out the last additions
        self.model.eval()

    def step(self) -> None:
        """One batch and one update; the elapsed fraction decides window, depth and learning rate."""
        progress, settings = self.progress, self.settings
        self._grow()
        window = window_at(progress.fraction, settings.stages)
        index = progress.steps_at_window.get(window, 0)
        stream = self._stream(window)
        ids_BT = torch.from_numpy(stream.batch_at(index))
        if self.model.config.dropout:  # what is dropped is a function of seed and step, as the data are
            torch.manual_seed((settings.seed * 1_000_003 + progress.step) % 2**64)
        recall = None if self._memory is None else self._recall(self._memory, ids_BT, stream, index)
        loss = self._backward(ids_BT, self._plan(self.model.config, stream), recall)
        if not math.isfinite(loss):
            raise AxlError(f"the loss is no longer a number at step {progress.step}: lower --lr or choose another --optimizer")
        progress.multiplier = rate_multiplier(progress.fraction)
        self.optimizer.step(progress.multiplier)
        progress.steps_at_window[window] = index + 1
        progress.step += 1
        read = ids_BT.shape[0] * window
        progress.bytes += read
        progress.flops += read * self.model.config.flops_per_byte(window, training=True)
        self._smooth_loss(loss / math.log(2))
        self._last_read = read

    def _recall(self, memory: CorpusMemory, ids_BT: Tensor, stream: WindowStream, index: int) -> Recall:
        """What the memories say in the windows of a step, in some of them nothing: the net must also stand alone."""
        before = time.perf_counter()
        rng = np.random.default_rng((self.settings.seed % 2**64, 2, stream.window, index))
        alone_B = rng.random(len(ids_BT)) < self.settings.memory_dropout
        windows = []
        origins = stream.origins_at(index)
        for ids, (document, offset), alone in zip(ids_BT[:, :-1].numpy(), origins, alone_B.tolist(), strict=True):
            begin = int(self._documents.offsets[document])
            history = self._documents.data[max(begin, begin + offset - HISTORY) : begin + offset]
            windows.append(Window(ids, history, offset <= HISTORY, document, silent=alone))
        recall = memory.recall(windows)
        self.progress.lookup_seconds += time.perf_counter() - before
        return recall

    def _backward(self, ids_BT: Tensor, plan: MemoryPlan, recall: Recall | None = None) -> float:
        """Accumulate gradients over micro-batches; returns the mean loss in nats per byte (without the exit's)."""
        rows = ids_BT.shape[0]
        self.model.recompute = plan.checkpoint
        total = 0.0
        for first in range(0, rows, plan.rows):
            part_BT = ids_BT[first : first + plan.rows]
            known = None if recall is None else recall[first : first + plan.rows]
            share = part_BT.shape[0] / rows
            fused_BTE, exit_BTE = self.model.states(part_BT[:, :-1], recall=known)
            targets = part_BT[:, 1:].flatten()
            loss = F.cross_entropy(self.model.head(fused_BTE, known).flatten(0, 1), targets)
            total += loss.item() * share
            if self.settings.exit_weight and self.model.gate is not None:
                exit_loss = F.cross_entropy(self.model.head(exit_BTE).flatten(0, 1), targets)
                loss = loss + self.settings.exit_weight * exit_loss
            torch.autograd.backward(loss * share)
        return total

    def _grow(self) -> None:
        layers = depth_at(self.progress.fraction, self._target) if self.settings.grow else self._target.layers
        if self.model.config.layers != layers:
            state = self.optimizer.state_tensors()
            grow(self.model, layers)
            self.optimizer = self._new_optimizer()
            self.optimizer.load_state_tensors(state)

    def _smooth_loss(self, bits: float) -> None:
        old = self.progress.train_bpb
        keep = math.exp(-self._step_seconds() / SMOOTHING_SECONDS)
        self.progress.train_bpb = bits if math.isnan(old) else keep * old + (1 - keep) * bits

    def _step_seconds(self) -> float:
        return self.progress.seconds / max(1, self.progress.step - 1) if self.progress.step > 1 else 1.0

    def _smooth_speed(self, seconds: float) -> None:
        rate, old = self._last_read / seconds, self.progress.bytes_per_second
        keep = math.exp(-seconds / SMOOTHING_SECONDS)
        self.progress.bytes_per_second = keep * old + (1 - keep) * rate if old else rate


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C, and what else ends a process with an exception, back until the block is done."""
    handlers = {number: handler for number in _ENDING if callable(handler := signal.getsignal(number))}
    if threading.current_thread() is not threading.main_thread():
        handlers.clear()  # only the main thread is ever interrupted, and only by a handler that Python installed
    held: list[int] = []
    for number in handlers:
        signal.signal(number, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if held:
        signal.raise_signal(held[0])
