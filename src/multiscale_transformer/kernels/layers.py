"""Layers of the forward pass, as `model.layers` has them: norm, linear map and SwiGLU, shared by all threads of a step."""

# Shape suffixes: E width, R rows.

# Numba infers types; those of named tuples are written for the reader.
# mypy: disallow-incomplete-defs=false

from __future__ import annotations

import numpy as np

from multiscale_transformer.kernels.barrier import barrier_wait
from multiscale_transformer.kernels.jit import jit_device, jit_fastmath
from multiscale_transformer.kernels.network import Buffers, Network
from multiscale_transformer.kernels.numerics import exp_nonpositive
from multiscale_transformer.kernels.quantized_linear import multiply, quantize_row


@jit_fastmath
def rms_norm(x_E, out_E):
    """A row at unit root mean square."""
    total = np.float32(0.0)
    for e in range(x_E.shape[0]):
        total += x_E[e] * x_E[e]
    scale = np.float32(np.sqrt(np.float32(x_E.shape[0]))) / max(np.float32(np.sqrt(total)), np.float32(1e-6))
    for e in range(x_E.shape[0]):
        out_E[e] = x_E[e] * scale


@jit_device
def rms_norm_rows(x_RE, count, out_RE, thread, threads):
    """`rms_norm` for `count` rows."""
    for n in range(thread, count, threads):
        rms_norm(x_RE[n], out_RE[n, : x_RE.shape[1]])


@jit_device
def linear(net: Network, index, x, count, work: Buffers, y, thread, threads):
    """Apply the linear map `index` to `count` rows of `x`: into `y`, or added to it where the map is residual.

    Rows are quantized first; all threads meet before and after the product.
    """
    for n in range(thread, count, threads):
        quantize_row(net.packed, index, x[n], n, work.acts)
    barrier_wait(work.barrier, threads)
    multiply(net.packed, index, count, work.acts, y, thread, threads)
    barrier_wait(work.barrier, threads)


@jit_fastmath
def swiglu(x, count, width, thread, threads):
    """silu(gate) * up in place: the first half of each row."""
    for n in range(thread, count, threads):
        for f in range(width):
            gate = x[n, f]
            small = exp_nonpositive(-abs(gate))
            sigmoid = (np.float32(1.0) if gate >= 0 else small) / (np.float32(1.0) + small)
            x[n, f] = gate * sigmoid * x[n, width + f]
