"""What the files of llama.cpp have in common, whichever architecture a fine stack becomes: its tensors, block by block."""

# Shape suffixes: E our width, W the width of the file, D head width.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from multiscale_transformer.model.config import ModelConfig

Floats = npt.NDArray[np.float32]
EPSILON = 1e-12  # ours is a floor under the length of a vector, which no state comes near


@dataclass(frozen=True)
class FineStack:
    """A model of an architecture of llama.cpp: its hyperparameters and its tensors by their names in GGUF, rows as outputs.

    `width`, `heads`, `layers` and `d_ff` are those of the file, `config` that of the checkpoint; `conv_length` is how many
    bytes the convolution of its first layer sees, or 0 where there is none.
    """

    architecture: str
    config: ModelConfig
    width: int
    heads: int
    layers: int
    d_ff: int
    tensors: dict[str, Floats]
    conv_length: int = 0


def silence(config: ModelConfig, weights: dict[str, Floats]) -> Floats:
    """What the input says when the memories say nothing (E,): the first row of each table of the hint."""
    if not config.memory:
        return np.zeros(config.d_model, np.float32)
    return np.asarray(
        sum(weights[f"hint.{name}.weight"][0] for name in ("symbol", "corpus_depth", "context_depth")), np.float32
    )


def block_tensors(
    config: ModelConfig, weights: dict[str, Floats], layer: int, block: str, width: int, d_ff: int
) -> Iterator[tuple[str, Floats]]:
    """A layer as the block named `block`, its maps padded with zeros from our width to that of the file, and inside to `d_ff`.

    What is normalised over W channels, of which those beyond E are zero, is larger than over E; the gains take that back.
    """
    source, more = f"stacks.0.{layer}.", width - config.d_model
    gain_W = np.full(width, np.sqrt(config.d_model / width), np.float32)
    ones_D = np.ones(config.head_dim, np.float32)
    yield f"{block}attn_norm.weight", gain_W
    for name, part in zip("qkv", np.split(weights[f"{source}attention.qkv.weight"], 3), strict=True):
        yield f"{block}attn_{name}.weight", _padded(part, more, more)
    yield f"{block}attn_q_norm.weight", ones_D * weights[f"{source}attention.query_gain"]
    yield f"{block}attn_k_norm.weight", ones_D
    yield f"{block}attn_output.weight", _padded(weights[f"{source}attention.out.weight"], more, more)
    yield f"{block}ffn_norm.weight", gain_W
    gate, up = np.split(weights[f"{source}feed_forward.w13.weight"], 2)
    yield f"{block}ffn_gate.weight", _padded(gate, d_ff - config.d_ff, more)
    yield f"{block}ffn_up.weight", _padded(up, d_ff - config.d_ff, more)
    yield f"{block}ffn_down.weight", _padded(weights[f"{source}feed_forward.w2.weight"], more, d_ff - config.d_ff)


def _padded(matrix: Floats, rows: int, columns: int) -> Floats:
    """A matrix with so many rows and columns of zeros behind its own; itself where there are none."""
    return np.pad(matrix, ((0, rows), (0, columns))) if rows or columns else matrix
