"""One step of the whole multi-scale transformer as compiled code: new bytes of any number of sequences in, logits out.

This is `model.MultiScaleTransformer.states` and `head` again, row by row over packed weights and paged state; the coarse scales
run only for rows that complete a block. Every row is computed in the same way whatever else is in the batch, so its
logits are the same bits alone, drafted or among others. Several threads may call `forward` together; they share the
outputs of linear maps and the heads, and meet between the parts.
"""

# Shape suffixes: R new bytes, N new rows of a scale, S scales, L layers, P pairs, X depth, E width, H heads, D head width.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.attention import attend, normalise_and_turn, store_row
from multiscale_transformer.kernels.barrier import barrier_wait
from multiscale_transformer.kernels.jit import jit_device, jit_fastmath, kernel, without_refcounts
from multiscale_transformer.kernels.layers import feed_forward, linear, normalise, normalised
from multiscale_transformer.kernels.memory_fusion import FusionTables, fuse_memory
from multiscale_transformer.kernels.numerics import from_bf16, to_bf16
from multiscale_transformer.kernels.quantized_linear import Activations, Packed

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

SEQUENCE, POSITION, WANTED = range(3)  # columns of `Batch.rows_R3`; WANTED is the row of the logits, or -1


class Shape(NamedTuple):
    """Sizes of a model, and the place of each layer in a page."""

    width: int
    heads: int
    page: int  # bytes of a sequence that a page covers
    factors_S: Ints
    layers_S: Ints
    pairs_P2: Ints  # scale that reads, scale that is read
    stack_at_SL: Ints
    cross_at_XP: Ints
    up_at_S: Ints


class Maps(NamedTuple):
    """Which linear map is which, as rows of `Packed.maps_L9`; -1 where there is none."""

    down_S: Ints
    stack_SL4: Ints  # qkv, out, w13, w2
    cross_XP5: Ints  # query, key_value, out, w13, w2
    up_S: Ints
    head: int


class Tables(NamedTuple):
    """Parameters that stay in floating point."""

    embedding_VE: Floats
    hint_symbol: Floats
    hint_corpus: Floats
    hint_context: Floats
    start_SE: Floats
    gate: Floats
    gate_bias_S: Floats
    stack_gain_SL: Floats
    cross_gain_XP: Floats
    sinks_XP2HD: Floats
    no_sinks_2HD: Floats  # of width 0
    cos: Floats
    sin: Floats


class Network(NamedTuple):
    """A model."""

    shape: Shape
    maps: Maps
    packed: Packed
    tables: Tables
    fusion: FusionTables


class Pages(NamedTuple):
    """State of sequences: `keyed` (pages, elements) of bfloat16, `tokens` (pages, bytes, 4): the id and its hints."""

    keyed: npt.NDArray[np.uint16]
    tokens: npt.NDArray[np.int16]


class Batch(NamedTuple):
    """New bytes. Rows of a sequence stand together, in order; recalls are of the wanted rows."""

    rows_R3: Ints
    tables: npt.NDArray[np.int32]  # (sequences, pages)
    tokens_R4: npt.NDArray[np.int16]
    symbols_WM: npt.NDArray[np.int16]
    states_WMJ: npt.NDArray[np.uint8]
    depths_W2: npt.NDArray[np.uint8]


class Work(NamedTuple):
    """Buffers of a step."""

    x_SRE: Floats
    counts_S: Ints
    rows_SR: Ints  # the new byte that completes each row of a scale
    wide: Floats
    wider: Floats
    narrow: Floats
    scores: Floats  # (threads, positions)
    turned: Floats  # (threads, D)
    acts: Activations
    scratch: Floats
    barrier: Ints


@kernel()
def forward(net, pages, batch, work, logits_WV, thread, threads):
    """Read the batch; write logits of the wanted rows. To be called by all `threads` at once, each with its number."""
    net, pages, batch, work, logits_WV = (
        without_refcounts(net),
        without_refcounts(pages),
        without_refcounts(batch),
        without_refcounts(work),
        without_refcounts(logits_WV),
    )
    _arrange(net, pages, batch, work, thread, threads)
    shape = net.shape
    for scale in range(len(shape.factors_S)):
        _embed(net, pages, batch, work, scale, thread, threads)
        for layer in range(shape.layers_S[scale]):
            _block(net, pages, batch, work, scale, layer, thread, threads)
    for depth in range(shape.cross_at_XP.shape[0]):
        for pair in range(len(shape.pairs_P2)):
            _cross(net, pages, batch, work, depth, pair, thread, threads)
    _bring_up(net, pages, batch, work, thread, threads)
    _head(net, pages, batch, work, logits_WV, thread, threads)


