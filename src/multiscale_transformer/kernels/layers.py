"""What happens to the rows of a step between attention: norms, linear maps and the feed-forward part, shared by all threads."""

# Shape suffixes: E width.

from __future__ import annotations

import numpy as np

from multiscale_transformer.kernels.barrier import barrier_wait
from multiscale_transformer.kernels.jit import jit_device, jit_fastmath
from multiscale_transformer.kernels.numerics import exp_nonpositive
from multiscale_transformer.kernels.quantized_linear import OUTPUTS, multiply, quantize_row


@jit_fastmath
def normalise(x_E, out_E):
    """A row at unit root mean square."""
    total = np.float32(0.0)
    for e in range(x_E.shape[0]):
        total += x_E[e] * x_E[e]
    scale = np.float32(np.sqrt(np.float32(x_E.shape[0]))) / max(np.float32(np.sqrt(total)), np.float32(1e-6))
    for e in range(x_E.shape[0]):
        out_E[e] = x_E[e] * scale


@jit_device
def normalised(x, count, out, thread, threads):
    """`normalise` for `count` rows."""
    for n in range(thread, count, threads):
        normalise(x[n], out[n, : x.shape[1]])


@jit_device
def linear(net, index, x, count, work, y, thread, threads):
    """Quantize rows and multiply; all threads meet before and after the product."""
    for n in range(thread, count, threads):
        quantize_row(net.packed.maps_L9[index], x[n], n, work.acts)
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


@jit_device
def feed_forward(net, w13, w2, x, count, work, thread, threads):
    """Norm, SwiGLU, and its output added to the rows."""
    normalised(x, count, work.narrow, thread, threads)
    linear(net, w13, work.narrow, count, work, work.wide, thread, threads)
    swiglu(work.wide, count, net.packed.maps_L9[w13, OUTPUTS] // 2, thread, threads)
    linear(net, w2, work.wide, count, work, x, thread, threads)
