"""Micro-batches: a batch is split into as many rows at once as fit into RAM beside the weights.

Where even one row is too large, blocks recompute their activations in the backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig

FASTEST_BYTES = 8192  # on a CPU more rows at once gain no speed and leave the caches

STATE_TENSORS = {"lion": 1, "muon": 1, "sgd": 1, "galore": 1, "adamw": 2}


@dataclass(frozen=True)
class MicroBatchPlan:
    """Rows of a micro-batch, whether blocks recompute their activations in the backward pass, and how many are done at once."""

    rows: int
    checkpoint: bool
    workers: int = 1


def activation_bytes(config: ModelConfig, window: int, dtype_bytes: int, *, checkpoint: bool = False) -> float:
    """RAM that the backward pass of one row of `window` bytes needs, in bytes (within a factor of 1.5 of measured).

    A block keeps about 12 d + 5 d_ff numbers for each of its rows, and softmax weights for half of all pairs of positions;
    with checkpointing it keeps its input, and one block at a time keeps all.
    """
    d, stored, largest = config.d_model, 0.0, 0.0
    scales = zip(config.downsample_factors, config.layers, strict=True)
    readers = [(s, s, config.d_ff, layers) for s, layers in scales]
    readers += [(a, b, config.cross_ff, config.n_cross_attn_layers) for a, b in config.pairs]
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
    most_bytes: int = FASTEST_BYTES,
) -> MicroBatchPlan:
    """Choose the largest micro-batch that fits in `available_ram` bytes beside the weights, of at most `rows` rows and
    `most_bytes` of text.

    With several `workers` the batch is cut into a piece for each: smaller ones would share the work more evenly, and cost more
    than that brings (docs/log.md). When RAM is short for the activations and gradients of all, one worker does everything.
    Raises AxlError when weights, gradients and optimizer state leave no room for a single row.
    """
    beside = _beside_activations(config, dtype_bytes)
    room = available_ram - beside
    max_rows = max(1, min(rows, most_bytes // window))
    if workers > 1:
        share = min(max_rows, max(1, -(-rows // workers)))
        each = activation_bytes(config, window, dtype_bytes) * share + 4 * config.parameters()
        if workers * each <= room:
            return MicroBatchPlan(share, False, workers)
    for checkpoint in (False, True):
        fit = int(room // activation_bytes(config, window, dtype_bytes, checkpoint=checkpoint))
        if fit >= 1:
            return MicroBatchPlan(min(max_rows, fit), checkpoint)
    needed = beside + activation_bytes(config, window, dtype_bytes, checkpoint=True)
    raise AxlError(
        f"training needs about {needed / 1e9:.1f} GB of RAM but {available_ram / 1e9:.1f} GB are free; "
        "close other programs, or choose a smaller model (axl suggest lists what fits)"
    )


def _beside_activations(config: ModelConfig, dtype_bytes: int) -> int:
    """Bytes of fp32 weights, their gradients, at most two states each, and the copies of the weights in a narrower dtype."""
    return (16 + (dtype_bytes if dtype_bytes < 4 else 0)) * config.parameters()


def training_ram(config: ModelConfig, optimizer: str = "lion") -> float:
    """Bytes that training one row of the full context takes: fp32 weights, gradients, optimizer state, activations."""
    copies = 2 + STATE_TENSORS[optimizer]
    activations = activation_bytes(config, config.max_seq_len, 2, checkpoint=True)
    return 4 * copies * config.parameters() + 2 * config.parameters() + activations
