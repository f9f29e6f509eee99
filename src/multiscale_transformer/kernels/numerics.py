"""Small numerical parts that Numba lacks: bfloat16, and an exponential that vectorises."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from multiscale_transformer.kernels.jit import kernel

_I32, _F32 = ir.IntType(32), ir.FloatType()


@intrinsic
def bits_of(typing: Any, value: Any) -> Any:
    """The bits of a float32 as uint32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _I32)

    return types.uint32(types.float32), codegen


@intrinsic
def float_of(typing: Any, value: Any) -> Any:
    """The float32 with these bits."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _F32)

    return types.float32(types.uint32), codegen


@kernel(inline="always")
def to_bf16(value):
    """The upper half of a float32, rounded to nearest, ties to even."""
    bits = bits_of(np.float32(value))
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@kernel(inline="always")
def from_bf16(value):
    """A bfloat16 as float32, exactly."""
    return float_of(np.uint32(value) << np.uint32(16))


@kernel(fastmath={"contract"})
def exp_nonpositive(x):
    """exp(x) for x <= 0 as float32, to 2 units of the last place (Cephes' polynomial); vectorises, unlike a call to libm."""
    x = max(np.float32(x), np.float32(-87.0))
    n = np.floor(x * np.float32(1.44269504088896341) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1.0)
    return p * float_of(np.uint32(np.int32(n) + np.int32(127)) << np.uint32(23))
