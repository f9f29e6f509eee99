"""A fine stack as a qwen3, which every engine of llama.cpp's kind knows.

What qwen3 says in other words is said exactly: our embedding is normalised and our norms have no gain, the gain of a query goes
into the gain of its norm, and what the net is told when no memory speaks is a constant that goes into the table.
"""

# Shape suffixes: V vocabulary, E model width.

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from multiscale_transformer.engine.weights import normalised
from multiscale_transformer.export.stack import FineStack, Floats, block_tensors, silence
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
    for layer in range(config.layers[0]):
        yield from block_tensors(config, weights, layer, f"blk.{layer}.", config.d_model, d_ff)
    yield "output_norm.weight", np.ones(config.d_model, np.float32)
    yield "output.weight", table_VE
