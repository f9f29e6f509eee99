"""A fine stack as a qwen3, which every engine of llama.cpp's kind knows.

What qwen3 says in other words is said exactly: our embedding is normalised and our norms have no gain, the gain of a query goes
into the gain of its norm, and what the net is told when no memory speaks is a constant that goes into the table.
"""

# Shape suffixes: V vocabulary, E model width, D head width.

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from multiscale_transformer.engine.weights import normalised
from multiscale_transformer.export.fine_stack import FineStack, Floats, padded_ffn, silence
from multiscale_transformer.model.config import ModelConfig

ARCHITECTURE = "qwen3"


def qwen3_stack(config: ModelConfig, weights: dict[str, Floats], d_ff: int) -> FineStack:
    """The fine stack of a model without biases and without an embedding convolution, given its weights by name."""
    return FineStack(
        architecture=ARCHITECTURE,
        config=config,
        width=config.d_model,
        heads=config.n_heads,
        layers=config.layers[0],
        d_ff=d_ff,
        tensors=dict(_tensors(config, weights, d_ff)),
    )


def _tensors(config: ModelConfig, weights: dict[str, Floats], d_ff: int) -> Iterator[tuple[str, Floats]]:
    table_VE = weights["embedding.weight"]
    yield "token_embd.weight", normalised(table_VE) + silence(config, weights)
    ones_E, ones_D = np.ones(config.d_model, np.float32), np.ones(config.head_dim, np.float32)
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
        yield f"{block}ffn_norm.weight", ones_E
        yield from padded_ffn(block, source, weights, config.d_ff, d_ff)
    yield "output_norm.weight", ones_E
    yield "output.weight", table_VE
