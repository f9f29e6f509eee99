"""The word stack of the compiled engine, as `model.word_scale` has it: it runs only for the bytes at which words end.

A row's keys and values, and what it gives to the bytes, lie in the page of the byte that ended the word. Of the sequences of a
batch some make rows in a step and others none; every byte takes the newest row of its own.
"""

# Shape suffixes: R new bytes, N rows, E width.

# Numba infers types; those of named tuples are written for the reader.
# mypy: disallow-incomplete-defs=false

from __future__ import annotations

import numpy as np

from multiscale_transformer.kernels.barrier import barrier_wait
from multiscale_transformer.kernels.blocks import block
from multiscale_transformer.kernels.jit import jit_device
from multiscale_transformer.kernels.layers import linear, rms_norm, rms_norm_rows
from multiscale_transformer.kernels.network import FINE, Batch, Buffers, Network, Pages
from multiscale_transformer.kernels.numerics import from_bf16, to_bf16
from multiscale_transformer.kernels.rows import place_in_page, token_at


@jit_device
def word_scale(net: Network, pages: Pages, batch: Batch, work: Buffers, thread, threads):
    """Add to the new bytes what the newest word of each says, after the rows that they complete have been made."""
    words = net.layers.words
    if work.counts_S[words]:
        make_rows(net, pages, batch, work, thread, threads)
        for layer in range(net.layers.scales_S[words].layers):
            block(net, pages, batch, work, words, layer, thread, threads)
        keep_rows(net, pages, batch, work, thread, threads)
    for r in range(thread, len(batch.rows_R), threads):
        add_newest(net, pages, batch, batch.rows_R[r], work.x_SRE[FINE, r])
    barrier_wait(work.barrier, threads)


@jit_device
def make_rows(net: Network, pages: Pages, batch: Batch, work: Buffers, thread, threads):
    """Rows of the word stack before its first block: the fine states at word ends, through a map."""
    words, count = net.layers.words, work.counts_S[net.layers.words]
    for n in range(thread, count, threads):
        rms_norm(work.x_SRE[FINE, work.rows_SR[words, n]], work.norm_out[n])
    linear(net, net.layers.scales_S[words].down, work.norm_out, count, work, work.x_SRE[words], thread, threads)


@jit_device
def keep_rows(net: Network, pages: Pages, batch: Batch, work: Buffers, thread, threads):
    """Map the new rows back to the fine scale and keep what they give in their pages."""
    words, width, count = net.layers.words, net.shape.width, work.counts_S[net.layers.words]
    of_words = net.layers.scales_S[words]
    rms_norm_rows(work.x_SRE[words], count, work.norm_out, thread, threads)
    linear(net, of_words.up, work.norm_out, count, work, work.coarse_rows, thread, threads)
    for n in range(thread, count, threads):
        row = batch.rows_R[work.rows_SR[words, n]]
        page = pages.kv[batch.page_tables[row.sequence, row.position // net.shape.page]]
        at = of_words.up_at + place_in_page(net, pages, batch, row, words) * width
        for e in range(width):
            page[at + e] = to_bf16(work.coarse_rows[n, e])
    barrier_wait(work.barrier, threads)


@jit_device
def add_newest(net: Network, pages: Pages, batch: Batch, row, x_E):
    """Add the newest row at a byte or before it, or the learned start, and the embedding of the bytes since."""
    size, width, words, number = net.shape.page, net.shape.width, net.layers.words, row.position // net.shape.page
    rows = np.int64(token_at(net, pages, batch, row.sequence, row.position).word_rows)
    while rows == 0 and number > 0:
        rows = np.int64(token_at(net, pages, batch, row.sequence, number * size - 1).word_rows)
        number -= 1
    if rows:
        page = pages.kv[batch.page_tables[row.sequence, number]]
        at = net.layers.scales_S[words].up_at + (rows - 1) * width
        for e in range(width):
            x_E[e] += from_bf16(page[at + e])
    else:
        for e in range(width):
            x_E[e] += net.tables.start_SE[words, e]
    since_E = net.tables.since_KE[token_at(net, pages, batch, row.sequence, row.position).since]
    for e in range(width):
        x_E[e] += since_E[e]
