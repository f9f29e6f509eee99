"""Linear maps over packed weights: quantize the activations of a row, multiply in integers, scale back.

A row of activations gets one scale and so does a row of weights, so nothing but one product in floating point happens for
each output; 4-bit weights have whole-number scales for every BLOCK of them besides (as the K-quants of llama.cpp do).
"""

# Shape suffixes: M activation rows, K inputs, N outputs, L linear maps.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.gemm_int8 import BLOCK, COLUMNS, GROUP, ROWS, groups, tile_of_many, tile_of_one
from multiscale_transformer.kernels.jit import kernel

QUANTS_AT, SCALES_AT, ROWS_AT, BIAS_AT, OUTPUTS, INPUTS, USED, BITS, ADDS = range(9)  # columns of `Packed.maps_L9`
LARGEST_WORD, LARGEST_SMALL = 2047, 127  # of an activation that meets weights of 8 bits, and of 4 (see `packing.MAX_INPUTS`)

Floats = npt.NDArray[np.float32]


class Packed(NamedTuple):
    """All linear maps of a model in four arrays, and where each begins in them (`maps_L9`).

    `quants` are weights of 8 bits (int8) or two of 4 bits a byte, `scales` one number a BLOCK of the latter, `floats` the scale
    of every weight row and the biases. A bias place of -1 is none. INPUTS are padded with zeros, USED of
    them count.
    """

    quants: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.int16]
    floats: Floats
    maps_L9: npt.NDArray[np.int64]


class Activations(NamedTuple):
    """Quantized rows: values (M * K), as int16 or int8 by what they meet, the sums of blocks of the latter, a scale a row."""

    words: npt.NDArray[np.int16]
    small: npt.NDArray[np.int8]
    sums: npt.NDArray[np.int16]
    scales_M: Floats


def new_activations(rows: int, most_inputs: int) -> Activations:
    """Room for `rows` rows of up to `most_inputs`."""
    count, sums = rows * most_inputs, rows * groups(most_inputs) * GROUP
    return Activations(
        np.zeros(count, np.int16), np.zeros(count, np.int8), np.zeros(sums, np.int16), np.zeros(rows, np.float32)
    )


@kernel(error_model="numpy", fastmath={"nnan", "nsz", "reassoc"})
def quantize_row(where, x_K, m, acts):
    """Round a row of activations to whole numbers for the linear map at `where`: a row of `maps_L9`."""
    stride, used = where[INPUTS], where[USED]
    most = np.float32(0.0)
    for k in range(used):
        most = max(most, abs(x_K[k]))
    largest = np.float32(LARGEST_WORD if where[BITS] == 8 else LARGEST_SMALL)
    acts.scales_M[m] = most / largest
    inverse = np.float32(0.0) if most == 0.0 else largest / most
    if where[BITS] == 8:
        words = acts.words[m * stride : (m + 1) * stride]
        for k in range(used):
            words[k] = np.int16(np.rint(x_K[k] * inverse))
        for k in range(used, stride):
            words[k] = 0
        return
    small = acts.small[m * stride : (m + 1) * stride]
    for k in range(used):
        small[k] = np.int8(np.rint(x_K[k] * inverse))
    for k in range(used, stride):
        small[k] = 0
    blocks = (stride + BLOCK * GROUP - 1) // (BLOCK * GROUP) * GROUP
    for block in range(stride // BLOCK, blocks):
        acts.sums[m * blocks + block] = 0
    for block in range(stride // BLOCK):
        total = np.int32(0)
        for k in range(block * BLOCK, (block + 1) * BLOCK):
            total += small[k]
        acts.sums[m * blocks + block] = total


@kernel()
def multiply(packed, index, rows, acts, y_MN, thread, threads):
    """y = W x (+ bias), or y += W x for maps that ADD, for the first `rows` rows; `threads` share the outputs.

    The activations must have been quantized into `acts` before. Outputs come in fours: rows of `y_MN` must have room for that.
    """
    where, quants, scales, floats = packed.maps_L9[index], packed.quants, packed.scales, packed.floats
    words, small, block_sums, scales_M = acts.words, acts.small, acts.sums, acts.scales_M
    outputs, inputs, bits, adds = where[OUTPUTS], where[INPUTS], where[BITS], where[ADDS]
    w_stride, s_stride = inputs * bits // 8, (inputs + BLOCK * GROUP - 1) // (BLOCK * GROUP) * GROUP
    share = (outputs // ROWS + threads - 1) // threads * ROWS
    y_stride = y_MN.shape[1]
    for n in range(thread * share, min(outputs, (thread + 1) * share), ROWS):
        w_at, s_at = where[QUANTS_AT] + n * w_stride, where[SCALES_AT] + n * s_stride
        rows_at, bias_at = where[ROWS_AT] + n, where[BIAS_AT] + (n if where[BIAS_AT] >= 0 else 0)
        together = rows // COLUMNS * COLUMNS
        for m in range(0, together, COLUMNS):
            tile_of_many(
                quants, w_at, w_stride, scales, s_at, s_stride, words, small, block_sums, m, inputs, bits, floats, rows_at,
                bias_at, scales_M, y_MN, m * y_stride + n, y_stride, adds,
            )  # fmt: skip
        for m in range(together, rows):
            tile_of_one(
                quants, w_at, w_stride, scales, s_at, s_stride, words, small, block_sums, m, inputs, bits, floats, rows_at,
                bias_at, scales_M, y_MN, m * y_stride + n, y_stride, adds,
            )  # fmt: skip
