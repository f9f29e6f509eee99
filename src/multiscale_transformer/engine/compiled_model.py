"""The forward pass of the compiled engine (prefill, decode and verification): new bytes of any sequences in, logits out.

This is `model.model.MultiScaleTransformer` again, step by step under the same names, over packed weights and a paged KV cache.
A model of one stack is `embed`, `block` after `block`, `head`; `engine.compiled_words` is the word stack; the other scales are
what stands below `head`, and run only for bytes that complete one of their rows.

Every row is computed in the same way whatever else is in the batch, so its logits are the same bits alone, drafted or among
others. Several threads may call `forward` together; they share the outputs of linear maps and the heads, and meet between the
steps.
"""

# Shape suffixes: R new bytes, N rows of a scale, W rows with logits, E width, V vocabulary.

# Numba infers types; those of named tuples are written for the reader.
# mypy: disallow-incomplete-defs=false

from __future__ import annotations

import numpy as np

from multiscale_transformer.engine.compiled_words import word_scale
from multiscale_transformer.kernels.barrier import barrier_wait
from multiscale_transformer.kernels.blocks import block, cross_attention
from multiscale_transformer.kernels.jit import jit_device, jit_fastmath, kernel, without_refcounts
from multiscale_transformer.kernels.layers import linear, rms_norm, rms_norm_rows
from multiscale_transformer.kernels.memory_fusion import memory_fusion
from multiscale_transformer.kernels.network import FINE, Batch, Buffers, Network, Pages
from multiscale_transformer.kernels.numerics import from_bf16, to_bf16
from multiscale_transformer.kernels.rows import place_word, token_at
from multiscale_transformer.model.word_ends import LAYERS_BEFORE


@kernel()
def forward(net: Network, pages: Pages, batch: Batch, work: Buffers, logits_WV, thread, threads):
    """Read the batch; write logits where they are wanted. To be called by all `threads` at once, each with its number."""
    net, pages, batch, work, logits_WV = (
        without_refcounts(net),
        without_refcounts(pages),
        without_refcounts(batch),
        without_refcounts(work),
        without_refcounts(logits_WV),
    )
    scales_S = net.layers.scales_S
    place_rows(net, pages, batch, work, thread, threads)
    embed(net, pages, batch, work, thread, threads)
    for layer in range(scales_S[FINE].layers):
        if layer == LAYERS_BEFORE and net.layers.words >= 0:
            word_scale(net, pages, batch, work, thread, threads)
        block(net, pages, batch, work, FINE, layer, thread, threads)
    if len(scales_S) > 1 and net.layers.words < 0:
        coarser_scales(net, pages, batch, work, thread, threads)
    head(net, batch, work, logits_WV, thread, threads)


@jit_device
def coarser_scales(net: Network, pages: Pages, batch: Batch, work: Buffers, thread, threads):
    """The scales of fixed strides above FINE: their stacks, what the scales read of each other, and their mixture."""
    scales_S, cross_XP = net.layers.scales_S, net.layers.cross_XP
    for scale in range(1, len(scales_S)):
        downsample(net, pages, batch, work, scale, thread, threads)
        for layer in range(scales_S[scale].layers):
            block(net, pages, batch, work, scale, layer, thread, threads)
    for depth in range(cross_XP.shape[0]):
        for pair in range(cross_XP.shape[1]):
            cross_attention(net, pages, batch, work, depth, pair, thread, threads)
    for scale in range(1, len(scales_S)):
        upsample(net, pages, batch, work, scale, thread, threads)
    fuse(net, pages, batch, work, thread, threads)


