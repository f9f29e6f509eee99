"""From a checkpoint to packed weights, without PyTorch: 8 or 4 bits for each linear map, the rest in floating point."""

# Shape suffixes: N outputs, K inputs, G blocks of a row, C candidates for a scale.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.gemm_int8 import BLOCK, CHUNK, GROUP, ROWS, groups
from multiscale_transformer.kernels.quantized_linear import LINEAR, Packed

Floats = npt.NDArray[np.float32]

LARGEST_SCALE = 255  # of a block of 4-bit weights; its row has a scale in floating point besides
MAX_INPUTS = 4096  # so that sums of 32 bits cannot overflow: 127 * 2047 * 4096 and 15 * 255 * 127 * 4096 are below 2**31
_TRIED = np.array([0.8, 0.85, 0.9, 0.95, 1.0, 1.05], np.float32)


@dataclass
class Packer:
    """Collects linear maps; `packed` joins them."""

    quants: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    scales: list[npt.NDArray[np.int16]] = field(default_factory=list)
    floats: list[Floats] = field(default_factory=list)
    linears: list[tuple[int, ...]] = field(default_factory=list)  # rows of LINEAR

    def add(self, weight_NK: Floats, bias_N: Floats | None, bits: int, *, residual: bool = False) -> int:
        """Pack a map in 8 or 4 bits a weight; returns its number. The result of a `residual` one is added to what is there."""
        used = weight_NK.shape[1]
        weight_NK = np.pad(weight_NK, ((0, -len(weight_NK) % ROWS), (0, -used % CHUNK)))
        scales_NG = np.zeros((0, 0), np.int16)
        if bits == 8:
            quants, rows_N = pack_8(weight_NK)
        else:
            quants, scales_NG, rows_N = pack_4(weight_NK)
            scales_NG = np.pad(scales_NG, ((0, 0), (0, groups(weight_NK.shape[1]) * GROUP - scales_NG.shape[1])))
        places = (_length(self.quants), _length(self.scales), _length(self.floats))
        self.quants.append(quants.reshape(-1))
        self.scales.append(scales_NG.reshape(-1))
        self.floats.append(rows_N)
        bias_at = -1
        if bias_N is not None:
            bias_at = _length(self.floats)
            self.floats.append(np.pad(bias_N.astype(np.float32), (0, len(weight_NK) - len(bias_N))))
        self.linears.append((*places, bias_at, *weight_NK.shape, used, bits, residual))
        return len(self.linears) - 1

    def packed(self) -> Packed:
        """All maps in one."""
        return Packed(
            np.concatenate([*self.quants, np.zeros(64, np.uint8)]),
            np.concatenate([*self.scales, np.zeros(64, np.int16)]),
            np.concatenate([*self.floats, np.zeros(1, np.float32)]),
            np.array(self.linears, LINEAR),
        )


def pack_8(weight_NK: Floats) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Whole numbers from -127 to 127 (as uint8) and the scale of each row."""
    rows_N = np.abs(weight_NK).max(1, initial=0.0).astype(np.float32) / np.float32(127)
    whole = np.rint(weight_NK / np.where(rows_N == 0, 1, rows_N)[:, None])
    return whole.astype(np.int8).view(np.uint8), rows_N


def pack_4(weight_NK: Floats) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int16], Floats]:
    """Numbers from -8 to 7 (two a byte, a block in the low bits, the next in the high ones), scales of blocks, and row scales.

    The scale of each block is the one of a few candidates that errs least.
    """
    outputs, inputs = weight_NK.shape
    blocks = weight_NK.reshape(outputs, inputs // BLOCK, BLOCK)
    wanted_NG = np.abs(blocks).max(-1) / 7.5
    rows_N = (wanted_NG.max(1, initial=0.0) * _TRIED[-1] / LARGEST_SCALE).astype(np.float32)
    row_N11 = np.where(rows_N == 0, 1, rows_N)[:, None, None]
    best_error = np.full(wanted_NG.shape, np.inf, np.float32)
    scales_NG, numbers = np.ones(wanted_NG.shape, np.int16), np.zeros(blocks.shape, np.int8)
    for tried in _TRIED:
        whole_NG = np.clip(np.rint(wanted_NG * tried / row_N11[..., 0]), 1, LARGEST_SCALE)
        step = whole_NG[..., None] * row_N11
        candidate = np.clip(np.rint(blocks / step), -8, 7)
        error_NG = np.square(candidate * step - blocks).sum(-1)
        better_NG = error_NG < best_error
        best_error = np.where(better_NG, error_NG, best_error)
        scales_NG = np.where(better_NG, whole_NG, scales_NG).astype(np.int16)
        numbers = np.where(better_NG[..., None], candidate, numbers).astype(np.int8)
    low, high = (numbers + 8).astype(np.uint8).reshape(outputs, -1, 2, BLOCK).transpose(2, 0, 1, 3)
    return (low | (high << 4)).astype(np.uint8), scales_NG, rows_N


def unpacked(packed: Packed, index: int) -> Floats:
    """The weights of a map as they are used, (N, USED), N a multiple of ROWS: for tests and to measure rounding."""
    linear = packed.linears_L[index]
    quants_at, scales_at, rows_at = (int(linear[name]) for name in ("quants_at", "scales_at", "row_scales_at"))
    outputs, inputs, used = (int(linear[name]) for name in ("outputs", "inputs", "used_inputs"))
    rows_N = packed.floats[rows_at : rows_at + outputs]
    if linear["bits"] == 8:
        whole = packed.quants[quants_at : quants_at + outputs * inputs].view(np.int8).reshape(outputs, inputs)
        return whole[:, :used] * rows_N[:, None]
    two = packed.quants[quants_at : quants_at + outputs * inputs // 2].reshape(outputs, -1, BLOCK)
    numbers = np.stack((two & 15, two >> 4), 2).astype(np.int32).reshape(outputs, -1, BLOCK) - 8
    count = groups(inputs) * GROUP
    scales_NG = packed.scales[scales_at : scales_at + outputs * count].reshape(outputs, count)[:, : inputs // BLOCK]
    product = (numbers * scales_NG[..., None].astype(np.int32)).reshape(outputs, inputs)
    return (product[:, :used] * rows_N[:, None]).astype(np.float32)


def bytes_of(packed: Packed) -> int:
    """Bytes of the packed maps."""
    return packed.quants.nbytes + packed.scales.nbytes + packed.floats.nbytes


def _length(parts: Sequence[npt.NDArray[Any]]) -> int:
    return sum(map(len, parts))
