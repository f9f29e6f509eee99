"""Integer dot products of a few weight rows with a few activation rows: the loop in which decoding spends its time.

Weights have 8 bits and meet activations of 12 bits, or 4 bits and meet activations of 8; sums are exact in int32. So a result
does not depend on how many rows are computed together: one byte, a drafted run and a batch of requests give the same bits.

Numba has no vectors of its own, so the loops are written in LLVM's and compiled on the user's machine for its CPU: with the
multiply-add instructions of AVX2 on x86, with whatever LLVM finds for the same sums elsewhere.
"""

# Shape suffixes: R weight rows, C activation rows, K inputs.

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16  # products of two bytes each at once
BLOCK = 32  # weights of 4 bits that share a scale
CHUNK = 2 * BLOCK  # and as many lie together: a block in the low bits of 32 bytes, the next one in the high bits
GROUP = 8  # scales, and sums of activations, are padded to groups of as many

_HAS_AVX2 = bool(llvmlite.binding.get_host_cpu_features().get("avx2"))
_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def vector(kind: Any, lanes: int) -> Any:
    """The type of a vector."""
    return ir.VectorType(kind, lanes)


def splat(builder: Any, value: Any, lanes: int) -> Any:
    """A vector of the same number."""
    one = builder.insert_element(ir.Constant(vector(value.type, lanes), ir.Undefined), value, _I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(vector(_I32, lanes), [0] * lanes))


def load(builder: Any, pointer: Any, kind: Any, lanes: int) -> Any:
    """A vector from memory, aligned like one number."""
    loaded = builder.load(builder.bitcast(pointer, vector(kind, lanes).as_pointer()))
    loaded.align = kind.width // 8
    return loaded


