"""Integer dot products of a few weight rows with a few activation rows: the loop in which decoding spends its time.

Weights have 8 bits and meet activations of 12 bits, or 4 bits and meet activations of 8; sums are exact in int32. So a result
does not depend on how many rows are computed together: one byte, a drafted run and a batch of requests give the same bits.

Numba has no vectors of its own, so the loops are written in LLVM's and compiled on the user's machine for its CPU: on x86 with
the dot products of VNNI in the widest vectors there are, or else with the multiply-add instructions of AVX2; elsewhere with
whatever LLVM finds for the same sums. All of them are exact, so every machine gives the same sums.
"""

# Indices: r weight rows, c activation rows.

from __future__ import annotations

from typing import Any, NamedTuple

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

ROWS = 4  # weight rows of a tile, and below ...
BLOCK = 32  # weights of 4 bits that share a scale
CHUNK = 2 * BLOCK  # and as many lie together: a block in the low bits of 32 bytes, the next one in the high bits
GROUP = 8  # scales, and sums of activations, are padded to groups of as many

_HAS = llvmlite.binding.get_host_cpu_features()
_HAS_AVX2 = bool(_HAS.get("avx2"))
_WIDE_VNNI = all(_HAS.get(name) for name in ("avx512vnni", "avx512bw"))
_VNNI = _WIDE_VNNI or bool(_HAS.get("avxvnni"))
BYTES = CHUNK if _WIDE_VNNI else BLOCK  # of a vector: one or two blocks of 4-bit weights and their activations at once
SUMS = BYTES // 4  # and as many sums of 32 bits
COLUMNS = 4 if _HAS.get("avx512f") else 2  # ... the activation rows whose sums registers have room for
_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_F32 = ir.FloatType()


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
    loaded.align = 4 if kind is _F32 else kind.width // 8
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