@jit_device
def _arrange(net, pages, batch, work, thread, threads):
    """Write the new tokens into their pages and find the rows that they complete at every scale."""
    if thread == 0:
        for scale in range(len(net.shape.factors_S)):
            count = 0
            for r in range(len(batch.rows_R3)):
                if (batch.rows_R3[r, POSITION] + 1) % net.shape.factors_S[scale] == 0:
                    work.rows_SR[scale, count] = r
                    count += 1
            work.counts_S[scale] = count
        for r in range(len(batch.rows_R3)):
            position = batch.rows_R3[r, POSITION]
            page = batch.tables[batch.rows_R3[r, SEQUENCE], position // net.shape.page]
            for n in range(4):
                pages.tokens[page, position % net.shape.page, n] = batch.tokens_R4[r, n]
    barrier_wait(work.barrier, threads)


@jit_device
def _embed_token(tables, token_4, out_E):
    normalise(tables.embedding_VE[token_4[0]], out_E)
    if tables.hint_symbol.shape[0]:
        symbol, corpus = tables.hint_symbol[token_4[1] + 1], tables.hint_corpus[token_4[2]]
        context = tables.hint_context[token_4[3]]
        for e in range(out_E.shape[0]):
            out_E[e] += symbol[e] + corpus[e] + context[e]


@jit_device
def _embed(net, pages, batch, work, scale, thread, threads):
    """The rows of a scale before its first layer: embeddings, down-sampled."""
    factor, width, count = net.shape.factors_S[scale], net.shape.width, work.counts_S[scale]
    if count == 0:
        return
    target = work.x_SRE[0] if factor == 1 else work.wider
    for n in range(thread, count, threads):
        row = batch.rows_R3[work.rows_SR[scale, n]]
        for back in range(factor):
            position = row[POSITION] - factor + 1 + back
            page = batch.tables[row[SEQUENCE], position // net.shape.page]
            token_4 = pages.tokens[page, position % net.shape.page]
            _embed_token(net.tables, token_4, target[n, back * width : (back + 1) * width])
    if factor > 1:
        linear(net, net.maps.down_S[scale], work.wider, count, work, work.x_SRE[scale], thread, threads)
    else:
        barrier_wait(work.barrier, threads)


@jit_device
def _keep(net, pages, batch, work, scale, at, key_at, value_at, thread, threads):
    """Turn the keys of a scale's new rows in `work.wide` and put them into their pages, with the values."""
    shape = net.shape
    factor, heads = shape.factors_S[scale], shape.heads
    width = shape.width // heads
    rows = shape.page // factor
    for n in range(thread, work.counts_S[scale], threads):
        row = batch.rows_R3[work.rows_SR[scale, n]]
        position = row[POSITION]
        keys = work.wide[n, key_at : key_at + shape.width]
        for h in range(heads):
            head = keys[h * width : (h + 1) * width]
            normalise_and_turn(head, net.tables.cos[position], net.tables.sin[position], work.turned[thread])
            for d in range(width):
                head[d] = work.turned[thread, d]
        page = batch.tables[row[SEQUENCE], position // shape.page]
        store_row(
            pages.keyed[page], at, rows, heads, width, position % shape.page // factor,
            keys, work.wide[n, value_at : value_at + shape.width],
        )  # fmt: skip


@jit_device
def _attend(net, pages, batch, work, scale, read, at, gain, sinks, thread, threads):
    """Attention of a scale's new rows, whose queries begin each row of `work.wide`, over the rows of `read`.

    Head by head: the keys and values of one head stay in the cache for all rows of a sequence, those of a layer do not.
    """
    shape = net.shape
    heads = shape.heads
    width = shape.width // heads
    factor, turned, count = shape.factors_S[read], work.turned[thread], work.counts_S[scale]
    for item in range(thread, count * heads, threads):
        h, n = item // count, item % count
        row = batch.rows_R3[work.rows_SR[scale, n]]
        position = row[POSITION]
        query, out = work.wide[n, h * width : (h + 1) * width], work.narrow[n, h * width : (h + 1) * width]
        normalise_and_turn(query, net.tables.cos[position], net.tables.sin[position], turned)
        attend(
            pages.keyed, batch.tables[row[SEQUENCE]], at, shape.page // factor, heads, h, turned, gain,
            (position + 1) // factor, sinks[0, h], sinks[1, h], work.scores[thread], out,
        )  # fmt: skip


@jit_device
def _block(net, pages, batch, work, scale, layer, thread, threads):
    """One transformer layer of one scale."""
    count, width = work.counts_S[scale], net.shape.width
    if count == 0:
        return
    x, maps, at = work.x_SRE[scale], net.maps.stack_SL4[scale, layer], net.shape.stack_at_SL[scale, layer]
    normalised(x, count, work.narrow, thread, threads)
    linear(net, maps[0], work.narrow, count, work, work.wide, thread, threads)
    _keep(net, pages, batch, work, scale, at, width, 2 * width, thread, threads)
    barrier_wait(work.barrier, threads)
    gain = net.tables.stack_gain_SL[scale, layer]
    _attend(net, pages, batch, work, scale, scale, at, gain, net.tables.no_sinks_2HD, thread, threads)
    barrier_wait(work.barrier, threads)
    linear(net, maps[1], work.narrow, count, work, x, thread, threads)
    feed_forward(net, maps[2], maps[3], x, count, work, thread, threads)


@jit_device
def _cross(net, pages, batch, work, depth, pair, thread, threads):
    """The new rows of one scale read the states of another."""
    scale, read = net.shape.pairs_P2[pair]
    maps, at = net.maps.cross_XP5[depth, pair], net.shape.cross_at_XP[depth, pair]
    new = work.counts_S[read]
    if new:
        normalised(work.x_SRE[read], new, work.narrow, thread, threads)
        linear(net, maps[1], work.narrow, new, work, work.wide, thread, threads)
        _keep(net, pages, batch, work, read, at, 0, net.shape.width, thread, threads)
        barrier_wait(work.barrier, threads)
    count, x = work.counts_S[scale], work.x_SRE[scale]
    if count == 0:
        return
    normalised(x, count, work.narrow, thread, threads)
    linear(net, maps[0], work.narrow, count, work, work.wide, thread, threads)
    gain, sinks = net.tables.cross_gain_XP[depth, pair], net.tables.sinks_XP2HD[depth, pair]
    _attend(net, pages, batch, work, scale, read, at, gain, sinks, thread, threads)
    barrier_wait(work.barrier, threads)
    linear(net, maps[2], work.narrow, count, work, x, thread, threads)
    if maps[3] >= 0:
        feed_forward(net, maps[3], maps[4], x, count, work, thread, threads)


@jit_device
def _bring_up(net, pages, batch, work, thread, threads):
    """Bring the newest finished block of every scale to each byte and mix the scales into `x_SRE[0]`."""
    shape = net.shape
    scales, width = len(shape.factors_S), shape.width
    if scales == 1:
        return
    for scale in range(1, scales):
        count, factor = work.counts_S[scale], shape.factors_S[scale]
        if count == 0:
            continue
        normalised(work.x_SRE[scale], count, work.narrow, thread, threads)
        linear(net, net.maps.up_S[scale], work.narrow, count, work, work.wider, thread, threads)
        for n in range(thread, count, threads):
            row = batch.rows_R3[work.rows_SR[scale, n]]
            page = pages.keyed[batch.tables[row[SEQUENCE], row[POSITION] // shape.page]]
            at = shape.up_at_S[scale] + row[POSITION] % shape.page // factor * factor * width
            for e in range(factor * width):
                page[at + e] = to_bf16(work.wider[n, e])
        barrier_wait(work.barrier, threads)
    for r in range(thread, len(batch.rows_R3), threads):
        _mix(net, pages, batch, work, r)
    barrier_wait(work.barrier, threads)


@jit_fastmath
def _mix(net, pages, batch, work, r):
    """The softmax gate over the scales for one byte."""
    shape, tables = net.shape, net.tables
    scales, width = len(shape.factors_S), shape.width
    together = work.wider[r]
    for e in range(width):
        together[e] = work.x_SRE[0, r, e]
    position, sequence = batch.rows_R3[r, POSITION], batch.rows_R3[r, SEQUENCE]
    for scale in range(1, scales):
        factor = shape.factors_S[scale]
        part = together[scale * width : (scale + 1) * width]
        block = (position + 1) // factor - 1
        if block < 0:
            for e in range(width):
                part[e] = tables.start_SE[scale, e]
            continue
        per_page = shape.page // factor
        page = pages.keyed[batch.tables[sequence, block // per_page]]
        at = shape.up_at_S[scale] + (block % per_page * factor + (position + 1) % factor) * width
        for e in range(width):
            part[e] = from_bf16(page[at + e])
    normed = work.wide[r, : scales * width]
    normalise(together[: scales * width], normed)
    weights = work.narrow[r]
    most = np.float32(-1e30)
    for scale in range(scales):
        total = np.float32(0.0)
        for e in range(scales * width):
            total += tables.gate[scale, e] * normed[e]
        weights[scale] = total + tables.gate_bias_S[scale]
        most = max(most, weights[scale])
    total = np.float32(0.0)
    for scale in range(scales):
        weights[scale] = np.exp(weights[scale] - most)
        total += weights[scale]
    fine = work.x_SRE[0, r]
    for e in range(width):
        value = np.float32(0.0)
        for scale in range(scales):
            value += weights[scale] / total * together[scale * width + e]
        fine[e] = value


@jit_device
def _head(net, pages, batch, work, logits_WV, thread, threads):
    """Logits of the wanted rows, with what the memories say."""
    count = 0
    for r in range(len(batch.rows_R3)):
        wanted = batch.rows_R3[r, WANTED]
        if wanted >= 0:
            count = max(count, wanted + 1)
            if r % threads == thread:
                normalise(work.x_SRE[0, r], work.narrow[wanted, : net.shape.width])
    barrier_wait(work.barrier, threads)
    if count == 0:
        return
    linear(net, net.maps.head, work.narrow, count, work, logits_WV, thread, threads)
    if net.fusion.score_F.shape[0] and batch.symbols_WM.shape[0]:
        for wanted in range(thread, count, threads):
            fuse_memory(
                net.fusion, work.narrow[wanted, : net.shape.width], logits_WV[wanted], batch.symbols_WM[wanted],
                batch.states_WMJ[wanted], batch.depths_W2[wanted], work.scratch[thread],
            )  # fmt: skip
    barrier_wait(work.barrier, threads)
