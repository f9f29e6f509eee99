"""Micro-batches: a batch is split into as many rows at once as fit into RAM beside the weights.

Where RAM is short, a plan gives up, in this order: sharing the step among workers; keeping all gradients until the step ends
(each weight is updated in the backward pass as soon as its gradient is complete, which needs a batch that is one micro-batch);
keeping activations (blocks recompute theirs in the backward pass, which is a third more to compute).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.word_ends import BYTES_PER_ROW

FASTEST_BYTES = 8192  # on a CPU more rows at once gain no speed and leave the caches
ROOMY = 0.5  # of the free RAM: all that one worker takes before it saves some; the rest is for what else runs here

STATE_TENSORS = {"lion": 1, "muon": 1, "sgd": 1, "galore": 1, "adamw": 2}
ALONE = ("adamw", "galore", "lion", "sgd")  # those that update a weight as fast alone; Muon stacks matrices


@dataclass(frozen=True)
class MicroBatchPlan:
    """How a step is computed: rows of a micro-batch, whether blocks recompute their activations in the backward pass, how many
    workers there are, and whether weights are updated in the backward pass."""

    rows: int
    checkpoint: bool
    workers: int = 1
    in_backward: bool = False


def activation_bytes(config: ModelConfig, window: int, dtype_bytes: int, *, checkpoint: bool = False) -> float:
    """RAM that the backward pass of one row of `window` bytes needs, in bytes (within a factor of 1.5 of measured).

    A block keeps about 12 d + 5 d_ff numbers for each of its rows, and softmax weights for half of all pairs of positions;
    with checkpointing it keeps its input, and one block at a time keeps all.
    """
    d, stored, largest = config.d_model, 0.0, 0.0
    scales = zip(config.downsample_factors, config.layers, strict=True)
    readers: list[tuple[float, float, int, int]] = [(s, s, config.d_ff, layers) for s, layers in scales]
    readers += [(a, b, config.cross_ff, config.n_cross_attn_layers) for a, b in config.pairs]
    readers += [(BYTES_PER_ROW, BYTES_PER_ROW, config.d_ff, config.word_layers)] * (config.word_layers > 0)
    for reads, read, d_ff, count in readers:
        rows = window / reads
        block = rows * (12 * d + 5 * d_ff) + config.n_heads * rows * (window / read) / 2
        largest = max(largest, block)
        stored += count * (rows * d if checkpoint else block)
    head = window * config.vocab_size * 12  # logits and their gradient, fp32 and bf16
    return (stored + (largest if checkpoint else 0) + 6 * window * d) * dtype_bytes + head


def plan_micro_batches(
    config: ModelConfig,
    window: int,
    rows: int,
    dtype_bytes: int,
    available_ram: int,
    workers: int = 1,
    optimizer: str = "muon",
    most_bytes: int = FASTEST_BYTES,
    together: bool = False,
) -> MicroBatchPlan:
    """How a batch of `rows` rows is trained on in `available_ram` bytes, as fast as that allows, `most_bytes` of text at once.

    With several `workers` the batch is cut into a piece for each: smaller ones would share the work more evenly, and cost more
    than that brings (docs/log.md). When RAM is short for the activations and gradients of all, one worker does everything.
    With `together` all gradients are kept until the step ends, for other processes add theirs.
    Raises AxlError when weights and optimizer state leave no room for a single row.
    """
    need = _Need(config, window, dtype_bytes, optimizer)
    alone = optimizer in ALONE and not together
    most = max(1, min(rows, most_bytes // window))
    share = min(most, max(1, -(-rows // workers)))
    if workers > 1 and need.of(MicroBatchPlan(share, False, workers)) <= available_ram:
        return MicroBatchPlan(share, False, workers)
    if need.of(MicroBatchPlan(1, False)) <= ROOMY * available_ram:
        return need.widest(MicroBatchPlan(most, False), available_ram)
    for checkpoint in (False, True):
        whole, pieces = MicroBatchPlan(rows, checkpoint, in_backward=True), MicroBatchPlan(most, checkpoint)
        if alone and need.of(whole) <= available_ram:
            return whole
        if need.of(replace(pieces, rows=1)) <= available_ram:
            return need.widest(pieces, available_ram)
    least = need.of(MicroBatchPlan(1, True))
    if alone:
        least = min(least, need.of(MicroBatchPlan(rows, True, in_backward=True)))
    raise AxlError(
        f"training needs about {least / 1e9:.1f} GB of RAM but {available_ram / 1e9:.1f} GB are free; "
        "close other programs, or choose a smaller model (axl suggest lists what fits)"
    )


class _Need:
    """The bytes of RAM that a plan takes."""

    def __init__(self, config: ModelConfig, window: int, dtype_bytes: int, optimizer: str) -> None:
        kept, recomputed = (activation_bytes(config, window, dtype_bytes, checkpoint=again) for again in (False, True))
        self._row = {False: kept, True: recomputed}
        self._weights = config.parameters()
        self._states = STATE_TENSORS[optimizer]
        self._copy = dtype_bytes if dtype_bytes < 4 else 0  # of each weight; blocks that recompute drop theirs, too

    def of(self, plan: MicroBatchPlan) -> float:
        """Activations, and beside them what is kept for each weight: itself, gradients, states, a copy to compute with."""
        each = 4 * (1 + self._states) if plan.in_backward else 16  # weight, gradient, and two that are states or updates
        each += plan.workers * (0 if plan.checkpoint else self._copy)
        each += 4 * plan.workers if plan.workers > 1 else 0  # gradients of a piece, before they are added up
        return each * self._weights + plan.workers * plan.rows * self._row[plan.checkpoint]

    def widest(self, plan: MicroBatchPlan, available_ram: int) -> MicroBatchPlan:
        """The plan with as many of its rows as fit."""
        room = available_ram - self.of(replace(plan, rows=0))
        return replace(plan, rows=min(plan.rows, int(room // self._row[plan.checkpoint])))


def training_ram(config: ModelConfig, optimizer: str = "lion") -> float:
    """Bytes that training one row of the full context takes: fp32 weights, gradients, optimizer state, activations."""
    copies = 2 + STATE_TENSORS[optimizer]
    activations = activation_bytes(config, config.max_seq_len, 2, checkpoint=True)
    return 4 * copies * config.parameters() + 2 * config.parameters() + activations
