"""Paged attention: the keys and values of a sequence lie in pages of the KV cache that several sequences may share.

A page holds all decoding state of a fixed run of bytes: rows of every layer of every scale, in bfloat16. Keys lie transposed in
it, so that scores and sums both run along memory and need no sums across a vector.
"""

# Shape suffixes: H heads, D head width, J rows of a page, N rows seen, P pages.

from __future__ import annotations

import numpy as np

from multiscale_transformer.kernels.attention_simd import LANES, score_page, sum_page
from multiscale_transformer.kernels.jit import jit_device, jit_fastmath
from multiscale_transformer.kernels.numerics import exp_nonpositive, from_bf16, to_bf16


@jit_fastmath
def norm_rotate(x_D, cos, sin, out_D):
    """RMS norm of one head, then rotary positions (half-split)."""
    width = x_D.shape[0]
    total = np.float32(0.0)
    for d in range(width):
        total += x_D[d] * x_D[d]
    scale = np.float32(np.sqrt(np.float32(width))) / max(np.float32(np.sqrt(total)), np.float32(1e-6))
    half = width // 2
    for d in range(half):
        a, b = x_D[d] * scale, x_D[half + d] * scale
        out_D[d] = a * cos[d] - b * sin[d]
        out_D[half + d] = b * cos[d] + a * sin[d]


@jit_device
def store_row(page, at, rows, heads, width, j, k_E, v_E):
    """Put keys and values (H * D) into row `j` of the layer that begins at `at` in a page of `rows` rows."""
    values_at = at + heads * width * rows
    for e in range(heads * width):
        page[at + e * rows + j] = to_bf16(k_E[e])
    for h in range(heads):
        for d in range(width):
            page[values_at + (h * rows + j) * width + d] = to_bf16(v_E[h * width + d])


@jit_fastmath
def _softmax(scores, count, most):
    """Turn scores into weights that are not divided by their sum yet; returns the sum."""
    total = np.float32(0.0)
    for n in range(count):
        scores[n] = exp_nonpositive(scores[n] - most)
    for n in range(count):
        total += scores[n]
    return total


@jit_fastmath
def attend(kv, page_table, at, rows, heads, head, q_D, gain, count, seen_P, sink_k_D, sink_v_D, scores, out_D):
    """Attention of one head over the first `count` rows of a sequence, and a sink (empty arrays: none).

    `page_table` lists the pages of the sequence, each with room for `rows` rows, and `at` is the place of the layer in each.
    Pages are full but for the last one, unless `seen_P` says how many rows of each are read. `scores` has room for `count` rows
    and a page more.
    """
    width = q_D.shape[0]
    scale = gain / np.float32(np.sqrt(np.float32(width)))
    values_at = at + heads * width * rows + head * rows * width
    number, first = 0, 0
    while first < count:
        seen = seen_P[number] if len(seen_P) else min(rows, count - first)
        whole = (seen + LANES - 1) // LANES * LANES  # what is scored too much, the next page or nobody overwrites
        score_page(kv[page_table[number]], at + head * width * rows, rows, whole, q_D, width, scores, first)
        number, first = number + 1, first + seen
    most, sink = np.float32(-1e30), np.float32(0.0)
    for n in range(count):
        scores[n] *= scale
        most = max(most, scores[n])
    if sink_k_D.shape[0]:
        for d in range(width):
            sink += q_D[d] * sink_k_D[d]
        sink *= scale
        most = max(most, sink)
    total = _softmax(scores, count, most)
    for d in range(width):
        out_D[d] = np.float32(0.0)
    if sink_k_D.shape[0]:
        weight = exp_nonpositive(sink - most)
        total += weight
        for d in range(width):
            out_D[d] = weight * sink_v_D[d]
    number, first = 0, 0
    while first < count:
        seen, page = seen_P[number] if len(seen_P) else min(rows, count - first), kv[page_table[number]]
        sum_page(page, values_at, seen, scores, first, width, out_D)
        for d in range(width // LANES * LANES, width):  # what is left of heads of an odd width
            for j in range(seen):
                out_D[d] += scores[first + j] * from_bf16(page[values_at + j * width + d])
        number, first = number + 1, first + seen
    inverse = np.float32(1.0) / total
    for d in range(width):
        out_D[d] *= inverse