@jit_device
def place_rows(net: Network, pages: Pages, batch: Batch, work: Buffers, thread, threads):
    """Write the new tokens into their pages and find the rows that they complete at every scale: every byte one of FINE."""
    if thread == 0:
        for scale in range(len(net.layers.scales_S)):
            if scale == net.layers.words:
                continue
            count, factor = 0, net.layers.scales_S[scale].factor
            for r in range(len(batch.rows_R)):
                if (batch.rows_R[r].position + 1) % factor == 0:
                    work.rows_SR[scale, count] = r
                    count += 1
            work.counts_S[scale] = count
        words, count = net.layers.words, 0
        for r in range(len(batch.rows_R)):
            row = batch.rows_R[r]
            page = batch.page_tables[row.sequence, row.position // net.shape.page]
            pages.tokens[page, row.position % net.shape.page] = batch.tokens_R[r]
            if words >= 0 and place_word(net, pages, batch, row):
                work.rows_SR[words, count] = r
                count += 1
        if words >= 0:
            work.counts_S[words] = count
    barrier_wait(work.barrier, threads)


@jit_device
def embed_position(net: Network, pages: Pages, batch: Batch, sequence, position, out_E):
    """The embedding of the id at a position with those before mixed in and, where there is a memory, of its input features."""
    tables, token = net.tables, token_at(net, pages, batch, sequence, position)
    embedding_E = tables.normed_VE[token.id]
    for e in range(out_E.shape[0]):
        out_E[e] = embedding_E[e]
    for k in range(min(tables.conv_KE.shape[0], position)):
        before_E = tables.normed_VE[token_at(net, pages, batch, sequence, position - k - 1).id]
        for e in range(out_E.shape[0]):
            out_E[e] += tables.conv_KE[k, e] * before_E[e]
    if tables.input_symbol.shape[0]:
        symbol_E, corpus_E = tables.input_symbol[token.symbol + 1], tables.input_corpus[token.corpus_length]
        context_E = tables.input_context[token.context_length]
        for e in range(out_E.shape[0]):
            out_E[e] += symbol_E[e] + corpus_E[e] + context_E[e]


@jit_device
def embed(net: Network, pages: Pages, batch: Batch, work: Buffers, thread, threads):
    """The embeddings of the new bytes, which are the rows of FINE before its first block."""
    for r in range(thread, len(batch.rows_R), threads):
        row = batch.rows_R[r]
        embed_position(net, pages, batch, row.sequence, row.position, work.x_SRE[FINE, r])
    barrier_wait(work.barrier, threads)


@jit_device
def head(net: Network, batch: Batch, work: Buffers, logits_WV, thread, threads):
    """Logits where they are wanted, with what the memories add."""
    count = 0
    for r in range(len(batch.rows_R)):
        logits_row = batch.rows_R[r].logits_row
        if logits_row >= 0:
            count = max(count, logits_row + 1)
            if r % threads == thread:
                rms_norm(work.x_SRE[FINE, r], work.norm_out[logits_row])
    barrier_wait(work.barrier, threads)
    if count == 0:
        return
    linear(net, net.layers.head, work.norm_out, count, work, logits_WV, thread, threads)
    if net.fusion.score_F.shape[0] and batch.symbols_WM.shape[0]:
        for w in range(thread, count, threads):
            memory_fusion(
                net.fusion, work.norm_out[w], logits_WV[w], batch.symbols_WM[w], batch.bins_WMJ[w], batch.lengths_W2[w],
                work.fusion, thread,
            )  # fmt: skip
    barrier_wait(work.barrier, threads)


# What the scales of fixed strides above FINE add.


@jit_device
def downsample(net: Network, pages: Pages, batch: Batch, work: Buffers, scale, thread, threads):
    """The rows of a scale before its first block: the embeddings of its bytes, mapped to one."""
    of_scale, width, count = net.layers.scales_S[scale], net.shape.width, work.counts_S[scale]
    factor = of_scale.factor
    if count == 0:
        return
    for n in range(thread, count, threads):
        row = batch.rows_R[work.rows_SR[scale, n]]
        for k in range(factor):
            position, out_E = row.position - factor + 1 + k, work.coarse_rows[n, k * width : (k + 1) * width]
            embed_position(net, pages, batch, row.sequence, position, out_E)
    linear(net, of_scale.down, work.coarse_rows, count, work, work.x_SRE[scale], thread, threads)


@jit_device
def upsample(net: Network, pages: Pages, batch: Batch, work: Buffers, scale, thread, threads):
    """Map each new row of a scale to a state for every byte until the next one, and keep these in the page of the row."""
    of_scale, width, count = net.layers.scales_S[scale], net.shape.width, work.counts_S[scale]
    factor = of_scale.factor
    if count == 0:
        return
    rms_norm_rows(work.x_SRE[scale], count, work.norm_out, thread, threads)
    linear(net, of_scale.up, work.norm_out, count, work, work.coarse_rows, thread, threads)
    for n in range(thread, count, threads):
        row = batch.rows_R[work.rows_SR[scale, n]]
        page = pages.kv[batch.page_tables[row.sequence, row.position // net.shape.page]]
        at = of_scale.up_at + row.position % net.shape.page // factor * factor * width
        for e in range(factor * width):
            page[at + e] = to_bf16(work.coarse_rows[n, e])
    barrier_wait(work.barrier, threads)


@jit_device
def fuse(net: Network, pages: Pages, batch: Batch, work: Buffers, thread, threads):
    """Mix the newest finished row of every scale into each byte's state, by a softmax gate."""
    for r in range(thread, len(batch.rows_R), threads):
        fuse_row(net, pages, batch, work, r, thread)
    barrier_wait(work.barrier, threads)


@jit_fastmath
def fuse_row(net: Network, pages: Pages, batch: Batch, work: Buffers, r, thread):
    """`fuse` for one byte."""
    layers, tables = net.layers, net.tables
    scales, width = len(layers.scales_S), net.shape.width
    concat, normed, weights = work.concat_scales[thread], work.concat_norm[thread], work.gate_weights[thread]
    for e in range(width):
        concat[e] = work.x_SRE[FINE, r, e]
    position, sequence = batch.rows_R[r].position, batch.rows_R[r].sequence
    for scale in range(1, scales):
        factor = layers.scales_S[scale].factor
        state = concat[scale * width : (scale + 1) * width]
        coarse_row = (position + 1) // factor - 1
        if coarse_row < 0:
            for e in range(width):
                state[e] = tables.start_SE[scale, e]
            continue
        per_page = net.shape.page // factor
        page = pages.kv[batch.page_tables[sequence, coarse_row // per_page]]
        at = layers.scales_S[scale].up_at + (coarse_row % per_page * factor + (position + 1) % factor) * width
        for e in range(width):
            state[e] = from_bf16(page[at + e])
    rms_norm(concat, normed)
    largest = np.float32(-1e30)
    for scale in range(scales):
        total = np.float32(0.0)
        for e in range(scales * width):
            total += tables.gate[scale, e] * normed[e]
        weights[scale] = total + tables.gate_bias_S[scale]
        largest = max(largest, weights[scale])
    total = np.float32(0.0)
    for scale in range(scales):
        weights[scale] = np.exp(weights[scale] - largest)
        total += weights[scale]
    fine_E = work.x_SRE[FINE, r]
    for e in range(width):
        value = np.float32(0.0)
        for scale in range(scales):
            value += weights[scale] / total * concat[scale * width + e]
        fine_E[e] = value
