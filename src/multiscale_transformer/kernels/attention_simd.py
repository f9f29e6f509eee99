"""The two loops of attention over a page of bfloat16 keys and values, in LLVM's vectors (see `gemm_int8`).

Both keep their sums in registers while they run along memory; Numba's own loops went through memory for every product.
"""

# Shape suffixes: J rows of a page (a multiple of LANES), D head width.

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from multiscale_transformer.kernels.gemm_int8 import load, splat, vector

LANES = 8  # rows of a page come in as many
_WIDE = bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))
# Vectors whose sums are kept at once, and the lanes of each: the most that fit first.
TOGETHER = ((4, 16), (2, 16), (1, 16), (1, LANES)) if _WIDE else ((4, LANES), (2, LANES), (1, LANES))

_I16, _I32, _I64, _F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()


def _widened(builder: Any, pointer: Any, lanes: int) -> Any:
    """Numbers of bfloat16 as float32."""
    wide = builder.zext(load(builder, pointer, _I16, lanes), vector(_I32, lanes))
    shifted = builder.shl(wide, ir.Constant(vector(_I32, lanes), [16] * lanes))
    return builder.bitcast(shifted, vector(_F32, lanes))


def _sums(
    builder: Any, length: Any, first: Any, count: int, lanes: int, begin: Any, weight: Any, numbers: Any, out: Any
) -> None:
    """`count` vectors of sums over `length` steps: sum of weight(step) * numbers(step)[vector], from `begin`, to `out`."""
    totals = [cgutils.alloca_once(builder, vector(_F32, lanes)) for _ in range(count)]
    places = [builder.add(first, _I64(n * lanes)) for n in range(count)]
    for total, place in zip(totals, places, strict=True):
        builder.store(begin(place, lanes), total)
    with cgutils.for_range(builder, length) as loop:
        factor = splat(builder, weight(loop.index), lanes)
        for total, place in zip(totals, places, strict=True):
            product = builder.fmul(_widened(builder, numbers(loop.index, place), lanes), factor, flags=["contract"])
            builder.store(builder.fadd(product, builder.load(total), flags=["contract"]), total)
    for total, place in zip(totals, places, strict=True):
        store = builder.store(builder.load(total), builder.bitcast(builder.gep(out, [place]), vector(_F32, lanes).as_pointer()))
        store.align = 4


def _over(builder: Any, size: Any, length: Any, begin: Any, weight: Any, numbers: Any, out: Any) -> None:
    """`_sums` for all `size` numbers of `out`: as many vectors at once as there are left."""
    done = cgutils.alloca_once_value(builder, _I64(0))
    for count, lanes in TOGETHER:
        step = _I64(count * lanes)
        rounds = builder.udiv(builder.sub(size, builder.load(done)), step)
        start = builder.load(done)
        with cgutils.for_range(builder, rounds) as loop:
            first = builder.add(start, builder.mul(loop.index, step))
            _sums(builder, length, first, count, lanes, begin, weight, numbers, out)
        builder.store(builder.add(start, builder.mul(rounds, step)), done)


def _data(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


def _score_page(typing: Any, page: Any, at: Any, rows: Any, seen: Any, q_D: Any, width: Any, scores: Any, first: Any) -> Any:
    """Dot products of a query with the first `seen` of `rows` keys, which lie transposed (width, rows) from `at` on, into
    scores[first:]. `seen` is a multiple of LANES."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        keys = _data(context, builder, kinds[0], args[0], args[1])
        query = _data(context, builder, kinds[4], args[4], _I64(0))
        out = _data(context, builder, kinds[6], args[6], args[7])

        def begin(place: Any, lanes: int) -> Any:
            return ir.Constant(vector(_F32, lanes), [0.0] * lanes)

        def numbers(step: Any, place: Any) -> Any:
            return builder.gep(keys, [builder.add(builder.mul(step, args[2]), place)])

        _over(builder, args[3], args[5], begin, lambda step: builder.load(builder.gep(query, [step])), numbers, out)
        return context.get_dummy_value()

    return types.void(page, types.int64, types.int64, types.int64, q_D, types.int64, scores, types.int64), codegen


def _sum_page(typing: Any, page: Any, at: Any, seen: Any, weights: Any, first: Any, width: Any, out_D: Any) -> Any:
    """Add to `out_D` the first `seen` values, (rows, width) from `at` on, times weights[first:].

    Only whole vectors of `out_D` are added to: `width` is cut to a multiple of LANES.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        values = _data(context, builder, kinds[0], args[0], args[1])
        factors = _data(context, builder, kinds[3], args[3], args[4])
        out = _data(context, builder, kinds[6], args[6], _I64(0))

        def begin(place: Any, lanes: int) -> Any:
            loaded = builder.load(builder.bitcast(builder.gep(out, [place]), vector(_F32, lanes).as_pointer()))
            loaded.align = 4
            return loaded

        def numbers(step: Any, place: Any) -> Any:
            return builder.gep(values, [builder.add(builder.mul(step, args[5]), place)])

        _over(builder, args[5], args[2], begin, lambda step: builder.load(builder.gep(factors, [step])), numbers, out)
        return context.get_dummy_value()

    return types.void(page, types.int64, types.int64, weights, types.int64, types.int64, out_D), codegen


score_page: Any = intrinsic(_score_page)
sum_page: Any = intrinsic(_sum_page)
