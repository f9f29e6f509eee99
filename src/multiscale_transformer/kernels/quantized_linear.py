"""Quantized linear maps (GEMM over packed weights): quantize the activations of a row, multiply in integers, scale back.

A row of activations gets one scale and so does a row of weights, so nothing but one product in floating point happens for
each output; 4-bit weights have whole-number scales for every BLOCK of them besides (as the K-quants of llama.cpp do).
"""

# Shape suffixes: M activation rows, K inputs, N outputs, L linear maps.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.gemm_int8 import BLOCK, COLUMNS, GROUP, ROWS, Tile, groups, tile_of_many, tile_of_one
from multiscale_transformer.kernels.jit import kernel
from multiscale_transformer.kernels.records import Records, record

LARGEST_WORD, LARGEST_SMALL = 2047, 127  # of an activation that meets weights of 8 bits, and of 4 (see `quantize.MAX_INPUTS`)

Floats = npt.NDArray[np.float32]

# A linear map: where its weights, the scales of blocks and of rows, and its bias (-1: none) begin in the arrays of `Packed`;
# its outputs and inputs, padded with zeros, of which `used_inputs` count; the bits of a weight; and whether its result is added
# to what is there.
LINEAR = record(
    "quants_at", "scales_at", "row_scales_at", "bias_at", "outputs", "inputs", "used_inputs", "bits", "residual"
)  # fmt: skip


class Packed(NamedTuple):
    """All linear maps of a model in three arrays, and where each lies in them (`linears_L`, of LINEAR).

    `quants` are weights of 8 bits (int8) or two of 4 bits a byte, `scales` one number a BLOCK of the latter, `floats` the scale
    of every weight row and the biases.
    """

    quants: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.int16]
    floats: Floats
    linears_L: Records


class Activations(NamedTuple):
    """Quantized rows: values (M * K), as int16 or int8 by what they meet, the sums of blocks of the latter, a scale a row."""

    words: npt.NDArray[np.int16]
    small: npt.NDArray[np.int8]
    sums: npt.NDArray[np.int16]
    row_scales: Floats


def new_activations(rows: int, max_inputs: int) -> Activations:
    """Room for `rows` rows of up to `max_inputs`."""
    count, sums = rows * max_inputs, rows * groups(max_inputs) * GROUP
    return Activations(
        np.zeros(count, np.int16), np.zeros(count, np.int8), np.zeros(sums, np.int16), np.zeros(rows, np.float32)
    )


@kernel(error_model="numpy", fastmath={"nnan", "nsz", "reassoc"})
def quantize_row(packed, index, x_K, m, acts):
    """Round a row of activations to whole numbers, as row `m` of `acts`, for the linear map `index`."""
    linear = packed.linears_L[index]
    stride, used, bits = linear.inputs, linear.used_inputs, linear.bits
    largest_input = np.float32(0.0)
    for k in range(used):
        largest_input = max(largest_input, abs(x_K[k]))
    largest = np.float32(LARGEST_WORD if bits == 8 else LARGEST_SMALL)
    acts.row_scales[m] = largest_input / largest
    inverse = np.float32(0.0) if largest_input == 0.0 else largest / largest_input
    if bits == 8:
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
    """y = W x (+ bias), or y += W x for residual maps, for the first `rows` rows; `threads` share the outputs.

    The activations must have been quantized into `acts` before. Outputs come in fours: rows of `y_MN` must have room for that.
    """
    linear = packed.linears_L[index]
    quants_at, scales_at, row_scales_at, bias_at = linear.quants_at, linear.scales_at, linear.row_scales_at, linear.bias_at
    outputs, inputs, bits, residual = linear.outputs, linear.inputs, linear.bits, linear.residual
    w_stride, s_stride = inputs * bits // 8, (inputs + BLOCK * GROUP - 1) // (BLOCK * GROUP) * GROUP
    share = (outputs // ROWS + threads - 1) // threads * ROWS
    y_stride, together = y_MN.shape[1], rows // COLUMNS * COLUMNS
    for n in range(thread * share, min(outputs, (thread + 1) * share), ROWS):
        m = 0
        while m < rows:
            tile = Tile(
                w_at=quants_at + n * w_stride, w_stride=w_stride, s_at=scales_at + n * s_stride, s_stride=s_stride,
                first=m, inputs=inputs, bits=bits, row_scales_at=row_scales_at + n,
                bias_at=bias_at + (n if bias_at >= 0 else 0), out_at=m * y_stride + n, out_stride=y_stride, residual=residual,
            )  # fmt: skip
            if m < together:
                tile_of_many(packed, acts, y_MN, tile)
                m += COLUMNS
            else:
                tile_of_one(packed, acts, y_MN, tile)
                m += 1