def _words(builder: Any, total: Any, a: Any, b: Any) -> Any:
    """`total` (int32) and the sums of neighbouring products of twice as many int16."""
    count = a.type.count
    if _VNNI and count > GROUP:
        kind = vector(_I32, count // 2)
        return _call(builder, f"llvm.x86.avx512.vpdpwssd.{32 * kind.count}", kind, total, *_as(builder, kind, a, b))
    if _HAS_AVX2:  # LLVM does not find this instruction by itself, and without it everything takes twice as long
        name = "llvm.x86.avx2.pmadd.wd" if count > GROUP else "llvm.x86.sse2.pmadd.wd"
        return builder.add(total, _call(builder, name, vector(_I32, count // 2), a, b))
    return builder.add(total, _pairs(builder, a, b, _I32))


def _scaled(builder: Any, total: Any, numbers: Any, x: Any, scales: Any) -> Any:
    """`total` (SUMS,) and the products of numbers of 4 bits (BYTES,) and int8, times the scales that `_TileCode._scales` made.

    Sums of two or four products always fit into 16 bits.
    """
    if _VNNI:  # a sum of four is the lower half of 32 bits; the upper half, its sign, meets a 0
        zero = ir.Constant(total.type, None)
        name = f"llvm.x86.avx512.vpdpbusd.{8 * BYTES}"
        sums = _call(builder, name, total.type, zero, *_as(builder, total.type, numbers, x))
        return _words(builder, total, *_as(builder, scales.type, sums), scales)
    if _HAS_AVX2:
        sums = _call(builder, "llvm.x86.avx2.pmadd.ub.sw", vector(_I16, BYTES // 2), numbers, x)
    else:
        sums = _pairs(builder, numbers, x, _I16, unsigned=True)
    return _words(builder, total, sums, scales)


def _as(builder: Any, kind: Any, *vectors: Any) -> list[Any]:
    """The same bits as vectors of another type."""
    return [builder.bitcast(one, kind) for one in vectors]


class _TileCode:
    """Writes the code of one tile: ROWS outputs of `cols` activation rows."""

    def __init__(self, context: Any, builder: Any, kinds: Any, args: Any, cols: int) -> None:
        self.builder = builder
        packed, acts, out, _ = range(4)  # places in `args`
        at = Tile(*cgutils.unpack_tuple(builder, args[-1]))

        def pointers(which: int, name: str, place: Any, stride: Any, count: int) -> list[Any]:
            """Pointers into the array `name` of an argument, `stride` apart; an argument that is an array has no name."""
            kind, array = kinds[which], args[which]
            if name:
                number = kind.fields.index(name)
                kind, array = kind.types[number], builder.extract_value(array, number)
            data = context.make_array(kind)(context, builder, array).data
            return [builder.gep(data, [builder.add(place, builder.mul(stride, _I64(n)))]) for n in range(count)]

        one = _I64(1)
        self.inputs, self.bits, self.bias_at, self.residual = at.inputs, at.bits, at.bias_at, at.residual
        self.groups = builder.udiv(builder.add(self.inputs, _I64(BLOCK * GROUP - 1)), _I64(BLOCK * GROUP))
        blocks = builder.mul(self.groups, _I64(GROUP))
        x_at = builder.mul(at.first, self.inputs)
        bias_at = builder.select(builder.icmp_signed("<", at.bias_at, _I64(0)), _I64(0), at.bias_at)
        self.weights = pointers(packed, "quants", at.w_at, at.w_stride, ROWS)
        self.scales = pointers(packed, "scales", at.s_at, at.s_stride, ROWS)
        (self.row_scales,) = pointers(packed, "floats", at.row_scales_at, one, 1)
        (self.bias,) = pointers(packed, "floats", bias_at, one, 1)
        self.words = pointers(acts, "words", x_at, self.inputs, cols)
        self.small = pointers(acts, "small", x_at, self.inputs, cols)
        self.block_sums = pointers(acts, "sums", builder.mul(at.first, blocks), blocks, cols)
        self.x_scales = pointers(acts, "row_scales", at.first, one, cols)
        self.out = pointers(out, "", at.out_at, at.out_stride, cols)
        zero, offset = (ir.Constant(vector(_I32, lanes), None) for lanes in (SUMS, GROUP // 2))
        self.totals = [[cgutils.alloca_once_value(builder, zero) for _ in range(cols)] for _ in range(ROWS)]
        self.offsets = [[cgutils.alloca_once_value(builder, offset) for _ in range(cols)] for _ in range(ROWS)]

    def write(self) -> None:
        """The whole tile."""
        builder = self.builder
        with builder.if_else(builder.icmp_signed("==", self.bits, _I64(8))) as (of_8, of_4):
            with of_8, cgutils.for_range(builder, builder.udiv(self.inputs, _I64(2 * SUMS))) as loop:
                self._of_8(builder.mul(loop.index, _I64(2 * SUMS)))
            with of_4:
                with cgutils.for_range(builder, builder.udiv(self.inputs, _I64(CHUNK))) as loop:
                    self._of_4(loop.index)
                with cgutils.for_range(builder, self.groups) as loop:
                    self._offset(builder.mul(loop.index, _I64(GROUP)))
        for c in range(len(self.out)):
            self._finish(c)

    def _of_8(self, at: Any) -> None:
        builder = self.builder
        x = [load(builder, builder.gep(pointer, [at]), _I16, 2 * SUMS) for pointer in self.words]
        for r, pointer in enumerate(self.weights):
            weights = builder.sext(load(builder, builder.gep(pointer, [at]), _I8, 2 * SUMS), vector(_I16, 2 * SUMS))
            for c, activations in enumerate(x):
                place = self.totals[r][c]
                builder.store(_words(builder, builder.load(place), weights, activations), place)

    def _of_4(self, chunk: Any) -> None:
        """Numbers from 0 to 15 times activations, times the scale of their block; `_offset` takes 8 from each number."""
        builder = self.builder
        at = builder.mul(chunk, _I64(BLOCK))
        packed = [load(builder, builder.gep(pointer, [at]), _I8, BLOCK) for pointer in self.weights]
        for part in range(CHUNK // BYTES):
            block = builder.add(builder.mul(chunk, _I64(2)), _I64(part))
            place = builder.mul(block, _I64(BLOCK))
            x = [load(builder, builder.gep(pointer, [place]), _I8, BYTES) for pointer in self.small]
            for r, two in enumerate(packed):
                numbers, scales = self._numbers(two, part), self._scales(r, block)
                for c, activations in enumerate(x):
                    total = self.totals[r][c]
                    builder.store(_scaled(builder, builder.load(total), numbers, activations, scales), total)

    def _numbers(self, two: Any, part: int) -> Any:
        """(BYTES,) numbers of 4 bits out of the bytes of a chunk: both of its blocks, or the one in the low or high bits."""
        builder, words = self.builder, vector(_I16, BYTES // 2)
        if BYTES == CHUNK:
            two = builder.shuffle_vector(two, two, ir.Constant(vector(_I32, BYTES), [*range(BLOCK), *range(BLOCK)]))
            shifts = [0] * (BLOCK // 2) + [4] * (BLOCK // 2)
        else:
            shifts = [4 * part] * (BLOCK // 2)
        shifted = builder.lshr(builder.bitcast(two, words), ir.Constant(words, shifts))
        return builder.and_(builder.bitcast(shifted, vector(_I8, BYTES)), ir.Constant(vector(_I8, BYTES), [15] * BYTES))

    def _scales(self, r: int, block: Any) -> Any:
        """(2 * SUMS,) int16: the scale of the block, or with VNNI that of each sum's block and a 0."""
        builder, place, blocks = self.builder, self.builder.gep(self.scales[r], [block]), BYTES // BLOCK
        if not _VNNI:
            return splat(builder, builder.load(place), 2 * SUMS)
        loaded = builder.zext(load(builder, place, _I16, blocks), vector(_I32, blocks))
        each = [number for number in range(blocks) for _ in range(SUMS // blocks)]
        spread = builder.shuffle_vector(loaded, loaded, ir.Constant(vector(_I32, SUMS), each))
        return builder.bitcast(spread, vector(_I16, 2 * SUMS))

    def _offset(self, block: Any) -> None:
        builder = self.builder
        sums = [load(builder, builder.gep(pointer, [block]), _I16, GROUP) for pointer in self.block_sums]
        for r, pointer in enumerate(self.scales):
            scales = load(builder, builder.gep(pointer, [block]), _I16, GROUP)
            for c, of_block in enumerate(sums):
                place = self.offsets[r][c]
                builder.store(_words(builder, builder.load(place), scales, of_block), place)

    def _finish(self, c: int) -> None:
        """Scale the sums of ROWS outputs, add bias and what is there where the map wants it, and store them."""
        builder, four = self.builder, vector(_F32, ROWS)
        whole = self._summed([builder.load(self.totals[r][c]) for r in range(ROWS)])
        offset = self._summed([builder.load(self.offsets[r][c]) for r in range(ROWS)])
        whole = builder.sub(whole, builder.shl(offset, ir.Constant(vector(_I32, ROWS), [3] * ROWS)))
        scale = builder.fmul(load(builder, self.row_scales, _F32, ROWS), splat(builder, builder.load(self.x_scales[c]), ROWS))
        place = builder.bitcast(self.out[c], four.as_pointer())
        value = cgutils.alloca_once_value(builder, builder.fmul(builder.sitofp(whole, four), scale))
        with builder.if_then(builder.icmp_signed(">=", self.bias_at, _I64(0))):
            builder.store(builder.fadd(builder.load(value), load(builder, self.bias, _F32, ROWS)), value)
        with builder.if_then(builder.icmp_signed("!=", self.residual, _I64(0))):
            builder.store(builder.fadd(builder.load(value), load(builder, self.out[c], _F32, ROWS)), value)
        builder.store(builder.load(value), place).align = 4

    def _summed(self, vectors: list[Any]) -> Any:
        """The sum of each of four vectors, as one: neighbours are added until one number of each is left."""
        while len(vectors) > 1 or vectors[0].type.count > ROWS:
            rights = vectors[1::2] or [None]
            vectors = [self._neighbours(left, right) for left, right in zip(vectors[::2], rights, strict=True)]
        return vectors[0]

    def _neighbours(self, left: Any, right: Any) -> Any:
        lanes = left.type.count * (1 if right is None else 2)
        right = left if right is None else right
        even, odd = (ir.Constant(vector(_I32, lanes // 2), list(range(first, lanes, 2))) for first in (0, 1))
        return self.builder.add(self.builder.shuffle_vector(left, right, even), self.builder.shuffle_vector(left, right, odd))


class Tile(NamedTuple):
    """Where a tile lies in the arrays of `Packed`, `Activations` and the output. Places and strides count elements.

    Weights begin at `w_at`, the scales of their blocks at `s_at`; `first` is the first row of activations. Outputs are scaled
    by the row scales at `row_scales_at`, get the bias at `bias_at` unless that is negative, and are put to `out_at`, or added
    to what is there where the map is `residual`.
    """

    w_at: Any
    w_stride: Any
    s_at: Any
    s_stride: Any
    first: Any
    inputs: Any
    bits: Any
    row_scales_at: Any
    bias_at: Any
    out_at: Any
    out_stride: Any
    residual: Any


def _tile(cols: int) -> Any:
    """A kernel for ROWS weight rows and `cols` rows of activations: called with `Packed`, `Activations`, the output, `Tile`."""

    def tile(typing: Any, packed: Any, acts: Any, out: Any, tile: Any) -> Any:
        places = types.NamedUniTuple(types.int64, len(Tile._fields), Tile)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            _TileCode(context, builder, signature.args, args, cols).write()
            return context.get_dummy_value()

        return types.void(packed, acts, out, places), codegen

    tile.__name__ = tile.__qualname__ = "tile_of_one" if cols == 1 else "tile_of_many"
    return intrinsic(tile)


def groups(inputs: int) -> int:
    """How many groups of scales a row of weights has."""
    return -(-inputs // (BLOCK * GROUP))


tile_of_one, tile_of_many = _tile(1), _tile(COLUMNS)