def _call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _pairs(builder: Any, a: Any, b: Any, wide: Any, *, unsigned: bool = False) -> Any:
    """Sums of neighbouring products, as integers of type `wide`; `unsigned` is of `a`."""
    half = vector(wide, a.type.count // 2)
    parts = []
    for first in (0, 1):
        mask = ir.Constant(vector(_I32, a.type.count // 2), list(range(first, a.type.count, 2)))
        left, right = (builder.shuffle_vector(v, v, mask) for v in (a, b))
        parts.append(builder.mul((builder.zext if unsigned else builder.sext)(left, half), builder.sext(right, half)))
    return builder.add(*parts)


def _words(builder: Any, a: Any, b: Any) -> Any:
    """(16,) or (8,) int16 twice to half as many int32: sums of neighbouring products."""
    if _HAS_AVX2:  # LLVM does not find this instruction by itself, and without it everything takes twice as long
        name = "llvm.x86.avx2.pmadd.wd" if a.type.count == LANES else "llvm.x86.sse2.pmadd.wd"
        return _call(builder, name, vector(_I32, a.type.count // 2), a, b)
    return _pairs(builder, a, b, _I32)


def _bytes(builder: Any, numbers: Any, x: Any) -> Any:
    """(32,) numbers of 4 bits and (32,) int8 to (16,) int16: sums of neighbouring products, which always fit."""
    if _HAS_AVX2:
        return _call(builder, "llvm.x86.avx2.pmadd.ub.sw", vector(_I16, LANES), numbers, x)
    return _pairs(builder, numbers, x, _I16, unsigned=True)


class _Tile:
    """Writes the code of one tile: the sums of `rows` weight rows with `cols` activation rows."""

    def __init__(self, context: Any, builder: Any, kinds: Any, args: Any, rows: int, cols: int) -> None:
        self.builder = builder
        weights, w_at, w_stride, scales, s_at, s_stride, words, small, sums, first, self.inputs, self.bits, out, out_at = args

        def pointers(number: int, array: Any, at: Any, stride: Any, count: int) -> list[Any]:
            data = context.make_array(kinds[number])(context, builder, array).data
            return [builder.gep(data, [builder.add(at, builder.mul(stride, _I64(n)))]) for n in range(count)]

        self.groups = builder.udiv(builder.add(self.inputs, _I64(BLOCK * GROUP - 1)), _I64(BLOCK * GROUP))
        blocks = builder.mul(self.groups, _I64(GROUP))
        x_at = builder.mul(first, self.inputs)
        self.weights = pointers(0, weights, w_at, w_stride, rows)
        self.scales = pointers(3, scales, s_at, s_stride, rows)
        self.words = pointers(6, words, x_at, self.inputs, cols)
        self.small = pointers(7, small, x_at, self.inputs, cols)
        self.block_sums = pointers(8, sums, builder.mul(first, blocks), blocks, cols)
        self.out = builder.gep(context.make_array(kinds[12])(context, builder, out).data, [out_at])
        zero = ir.Constant(vector(_I32, LANES // 2), None)
        self.totals = [[cgutils.alloca_once_value(builder, zero) for _ in range(cols)] for _ in range(rows)]
        zero = ir.Constant(vector(_I32, GROUP // 2), None)
        self.offsets = [[cgutils.alloca_once_value(builder, zero) for _ in range(cols)] for _ in range(rows)]

    def write(self) -> None:
        """The whole tile."""
        builder = self.builder
        with builder.if_else(builder.icmp_signed("==", self.bits, _I64(8))) as (of_8, of_4):
            with of_8, cgutils.for_range(builder, builder.udiv(self.inputs, _I64(LANES))) as loop:
                self._of_8(builder.mul(loop.index, _I64(LANES)))
            with of_4:
                with cgutils.for_range(builder, builder.udiv(self.inputs, _I64(CHUNK))) as loop:
                    self._of_4(loop.index)
                with cgutils.for_range(builder, self.groups) as loop:
                    self._offset(builder.mul(loop.index, _I64(GROUP)))
        for r, row in enumerate(self.totals):
            for c, total in enumerate(row):
                whole = _call(builder, "llvm.vector.reduce.add.v8i32", _I32, builder.load(total))
                offset = _call(builder, "llvm.vector.reduce.add.v4i32", _I32, builder.load(self.offsets[r][c]))
                whole = builder.sub(whole, builder.shl(offset, _I32(3)))
                builder.store(whole, builder.gep(self.out, [_I64(r * len(row) + c)]))

    def _of_8(self, at: Any) -> None:
        builder = self.builder
        loaded = [load(builder, builder.gep(pointer, [at]), _I8, LANES) for pointer in self.weights]
        wide = [builder.sext(weights, vector(_I16, LANES)) for weights in loaded]
        for c, pointer in enumerate(self.words):
            x = load(builder, builder.gep(pointer, [at]), _I16, LANES)
            for r, weights in enumerate(wide):
                self._add(r, c, _words(builder, weights, x))

    def _of_4(self, chunk: Any) -> None:
        """Numbers from 0 to 15 times activations, times the scale of their block; `_offset` takes 8 from each number."""
        builder = self.builder
        at = builder.mul(chunk, _I64(BLOCK))
        packed = [load(builder, builder.gep(pointer, [at]), _I8, BLOCK) for pointer in self.weights]
        four, mask = (ir.Constant(vector(_I8, BLOCK), [number] * BLOCK) for number in (4, 15))
        for part in (0, 1):
            block = builder.add(builder.mul(chunk, _I64(2)), _I64(part))
            numbers = [builder.lshr(two, four) if part else builder.and_(two, mask) for two in packed]
            scales = [splat(builder, builder.load(builder.gep(pointer, [block])), LANES) for pointer in self.scales]
            for c, pointer in enumerate(self.small):
                x = load(builder, builder.gep(pointer, [builder.mul(block, _I64(BLOCK))]), _I8, BLOCK)
                for r, number in enumerate(numbers):
                    self._add(r, c, _words(builder, _bytes(builder, number, x), scales[r]))

    def _add(self, r: int, c: int, more: Any) -> None:
        total = self.totals[r][c]
        self.builder.store(self.builder.add(self.builder.load(total), more), total)

    def _offset(self, block: Any) -> None:
        builder = self.builder
        sums = [load(builder, builder.gep(pointer, [block]), _I16, GROUP) for pointer in self.block_sums]
        for r, pointer in enumerate(self.scales):
            scales = load(builder, builder.gep(pointer, [block]), _I16, GROUP)
            for c, of_block in enumerate(sums):
                place = self.offsets[r][c]
                builder.store(builder.add(builder.load(place), _words(builder, scales, of_block)), place)


def _tile(rows: int, cols: int) -> Any:
    """A kernel that writes the dot products of `rows` weight rows with `cols` activation rows into an int32 array, row by row.

    Called as f(weights uint8, at, stride, scales int16, at, stride, words int16, small int8, sums int16, first activation row,
    K, bits, out int32, at); strides and places count elements. For 8 bits `words` are the activations, for 4 bits `small`,
    and `sums` those of each BLOCK of them; `scales` are those of the blocks of weights.
    """

    def tile(
        typing: Any, weights: Any, w_at: Any, w_stride: Any, scales: Any, s_at: Any, s_stride: Any, words: Any, small: Any,
        sums: Any, first: Any, k: Any, bits: Any, out: Any, out_at: Any,
    ) -> Any:  # fmt: skip
        wide = types.int64
        signature = types.void(weights, wide, wide, scales, wide, wide, words, small, sums, wide, wide, wide, out, wide)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _Tile(context, builder, signature.args, args, rows, cols).write()
            return context.get_dummy_value()

        return signature, codegen

    tile.__name__ = tile.__qualname__ = f"tile_{rows}x{cols}"
    return intrinsic(tile)


def groups(inputs: int) -> int:
    """How many groups of scales a row of weights has."""
    return -(-inputs // (BLOCK * GROUP))


tile_4x1, tile_2x4, tile_1x1 = _tile(4, 1), _tile(2, 4), _tile(1, 1)
