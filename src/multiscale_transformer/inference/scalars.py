"""Small numerical parts that Numba lacks: bfloat16, an exponential that vectorises, and a barrier between threads."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from multiscale_transformer.memory.compiling import kernel

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()


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


@intrinsic
def _add(typing: Any, state: Any, at: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        return builder.atomic_rmw("add", pointer, args[2], "seq_cst")

    return types.int64(state, types.int64, types.int64), codegen


@intrinsic
def _read(typing: Any, state: Any, at: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(state, types.int64), codegen


@intrinsic
def _write(typing: Any, state: Any, at: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        builder.store_atomic(args[2], pointer, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(state, types.int64, types.int64), codegen


@kernel()
def meet(state, threads):
    """Wait until all `threads` have come here; `state` is two int64, both 0 at first and for them alone."""
    if threads == 1:
        return
    turn = _read(state, 1)
    if _add(state, 0, 1) == threads - 1:
        _write(state, 0, 0)
        _write(state, 1, turn + 1)
    else:
        while _read(state, 1) == turn:
            pass
