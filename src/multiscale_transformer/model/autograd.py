"""Hand-written forward and backward passes for what eager PyTorch does slowly on a CPU.

A profile of a plain loop showed half of the training time outside the matrix products: in `scaled_dot_product_attention`
(60 GFLOP/s where batched products reach 300) and in the chains of small elementwise operations that autograd records
for RMS norm, rotary positions, SwiGLU and the tables of the memory fusion. Each function here is one autograd node with as few
passes over memory as eager operations allow; `gradcheck` in fp64 holds them to their formulas (docs/log.md has the
measurements). On other devices PyTorch's own operations take their place: `model.passes` chooses.
"""

# Shape suffixes: P batch x heads, B batch, N query rows, M key rows or candidates, H heads, D head width, F feed-forward width;
# T positions, J orders, S bins, R values of a bin, X = J * R.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

EPSILON = 1e-6
QUERY_CHUNK = 128  # rows of a score tile: long enough for the products, short enough to skip most masked keys


class _RMSNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = _inverse_rms(x)
        y = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (dy,) = grads
        y, scale = ctx.saved_tensors
        along = (dy * y).mean(-1, keepdim=True)
        return torch.addcmul(dy, y, along, value=-1).mul_(scale)


class _NormRotate(Function):
    @staticmethod
    def forward(ctx: Any, x_BNHD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        scale = _inverse_rms(x_BNHD)
        y_BHND = _turn(x_BNHD.transpose(1, 2) * scale.transpose(1, 2), cos, sin)
        ctx.save_for_backward(y_BHND, scale, cos, sin)
        return y_BHND

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (dy_BHND,) = grads
        y_BHND, scale, cos, sin = ctx.saved_tensors
        # The rotation keeps lengths, so the norm's backward can run on the rotated rows and be turned back once.
        along = (dy_BHND * y_BHND).mean(-1, keepdim=True)
        dx_BHND = torch.addcmul(dy_BHND, y_BHND, along, value=-1).mul_(scale.transpose(1, 2))
        return _turn(dx_BHND, cos, -sin).transpose(1, 2), None, None


class _SwiGLU(Function):
    @staticmethod
    def forward(ctx: Any, x_2F: Tensor) -> Tensor:
        ctx.save_for_backward(x_2F)
        gate, up = x_2F.chunk(2, dim=-1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (dh,) = grads
        (x_2F,) = ctx.saved_tensors
        gate, up = x_2F.chunk(2, dim=-1)
        dx_2F = torch.empty_like(x_2F)
        d_gate, d_up = dx_2F.chunk(2, dim=-1)
        sigmoid = gate.sigmoid()
        silu = gate * sigmoid
        torch.mul(dh, silu, out=d_up)
        # d silu / d gate = sigmoid + silu * (1 - sigmoid)
        torch.addcmul(sigmoid.add(silu), silu, sigmoid, value=-1, out=d_gate)
        d_gate.mul_(up).mul_(dh)
        return dx_2F


class _PrefixAttention(Function):
    """softmax(gain/sqrt(D) q k^T) v where query row i sees the first prefix[i] keys; prefix does not decrease."""

    @staticmethod
    def forward(ctx: Any, q_PND: Tensor, k_PMD: Tensor, v_PMD: Tensor, gain: Tensor, prefix: Tensor) -> Tensor:
        scale = float(gain) * q_PND.shape[-1] ** -0.5
        y_PND, weights = torch.empty_like(q_PND), []
        for rows, seen, bias in _tiles(prefix, q_PND.dtype):
            scores = torch.bmm(q_PND[:, rows], k_PMD[:, :seen].transpose(1, 2)).mul_(scale)
            if bias is not None:
                scores[:, :, seen - bias.shape[1] :].add_(bias)
            weights.append(scores.softmax(-1))
            y_PND[:, rows] = torch.bmm(weights[-1], v_PMD[:, :seen])
        ctx.save_for_backward(q_PND, k_PMD, v_PMD, y_PND, gain, prefix, *weights)
        return y_PND

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        dy_PND = grads[0].contiguous()
        q_PND, k_PMD, v_PMD, y_PND, gain, prefix, *weights = ctx.saved_tensors
        scale = float(gain) * q_PND.shape[-1] ** -0.5
        dq_PND, dk_PMD, dv_PMD = torch.empty_like(q_PND), torch.zeros_like(k_PMD), torch.zeros_like(v_PMD)
        along = (dy_PND * y_PND).sum(-1, keepdim=True)
        for (rows, seen, _), weight in zip(_tiles(prefix, q_PND.dtype), weights, strict=True):
            dy = dy_PND[:, rows]
            dv_PMD[:, :seen].baddbmm_(weight.transpose(1, 2), dy)
            d_scores = torch.bmm(dy, v_PMD[:, :seen].transpose(1, 2)).sub_(along[:, rows]).mul_(weight)
            dq_PND[:, rows] = torch.bmm(d_scores, k_PMD[:, :seen]).mul_(scale)
            dk_PMD[:, :seen].baddbmm_(d_scores.transpose(1, 2), q_PND[:, rows], alpha=scale)
        d_gain = (dq_PND * q_PND).sum(dtype=gain.dtype).div_(gain)
        return dq_PND, dk_PMD, dv_PMD, d_gain.reshape(gain.shape), None


class _TableValues(Function):
    """Look up values in the tables: the first of each bin, and all of a candidate side by side in the dtype of the net.

    The backward pass counts, which is many times faster than that of `F.embedding`; two results spare it a sum over everything.
    """

    @staticmethod
    def forward(ctx: Any, tables_JSR: Tensor, index_BTMJ: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(index_BTMJ)
        ctx.shape = tables_JSR.shape
        values_BTMJR = F.embedding(index_BTMJ, tables_JSR.flatten(0, 1))
        return values_BTMJR[..., 0].contiguous(), values_BTMJR.flatten(-2).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (index_BTMJ,) = ctx.saved_tensors
        first_BTMJ, all_BTMX = grads
        index = index_BTMJ.flatten()
        length = ctx.shape[0] * ctx.shape[1]
        parts = [part.float() for part in all_BTMX.view(*index_BTMJ.shape, -1).unbind(-1)]
        parts[0] = parts[0] + first_BTMJ
        columns = [torch.bincount(index, part.flatten(), length) for part in parts]
        return torch.stack(columns, -1).view(ctx.shape).to(first_BTMJ.dtype), None, None


def rms_norm(x: Tensor) -> Tensor:
    """Scale the last dimension to unit root mean square (Zhang & Sennrich 2019), without a learned gain."""
    return _RMSNorm.apply(x)  # type: ignore[no-any-return, no-untyped-call]


def norm_rotate(x_BNHD: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """RMS norm of every head (QK-norm, Henry et al. 2020), then rotary positions; returns (B, H, N, D), contiguous."""
    return _NormRotate.apply(x_BNHD, *angles)  # type: ignore[no-any-return, no-untyped-call]


def swiglu(x_2F: Tensor) -> Tensor:
    """silu(gate) * up of (..., 2F), gate first: (..., F) (Shazeer 2020)."""
    return _SwiGLU.apply(x_2F)  # type: ignore[no-any-return, no-untyped-call]


def prefix_attention(q_BHND: Tensor, k_BHMD: Tensor, v_BHMD: Tensor, gain: Tensor, prefix_N: Tensor) -> Tensor:
    """Attention in which query row i reads the first `prefix_N[i]` keys.

    Under the rule of time what a query may read is always a prefix, so a mask is one number a row. `prefix_N` must not
    decrease and must be at least 1. `gain` (one learned number) multiplies the usual 1/sqrt(D). Returns (B, H, N, D).
    """
    y_PND = _PrefixAttention.apply(q_BHND.flatten(0, 1), k_BHMD.flatten(0, 1), v_BHMD.flatten(0, 1), gain, prefix_N)  # type: ignore[no-untyped-call]
    return y_PND.unflatten(0, q_BHND.shape[:2])  # type: ignore[no-any-return]


def table_values(tables_JSR: Tensor, index_BTMJ: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Values of bins by their index in all tables: the first of each (B, T, M, J), and all of a candidate in `dtype`."""
    return _TableValues.apply(tables_JSR, index_BTMJ, dtype)  # type: ignore[no-any-return, no-untyped-call]


def _inverse_rms(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm.clamp_min_(EPSILON).reciprocal_().mul_(x.shape[-1] ** 0.5)


def _turn(x_BHND: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the two halves of every head: one buffer, four passes over half of it."""
    turned = x_BHND.new_empty(x_BHND.shape)
    (a, b), (to_a, to_b) = x_BHND.chunk(2, dim=-1), turned.chunk(2, dim=-1)
    torch.mul(a, cos, out=to_a).addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=to_b).addcmul_(a, sin)
    return turned


def _tiles(prefix: Tensor, dtype: torch.dtype) -> list[tuple[slice, int, Tensor | None]]:
    """Query tiles: (rows, keys that the last row sees, additive mask over the keys that the first row does not)."""
    tiles: list[tuple[slice, int, Tensor | None]] = []
    for first in range(0, len(prefix), QUERY_CHUNK):
        seen_by = prefix[first : first + QUERY_CHUNK]
        low, high = int(seen_by[0]), int(seen_by[-1])
        bias = None
        if low < high:
            hidden = torch.arange(low, high, device=prefix.device) >= seen_by[:, None]
            bias = torch.zeros(hidden.shape, dtype=dtype, device=prefix.device).masked_fill_(hidden, -torch.inf)
        tiles.append((slice(first, first + len(seen_by)), high, bias))
    return tiles
