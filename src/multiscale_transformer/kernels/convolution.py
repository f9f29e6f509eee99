"""Convolutions of pictures with packed weights of 8 bits: the patch under each output is a row of activations.

A few hundred patches are quantised at a time, so that they stay in the cache of a core while all outputs are made from them
(`quantized_linear`). Sums are exact in integers, so a picture gives the same numbers in any batch.
"""

# Shape suffixes: B pictures, H rows, W columns, C channels, K inputs of a patch, M patches, N outputs.

from __future__ import annotations

import numpy as np

from multiscale_transformer.kernels.jit import jit_entry
from multiscale_transformer.kernels.quantized_linear import multiply, quantize_row

PATCHES = 64  # that are quantised and multiplied at once


@jit_entry
def convolve(packed, index, x_BHWC, kernel, stride, pad, acts, patch_K, rows_MN, relu, out_BHWN):
    """The convolution `index` of `packed` on pictures, with zeros `pad` wide around them, into `out_BHWN`.

    `acts`, `patch_K` and `rows_MN` are room for PATCHES patches. Rows of `rows_MN` are as long as the outputs of the map are
    padded; `out_BHWN` gets the first N of them, negative ones as zeros where `relu` is set.
    """
    pictures, height, width, channels = x_BHWC.shape
    rows, columns, outputs = out_BHWN.shape[1], out_BHWN.shape[2], out_BHWN.shape[3]
    total = pictures * rows * columns
    for first in range(0, total, PATCHES):
        count = min(PATCHES, total - first)
        for m in range(count):
            number = first + m
            b, rest = number // (rows * columns), number % (rows * columns)
            top, left = rest // columns * stride - pad, rest % columns * stride - pad
            k = 0
            for i in range(kernel):
                y = top + i
                for j in range(kernel):
                    x = left + j
                    if 0 <= y < height and 0 <= x < width:
                        for c in range(channels):
                            patch_K[k + c] = x_BHWC[b, y, x, c]
                    else:
                        for c in range(channels):
                            patch_K[k + c] = np.float32(0.0)
                    k += channels
            quantize_row(packed, index, patch_K, m, acts)
        multiply(packed, index, count, acts, rows_MN, 0, 1)
        for m in range(count):
            number = first + m
            b, rest = number // (rows * columns), number % (rows * columns)
            y, x = rest // columns, rest % columns
            for n in range(outputs):
                value = rows_MN[m, n]
                out_BHWN[b, y, x, n] = np.float32(0.0) if relu and value < 0 else value
