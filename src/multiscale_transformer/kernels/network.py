"""What a forward of the compiled engine works on: the network, pages of the KV cache, a batch of new bytes, and buffers.

All are named tuples of NumPy arrays, which Numba compiles. Where an array has columns they are fields of a record (a NumPy
structured dtype), read as `row.position`. Buffers take their sizes from the network that they are made for.
"""

# Shape suffixes: R new bytes, S scales, L layers, P pairs or pages, X depth, E width, H heads, D head width, W rows with
# logits, M candidates, J orders, T threads, K distances or taps.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.barrier import new_barrier
from multiscale_transformer.kernels.memory_fusion import FusionScratch, FusionTables, new_fusion_scratch
from multiscale_transformer.kernels.quantized_linear import Activations, Packed, new_activations
from multiscale_transformer.kernels.records import Records, record

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

FINE = 0  # the scale of single bytes, which every model has

# Linear maps are given by their number in `Packed.linears_L`, -1 where there is none; `kv_at` and `up_at` are where a layer's
# keys and values, or a scale's up-sampled states, begin in a page.
BLOCK = record("qkv", "out", "w13", "w2", "kv_at")
SCALE = record("factor", "layers", "down", "up", "up_at")
CROSS = record("reader", "source", "query", "key_value", "out", "w13", "w2", "kv_at")  # scale `reader` reads scale `source`

# An id, what the memory says after it and, in the pages of a model with a word stack, how many rows of that the page has up to
# this byte and how many bytes ago the newest row was made.
TOKEN = record("id", "symbol", "corpus_length", "context_length", "word_rows", "since", of=np.int16)
ROW = record("sequence", "position", "logits_row")  # a new byte; `logits_row` is -1 where no logits are wanted


class Shape(NamedTuple):
    """Sizes of a model."""

    width: int
    heads: int
    page: int  # bytes of a sequence that a page covers


class Layers(NamedTuple):
    """Which linear map is where, and where each layer lies in a page. A model of one stack has `blocks_SL[FINE]` only."""

    blocks_SL: Records  # of BLOCK
    head: int
    scales_S: Records  # of SCALE
    cross_XP: Records  # of CROSS
    words: int  # the scale that is a word stack, -1 where there is none; with room for a row at every byte, its factor is 1


class Tables(NamedTuple):
    """Parameters that stay in floating point."""

    normed_VE: Floats  # the embeddings, each normalised
    conv_KE: Floats  # of the bytes before, newest first; empty where there is no convolution
    input_symbol: Floats  # these three are empty where a model has no memory
    input_corpus: Floats
    input_context: Floats
    cos: Floats
    sin: Floats
    stack_gain_SL: Floats
    no_sinks_2HD: Floats  # of width 0
    cross_gain_XP: Floats
    sinks_XP2HD: Floats
    start_SE: Floats
    since_KE: Floats  # of bytes since the newest word; empty where there is no word stack
    gate: Floats
    gate_bias_S: Floats


class Network(NamedTuple):
    """A model."""

    shape: Shape
    layers: Layers
    packed: Packed
    tables: Tables
    fusion: FusionTables


class Pages(NamedTuple):
    """The KV cache: `kv` (pages, elements) of bfloat16 holds all layers and scales, `tokens` (pages, bytes) of TOKEN."""

    kv: npt.NDArray[np.uint16]
    tokens: Records


class Batch(NamedTuple):
    """New bytes. Rows of a sequence stand together, in order; memory features are of the rows with logits."""

    rows_R: Records  # of ROW
    page_tables: npt.NDArray[np.int32]  # (sequences, pages)
    tokens_R: Records  # of TOKEN
    symbols_WM: npt.NDArray[np.int16]
    bins_WMJ: npt.NDArray[np.uint8]
    lengths_W2: npt.NDArray[np.uint8]


class Buffers(NamedTuple):
    """Room for what a step computes on its way."""

    x_SRE: Floats  # the residual stream of every scale
    counts_S: Ints  # how many rows of each scale the new bytes complete ...
    rows_SR: Ints  # ... and which byte completes each
    norm_out: Floats  # (R, E)
    qkv_or_ffn: Floats  # (R, widest output of a layer)
    attention_out: Floats  # (R, E)
    scores: Floats  # (threads, positions)
    seen_TP: Ints  # (threads, pages): rows that a query reads
    rotated: Floats  # (threads, D)
    coarse_rows: Floats  # (R, factor * E): embeddings to be down-sampled, and up-sampled states
    concat_scales: Floats  # (threads, S * E)
    concat_norm: Floats  # (threads, S * E)
    gate_weights: Floats  # (threads, S)
    acts: Activations
    fusion: FusionScratch
    barrier: Ints


def new_buffers(net: Network, rows: int, threads: int, positions: int) -> Buffers:
    """Buffers for steps of up to `rows` new bytes in texts of up to `positions`, shared by `threads`."""
    width, blocks, cross, scales = net.shape.width, net.layers.blocks_SL, net.layers.cross_XP, net.layers.scales_S
    count, coarsest = len(scales), int(scales["factor"].max())
    wide = [blocks["qkv"], blocks["w13"], cross["query"], cross["key_value"], cross["w13"]]
    numbers = np.concatenate([field.reshape(-1) for field in wide])
    widest = int(net.packed.linears_L["outputs"][numbers[numbers >= 0]].max())

    def floats(*shape: int) -> Floats:
        return np.zeros(shape, np.float32)

    return Buffers(
        x_SRE=floats(count, rows, width),
        counts_S=np.zeros(count, np.int64),
        rows_SR=np.zeros((count, rows), np.int64),
        norm_out=floats(rows, width),
        qkv_or_ffn=floats(rows, widest),
        attention_out=floats(rows, width),
        scores=floats(threads, positions + 2 * net.shape.page),  # whole pages are scored
        seen_TP=np.zeros((threads, positions // net.shape.page + 2), np.int64),
        rotated=floats(threads, width // net.shape.heads),
        coarse_rows=floats(rows if count > 1 else 0, coarsest * width),
        concat_scales=floats(threads, count * width),
        concat_norm=floats(threads, count * width),
        gate_weights=floats(threads, count),
        acts=new_activations(rows, int(net.packed.linears_L["inputs"].max())),
        fusion=new_fusion_scratch(net.fusion, threads),
        barrier=new_barrier(),
    )
