"""The fine stack and its auxiliary head as a plain transformer that stock engines know: a qwen3 of a few million parameters.

The auxiliary head is trained beside the whole model, so it is a language model of its own. What qwen3 says in other words is
said exactly: our embedding is normalised and our norms have no gain, the gain of a query goes into the gain of its
norm, and what the net is told when no memory speaks is a constant that goes into the table.
"""

# Shape suffixes: V vocabulary, E model width, D head width, F feed-forward width, R rows.

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multiscale_transformer.engine.weights import normalised, read_weights
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import read_config

Floats = npt.NDArray[np.float32]
EPSILON = 1e-12  # ours is a floor under the length of a vector, which no state comes near


@dataclass(frozen=True)
class FineStack:
    """A qwen3: its hyperparameters and its tensors by their names in GGUF, rows as outputs."""

    config: ModelConfig
    d_ff: int  # padded
    tensors: dict[str, Floats]


def fine_stack(folder: Path, *, pad_to: int = 256) -> FineStack:
    """The fine stack of a checkpoint, its feed-forward width padded with zeros, which changes nothing, to a multiple.

    Raises AxlError when the folder is no checkpoint, or it has biases, a word stack or an convolution: qwen3 has none.
    """
    config = read_config(folder)
    if config.bias:
        raise AxlError(f"the model in {folder} has biases, which the files of llama.cpp have no place for; train it without")
    if config.word_layers or config.conv_taps:
        what = "a word stack" if config.word_layers else "an embedding convolution"
        raise AxlError(
            f"the model in {folder} has {what}, which the files of llama.cpp have no place for; export a plain student "
            "of it: axl distill, or --distill MINUTES"
        )
    return stack_of(config, read_weights(folder), pad_to=pad_to)


def stack_of(config: ModelConfig, weights: dict[str, Floats], *, pad_to: int = 256) -> FineStack:
    """The fine stack of a model without biases, given its weights by their names in a checkpoint."""
    padded = -(-config.d_ff // pad_to) * pad_to
    return FineStack(config, padded, dict(_tensors(config, weights, padded)))


def _tensors(config: ModelConfig, weights: dict[str, Floats], d_ff: int) -> Iterator[tuple[str, Floats]]:
    d, head = config.d_model, config.head_dim
    table_VE = weights["embedding.weight"]
    yield "token_embd.weight", normalised(table_VE) + _silence(config, weights)
    ones_E, ones_D = np.ones(d, np.float32), np.ones(head, np.float32)
    for layer in range(config.layers[0]):
        block, source = f"blk.{layer}.", f"stacks.0.{layer}."
        yield f"{block}attn_norm.weight", ones_E
        q, k, v = np.split(weights[f"{source}attention.qkv.weight"], 3)
        yield f"{block}attn_q.weight", q
        yield f"{block}attn_k.weight", k
        yield f"{block}attn_v.weight", v
        yield f"{block}attn_q_norm.weight", ones_D * weights[f"{source}attention.query_gain"]
        yield f"{block}attn_k_norm.weight", ones_D
        yield f"{block}attn_output.weight", weights[f"{source}attention.out.weight"]
        gate, up = np.split(weights[f"{source}feed_forward.w13.weight"], 2)
        more = ((0, d_ff - config.d_ff), (0, 0))
        yield f"{block}ffn_norm.weight", ones_E
        yield f"{block}ffn_gate.weight", np.pad(gate, more)
        yield f"{block}ffn_up.weight", np.pad(up, more)
        yield f"{block}ffn_down.weight", np.pad(weights[f"{source}feed_forward.w2.weight"], more[::-1])
    yield "output_norm.weight", ones_E
    yield "output.weight", table_VE


def _silence(config: ModelConfig, weights: dict[str, Floats]) -> Floats:
    """What the input says when the memories say nothing: the first row of each table of the hint."""
    if not config.memory:
        return np.zeros(config.d_model, np.float32)
    return np.asarray(
        sum(weights[f"hint.{name}.weight"][0] for name in ("symbol", "corpus_depth", "context_depth")), np.float32
    )
