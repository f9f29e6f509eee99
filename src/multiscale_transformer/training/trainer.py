"""The time-boxed loop: batch, loss, step, until the minutes are over.

On a CPU several threads share a step by whole micro-batches (`model.parallel`), and look up for the next one while they wait
for each other. An accelerator does a batch at once, and meanwhile the threads look up for the next one, all in one memory. What
else happens while training (progress bar, metrics file, held-out probes, resume points) are callbacks that are handed the
`Progress` after each step; the loop knows none of them. All of it happens inside the time box.
"""

# Shape suffixes: B rows, T bytes of a window.

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.fim import OPENED, Ids
from multiscale_transformer.data.stream import WindowStream
from multiscale_transformer.errors import AxlError
from multiscale_transformer.kernels.context_search import HISTORY
from multiscale_transformer.kernels.memory_features import BOS_WITHIN
from multiscale_transformer.memory.lookup import CorpusMemory, Window
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.memory_tensors import MemoryTensors, joined
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.parallel import Workers
from multiscale_transformer.model.passes import by_hand
from multiscale_transformer.model.placement import moved
from multiscale_transformer.training.gradients import GradientFunction, Gradients, Inputs
from multiscale_transformer.training.grow import depth_at, grow
from multiscale_transformer.training.loss import Targets, targets_of, weighted_loss
from multiscale_transformer.training.micro_batching import MicroBatchPlan, plan_micro_batches
from multiscale_transformer.training.optimizers import LEARNING_RATES, OptimizerSet, build_optimizer
from multiscale_transformer.training.process_group import ALONE, ProcessGroup
from multiscale_transformer.training.schedule import rate_multiplier, window_at
from multiscale_transformer.training.settings import TrainSettings

_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SMOOTHING_SECONDS = 3.0  # time constant of the training loss that is shown
LOOKUP_ROWS = 2  # windows of a piece of looking up: short, to fill the time until the last micro-batch is done


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
    loss: float = math.nan  # of what is no text
    steps_at_window: dict[int, int] = field(default_factory=dict)


Callback = Callable[[Progress], None]


class _Lookups:
    """What the memories say in the windows of a step, `rows` windows a piece, as soon as somebody has looked it up."""

    def __init__(self, pieces: list[Future[tuple[MemoryTensors, float]]], rows: int) -> None:
        self._pieces, self._rows = pieces, rows

    def __getitem__(self, where: slice) -> MemoryTensors:
        """The recall of some windows; waits for these, not for the others."""
        first, last = where.start // self._rows, -(-where.stop // self._rows)
        recall = joined([piece.result()[0] for piece in self._pieces[first:last]], 0)
        return recall[where.start - first * self._rows : where.stop - first * self._rows]

    @property
    def seconds(self) -> float:
        """What all of it took, of all threads together."""
        return sum(piece.result()[1] for piece in self._pieces)


@dataclass(frozen=True)
class Batch:
    """The windows of a step, and what the memories say in them."""

    window: int
    index: int
    ids_BT: Tensor
    targets: Targets
    lookups: _Lookups | None

    def inputs(self, rows: slice, device: torch.device) -> Inputs:
        """Some of the windows, on a device; waits for what the memories say in them."""
        recall = None if self.lookups is None else self.lookups[rows]
        return moved(Inputs(self.ids_BT[rows, :-1], self.targets.rows(rows), recall), device)


