"""Blocks of the forward pass, as `model.blocks` has them: self-attention, feed-forward and, between scales, cross-attention.

Every function takes the whole network and works on the new rows of one scale; all threads of a step call it together and meet
at the barrier where one needs what another has computed.
"""

# Shape suffixes: R rows, E width.

# Numba infers types; those of named tuples are written for the reader.
# mypy: disallow-incomplete-defs=false

from __future__ import annotations

from multiscale_transformer.kernels.attention import attend, norm_rotate, store_row
from multiscale_transformer.kernels.barrier import barrier_wait
from multiscale_transformer.kernels.jit import jit_device
from multiscale_transformer.kernels.layers import linear, rms_norm_rows, swiglu
from multiscale_transformer.kernels.network import Batch, Buffers, Network, Pages
from multiscale_transformer.kernels.rows import place_in_page, seen_rows


@jit_device
def block(net: Network, pages: Pages, batch: Batch, work: Buffers, scale, layer, thread, threads):
    """One pre-norm transformer layer of one scale."""
    if work.counts_S[scale] == 0:
        return
    self_attention(net, pages, batch, work, scale, layer, thread, threads)
    of_block = net.layers.blocks_SL[scale, layer]
    feed_forward(net, of_block.w13, of_block.w2, work.x_SRE[scale], work.counts_S[scale], work, thread, threads)


@jit_device
def self_attention(net: Network, pages: Pages, batch: Batch, work: Buffers, scale, layer, thread, threads):
    """New rows read themselves and all rows before them; what they read is added to them."""
    of_block, x_RE, count, width = net.layers.blocks_SL[scale, layer], work.x_SRE[scale], work.counts_S[scale], net.shape.width
    rms_norm_rows(x_RE, count, work.norm_out, thread, threads)
    linear(net, of_block.qkv, work.norm_out, count, work, work.qkv_or_ffn, thread, threads)
    store_keys_values(net, pages, batch, work, scale, of_block.kv_at, width, 2 * width, thread, threads)
    barrier_wait(work.barrier, threads)
    gain, no_sinks_2HD = net.tables.stack_gain_SL[scale, layer], net.tables.no_sinks_2HD
    attend_rows(net, pages, batch, work, scale, scale, of_block.kv_at, gain, no_sinks_2HD, thread, threads)
    barrier_wait(work.barrier, threads)
    linear(net, of_block.out, work.attention_out, count, work, x_RE, thread, threads)


@jit_device
def feed_forward(net: Network, w13, w2, x_RE, count, work: Buffers, thread, threads):
    """Norm and SwiGLU, whose output is added to the rows."""
    rms_norm_rows(x_RE, count, work.norm_out, thread, threads)
    linear(net, w13, work.norm_out, count, work, work.qkv_or_ffn, thread, threads)
    swiglu(work.qkv_or_ffn, count, net.packed.linears_L[w13].outputs // 2, thread, threads)
    linear(net, w2, work.qkv_or_ffn, count, work, x_RE, thread, threads)


@jit_device
def store_keys_values(
    net: Network, pages: Pages, batch: Batch, work: Buffers, scale, kv_at, key_at, value_at, thread, threads
):  # fmt: skip
    """Put keys and values of a scale's new rows into the KV cache: they stand at `key_at`, `value_at` in `qkv_or_ffn`."""
    shape = net.shape
    factor, heads = net.layers.scales_S[scale].factor, shape.heads
    width = shape.width // heads
    rows = shape.page // factor
    for n in range(thread, work.counts_S[scale], threads):
        row = batch.rows_R[work.rows_SR[scale, n]]
        position = row.position
        keys = work.qkv_or_ffn[n, key_at : key_at + shape.width]
        for h in range(heads):
            key = keys[h * width : (h + 1) * width]
            norm_rotate(key, net.tables.cos[position], net.tables.sin[position], work.rotated[thread])
            for d in range(width):
                key[d] = work.rotated[thread, d]
        page = batch.page_tables[row.sequence, position // shape.page]
        store_row(
            pages.kv[page], kv_at, rows, heads, width, place_in_page(net, pages, batch, row, scale),
            keys, work.qkv_or_ffn[n, value_at : value_at + shape.width],
        )  # fmt: skip


@jit_device
def attend_rows(
    net: Network, pages: Pages, batch: Batch, work: Buffers, reader, source, kv_at, gain, sinks_2HD, thread, threads
):  # fmt: skip
    """Attention of the new rows of scale `reader`, whose queries begin the rows of `qkv_or_ffn`, over the rows of `source`.

    Head by head: the keys and values of one head stay in the CPU's cache for all rows of a sequence, those of a layer do not.
    """
    shape = net.shape
    heads = shape.heads
    width = shape.width // heads
    factor, rotated, count = net.layers.scales_S[source].factor, work.rotated[thread], work.counts_S[reader]
    seen_P = work.seen_TP[thread]
    for item in range(thread, count * heads, threads):
        h, n = item // count, item % count
        row = batch.rows_R[work.rows_SR[reader, n]]
        position = row.position
        query, out = work.qkv_or_ffn[n, h * width : (h + 1) * width], work.attention_out[n, h * width : (h + 1) * width]
        norm_rotate(query, net.tables.cos[position], net.tables.sin[position], rotated)
        seen, known = seen_rows(net, pages, batch, row, source, seen_P)
        attend(
            pages.kv, batch.page_tables[row.sequence], kv_at, shape.page // factor, heads, h, rotated, gain,
            seen, seen_P[:known], sinks_2HD[0, h], sinks_2HD[1, h], work.scores[thread], out,
        )  # fmt: skip


@jit_device
def cross_attention(net: Network, pages: Pages, batch: Batch, work: Buffers, depth, pair, thread, threads):
    """New rows of one scale read the rows of another, then pass a SwiGLU (if any)."""
    of_pair = net.layers.cross_XP[depth, pair]
    reader, source = of_pair.reader, of_pair.source
    new = work.counts_S[source]
    if new:
        rms_norm_rows(work.x_SRE[source], new, work.norm_out, thread, threads)
        linear(net, of_pair.key_value, work.norm_out, new, work, work.qkv_or_ffn, thread, threads)
        store_keys_values(net, pages, batch, work, source, of_pair.kv_at, 0, net.shape.width, thread, threads)
        barrier_wait(work.barrier, threads)
    count, x_RE = work.counts_S[reader], work.x_SRE[reader]
    if count == 0:
        return
    rms_norm_rows(x_RE, count, work.norm_out, thread, threads)
    linear(net, of_pair.query, work.norm_out, count, work, work.qkv_or_ffn, thread, threads)
    gain, sinks_2HD = net.tables.cross_gain_XP[depth, pair], net.tables.sinks_XP2HD[depth, pair]
    attend_rows(net, pages, batch, work, reader, source, of_pair.kv_at, gain, sinks_2HD, thread, threads)
    barrier_wait(work.barrier, threads)
    linear(net, of_pair.out, work.attention_out, count, work, x_RE, thread, threads)
    if of_pair.w13 >= 0:
        feed_forward(net, of_pair.w13, of_pair.w2, x_RE, count, work, thread, threads)
