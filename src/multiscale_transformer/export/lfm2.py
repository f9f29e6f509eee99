"""A fine stack with an embedding convolution as an LFM2 (Liquid AI 2025): what llama.cpp has of convolutions before attention.

LFM2's first layer becomes our convolution, exactly. It multiplies two maps of its normalised input, convolves the product
channel by channel, multiplies by a third map and maps it back. Ours is a plain convolution, so the two gates have to be one:
the embedding gets a channel of its own that is the same for all bytes, from which both are made, and which the layer takes out
of the stream again. The other layers are those of qwen3, a head wider, as LFM2's heads fill its width.
"""

# Shape suffixes: V vocabulary, E our width, W the width of the file, K earlier bytes of the convolution.

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from multiscale_transformer.engine.weights import normalised
from multiscale_transformer.export.stack import FineStack, Floats, block_tensors, silence
from multiscale_transformer.model.config import ModelConfig

ARCHITECTURE = "lfm2"
_CONSTANT = 8.0  # of the channel that all bytes share; exact in 16 bits, as is its inverse


def lfm2_stack(config: ModelConfig, weights: dict[str, Floats], d_ff: int) -> FineStack:
    """The fine stack of a model without biases that has an embedding convolution, given its weights by name."""
    width = config.d_model + config.head_dim  # heads fill the width, and the constant channel needs a place
    layers = config.layers[0]
    return FineStack(
        architecture=ARCHITECTURE,
        config=config,
        width=width,
        heads=width // config.head_dim,
        layers=layers + 1,
        d_ff=d_ff,
        tensors=dict(_tensors(config, weights, width, d_ff)),
        conv_length=config.conv_taps + 1,
    )


def _tensors(config: ModelConfig, weights: dict[str, Floats], width: int, d_ff: int) -> Iterator[tuple[str, Floats]]:
    d, more = config.d_model, width - config.d_model
    table_VE = weights["embedding.weight"]
    table_VW = np.pad(normalised(table_VE), ((0, 0), (0, more)))
    table_VW[:, d] = _CONSTANT
    yield "token_embd.weight", table_VW
    yield from _convolution(config, weights, width, d_ff)
    for layer in range(config.layers[0]):
        yield from block_tensors(config, weights, layer, f"blk.{layer + 1}.", width, d_ff)
    gain_W = np.full(width, np.sqrt(d / width), np.float32)
    yield "token_embd_norm.weight", gain_W  # LFM2's name for the norm before the head
    yield "output.weight", np.pad(table_VE, ((0, 0), (0, more)))


def _convolution(config: ModelConfig, weights: dict[str, Floats], width: int, d_ff: int) -> Iterator[tuple[str, Floats]]:
    """Layer 0: its feed-forward part says nothing."""
    d = config.d_model
    # The rows of the table have the length sqrt(E + constant²), so this gain gives the input back as it was.
    yield "blk.0.attn_norm.weight", np.full(width, np.sqrt((d + _CONSTANT**2) / width), np.float32)
    into = np.zeros((3, width, width), np.float32)
    into[0, : d + 1, d] = into[1, : d + 1, d] = 1 / _CONSTANT  # both gates are one
    into[2, np.arange(d), np.arange(d)] = 1.0
    into[2, d, d] = 1 / _CONSTANT
    yield "blk.0.shortconv.in_proj.weight", into.reshape(3 * width, width)
    taps_KE = weights["conv_KE"]
    kernel = np.zeros((width, len(taps_KE) + 1), np.float32)  # the oldest byte first, the byte itself last
    kernel[:d, :-1] = taps_KE[::-1].T
    kernel[d, -1] = 1.0
    yield "blk.0.shortconv.conv.weight", kernel
    back = np.zeros((width, width), np.float32)
    back[np.arange(d), np.arange(d)] = 1.0
    back[:d, d] = silence(config, weights)
    back[d, d] = -_CONSTANT
    yield "blk.0.shortconv.out_proj.weight", back
    yield "blk.0.ffn_norm.weight", np.ones(width, np.float32)
    for name, shape in (("gate", (d_ff, width)), ("up", (d_ff, width)), ("down", (width, d_ff))):
        yield f"blk.0.ffn_{name}.weight", np.zeros(shape, np.float32)