class Trainer:
    """Trains `model` where it lies on `documents` under `settings`; with `settings.grow` it deepens to `target` on the way.

    `available_ram` are bytes that the device of the model has left. `group` are the processes that train the same model.
    `progress` other than a fresh one (and optimizer state loaded by the caller) goes on where an earlier run stood.
    """

    def __init__(
        self,
        model: MultiScaleTransformer,
        target: ModelConfig,
        documents: Documents,
        settings: TrainSettings,
        available_ram: int,
        progress: Progress | None = None,
        memory: CorpusMemory | None = None,
        group: ProcessGroup = ALONE,
    ) -> None:
        self.model, self.settings, self.progress = model, settings, progress or Progress()
        self._memory, self._group = memory, group
        self._target = target
        self._documents, self._available_ram = documents, available_ram
        self._streams: dict[int, WindowStream] = {}
        self._last_read = 0
        self._accelerated = not by_hand(model.device)
        # What is dropped must be a function of seed and step, and all threads draw from one generator.
        self._workers = Workers(1 if target.dropout and not self._accelerated else settings.threads)
        self._gradient_function = GradientFunction(self._loss, model.device)
        self._next: Batch | None = None
        self.optimizer = self._new_optimizer()
        for _, window in settings.stages:  # too small a corpus or RAM for any stage must fail now, not minutes later
            self._plan(target, self._stream(window))

    @property
    def base_lr(self) -> float:
        """Peak learning rate of the matrices between states."""
        return self.settings.learning_rate or LEARNING_RATES[self.settings.optimizer]

    def _new_optimizer(self) -> OptimizerSet:
        settings = self.settings
        return build_optimizer(
            self.model, settings.optimizer, settings.learning_rate, self.model.compute_dtype, self._workers.map
        )

    def _stream(self, window: int) -> WindowStream:
        if window not in self._streams:
            rows = max(1, self.settings.batch_bytes // window) * self._group.world_size
            seed = self.settings.seed * 1_000_003 + window
            self._streams[window] = WindowStream(self._documents, window, rows, seed, self.settings.fim_rate)
        return self._streams[window]

    def _plan(self, config: ModelConfig, stream: WindowStream) -> MicroBatchPlan:
        plan = partial(
            plan_micro_batches,
            config,
            stream.window,
            stream.batch // self._group.world_size,
            self.model.compute_dtype.itemsize,
            self._available_ram,
            optimizer=self.settings.optimizer,
            together=self._group.together,
        )
        # The cores of an accelerator share every operation, the larger the better.
        return plan(most_bytes=sys.maxsize) if self._accelerated else plan(workers=self._workers.count)

    def run(self, callbacks: Sequence[Callback] = ()) -> None:
        """Train until the time box is full. Raises AxlError when the loss stops being a number.

        An interrupt (Ctrl-C) comes between two steps, never within one, so what it leaves can be saved and gone on with.
        """
        limit = self.settings.minutes * 60
        self.model.train()
        self._group.begin(self)
        begin = time.perf_counter() - self.progress.seconds
        with self.at_work():
            while self.progress.fraction < 1.0:
                with uninterrupted():
                    before = time.perf_counter()
                    self.step()
                    self._group.after_step(self)
                    self.progress.seconds = self._group.clock(time.perf_counter() - begin)
                    self.progress.fraction = self.progress.seconds / limit
                    self._smooth_speed(time.perf_counter() - before)
                for callback in callbacks:
                    callback(self.progress)
        self._group.end(self)
        self._grow()  # few, long steps may have left out the last additions
        self.model.eval()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The threads of `settings` for the steps in the block; a step outside of one is done by the calling thread."""
        try:
            with self._workers:
                yield
        finally:
            self._next = None

    def step(self) -> None:
        """One batch and one update; the elapsed fraction decides window, depth and learning rate."""
        progress, settings = self.progress, self.settings
        self._grow()
        batch = self._batch()
        if self.model.config.dropout:  # what is dropped is a function of seed and step, as the data are
            torch.manual_seed((settings.seed * 1_000_003 + progress.step + (self._group.rank << 40)) % 2**64)
        progress.multiplier = rate_multiplier(progress.fraction)
        loss = self._backward(batch, self._plan(self.model.config, self._stream(batch.window)))
        loss = self._group.added(list(self.model.parameters()), loss)
        if batch.lookups is not None:
            progress.lookup_seconds += batch.lookups.seconds / self._workers.count
        if not math.isfinite(loss):
            raise AxlError(f"the loss is no longer a number at step {progress.step}: lower --lr or choose another --optimizer")
        self.optimizer.step(progress.multiplier)
        progress.steps_at_window[batch.window] = batch.index + 1
        progress.step += 1
        read = batch.ids_BT.shape[0] * batch.window * (self._group.world_size if self._group.together else 1)
        progress.bytes += read
        progress.flops += read * self.model.config.flops_per_byte(batch.window, training=True)
        self._smooth_loss(loss / math.log(2))
        self._last_read = read

    def _batch(self) -> Batch:
        """The batch of this step: the one that is being looked up already, unless the schedule has gone over to another."""
        window = window_at(self.progress.fraction, self.settings.stages)
        index = self.progress.steps_at_window.get(window, 0)
        ready, self._next = self._next, None
        return ready if ready and (ready.window, ready.index) == (window, index) else self._prepared(window, index)

    def _prepared(self, window: int, index: int) -> Batch:
        """The batch `index` of a window length, whose looking up begins now."""
        stream = self._stream(window)
        drawn, mine = stream.windows_at(index), self._group.rows(stream.batch)
        # The weights are those of the whole batch: all of it is drawn, which takes little, and only a part is computed.
        ids_BT, targets = torch.from_numpy(drawn.ids_BT)[mine], targets_of(drawn, self.settings.middle_weight).rows(mine)
        if self._accelerated:
            targets = targets.dense()
        if self._memory is None:
            return Batch(window, index, ids_BT, targets, None)
        windows = self._windows(np.where(drawn.parts_BT == OPENED, BOS_WITHIN, drawn.ids_BT), stream, index)[mine]
        rows = LOOKUP_ROWS if self._workers.count > 1 else len(windows)
        pieces = (windows[first : first + rows] for first in range(0, len(windows), rows))
        look_up = partial(_look_up, self._memory)
        lookups = _Lookups([self._workers.submit(look_up, piece) for piece in pieces], rows)
        return Batch(window, index, ids_BT, targets, lookups)

    def _windows(self, ids_BT: Ids, stream: WindowStream, index: int) -> list[Window]:
        """What to look up for a step: in some windows nothing, since the net must also stand alone."""
        rng = np.random.default_rng((self.settings.seed % 2**64, 2, stream.window, index))
        alone_B = rng.random(len(ids_BT)) < self.settings.memory_dropout
        windows = []
        origins = stream.origins_at(index)
        for ids, (document, offset), alone in zip(ids_BT[:, :-1], origins, alone_B.tolist(), strict=True):
            begin = int(self._documents.offsets[document])
            history = self._documents.data[max(begin, begin + offset - HISTORY) : begin + offset]
            windows.append(Window(ids, history, offset <= HISTORY, document, no_lookup=alone))
        return windows

    def _backward(self, batch: Batch, plan: MicroBatchPlan) -> float:
        """Put the gradients of micro-batches, summed in their order, into `grad`; returns the mean loss in nats per byte.

        Where the plan says so, weights are updated on the way and `grad` is empty at the end. A micro-batch waits for its own
        look-ups only: they were queued before it, so another worker has begun them at least.
        """
        self.model.recompute = plan.checkpoint
        count = len(batch.ids_BT)
        pieces = [slice(first, min(count, first + plan.rows)) for first in range(0, count, plan.rows)]
        if plan.workers == 1:
            if self._accelerated:
                self._look_ahead()
            updating = self.optimizer.in_backward(self.progress.multiplier) if plan.in_backward else nullcontext()
            with self._workers.alone(), updating:
                return sum(self._accumulate(batch, piece) for piece in pieces)
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        work = partial(self._gradients, batch, parameters)
        futures = [self._workers.submit(work, piece) for piece in pieces]
        self._look_ahead()
        return sum(_added(parameters, *future.result()) for future in futures)

    def _look_ahead(self) -> None:
        """Let workers that wait for the end of this step look up for the next one."""
        if self._memory is not None and self._workers.count > 1:
            window = window_at(self.progress.fraction, self.settings.stages)
            self._next = self._prepared(window, self.progress.steps_at_window.get(window, 0) + 1)

    def _gradients(self, batch: Batch, parameters: list[nn.Parameter], rows: slice) -> tuple[float, Gradients]:
        """The share of some rows of a batch in its loss (nats per byte, without weights) and its gradients."""
        return self._gradient_function(batch.inputs(rows, self.model.device), parameters, self._share(batch, rows))

    def _accumulate(self, batch: Batch, rows: slice) -> float:
        """Add the gradients of some rows to `grad`, without a second set of them; returns what they add to the shown loss."""
        return self._gradient_function.accumulate(batch.inputs(rows, self.model.device), self._share(batch, rows))

    def _share(self, batch: Batch, rows: slice) -> float:
        whole = len(batch.ids_BT) * (self._group.world_size if self._group.together else 1)
        return len(batch.ids_BT[rows]) / whole

    def _loss(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """The mean loss of some windows, as it is learned from and as it is shown."""
        fused_BTE, fine_BTE = self.model.states(inputs.ids_BT, features=inputs.features)
        loss, shown = weighted_loss(self.model.head(fused_BTE, inputs.features), inputs.targets)
        if not self.settings.aux_loss_weight or self.model.gate is None:
            return loss, shown
        aux_loss, _ = weighted_loss(self.model.head(fine_BTE), inputs.targets)
        return loss + self.settings.aux_loss_weight * aux_loss, shown

    def _grow(self) -> None:
        depths = depth_at(self.progress.fraction, self._target) if self.settings.grow else self._target.depths
        if self.model.config.depths != depths:
            state = self.optimizer.state_tensors()
            grow(self.model, depths)
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


def _added(parameters: list[nn.Parameter], loss: float, gradients: Gradients) -> float:
    """Add the gradients of a micro-batch to those of the ones before it; returns its part of the loss."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
    return loss


def _look_up(memory: CorpusMemory, windows: list[Window]) -> tuple[MemoryTensors, float]:
    """What the memories say, and the seconds that took."""
    begin = time.perf_counter()
    return memory.recall(windows), time.perf_counter() - begin


@contextmanager
def uninterrupted() -> Iterator[None]:
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
