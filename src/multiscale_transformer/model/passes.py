"""The passes of a block in the way that suits the device: written by hand on a CPU, PyTorch's own operations elsewhere.

On a CPU the hand-written passes are the faster ones (`model.autograd`, docs/adr/0003). On an accelerator it is the other way
round: its kernels of `scaled_dot_product_attention`, and torch.compile for the chains of small operations, know the device.
Both compute the same. `by_hand` alone decides, by the device of the data; the trainer asks it too.
"""

# Shape suffixes: B batch, N query rows, M key rows, H heads, D head width, F feed-forward width, J orders, S bins, R values,
# X = J * R.

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from multiscale_transformer.model.autograd import EPSILON
from multiscale_transformer.model.autograd import norm_rotate as norm_rotate_by_hand
from multiscale_transformer.model.autograd import prefix_attention as prefix_attention_by_hand
from multiscale_transformer.model.autograd import rms_norm as rms_norm_by_hand
from multiscale_transformer.model.autograd import swiglu as swiglu_by_hand
from multiscale_transformer.model.autograd import table_values as table_values_by_hand

_native_everywhere = False


def by_hand(device: torch.device) -> bool:
    """Whether what lies on `device` goes through the hand-written passes."""
    return device.type == "cpu" and not _native_everywhere


@contextmanager
def native_passes() -> Iterator[None]:
    """Within the block a CPU computes as an accelerator does: tests try that path without one."""
    global _native_everywhere  # noqa: PLW0603  worker threads must see it, which a context variable would not let them
    before, _native_everywhere = _native_everywhere, True
    try:
        yield
    finally:
        _native_everywhere = before


def rms_norm(x: Tensor) -> Tensor:
    """Scale the last dimension to unit root mean square (Zhang & Sennrich 2019), without a learned gain."""
    if by_hand(x.device):
        return rms_norm_by_hand(x)
    # Rows of zeros get the gradient that the hand-written pass gives them.
    return F.rms_norm(x, x.shape[-1:], eps=EPSILON**2 / x.shape[-1])


def norm_rotate(x_BNHD: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """RMS norm of every head (QK-norm, Henry et al. 2020), then rotary positions; returns (B, H, N, D)."""
    if by_hand(x_BNHD.device):
        return norm_rotate_by_hand(x_BNHD, angles)
    cos, sin = angles
    a, b = rms_norm(x_BNHD).transpose(1, 2).chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def swiglu(x_2F: Tensor) -> Tensor:
    """silu(gate) * up of (..., 2F), gate first: (..., F) (Shazeer 2020)."""
    if by_hand(x_2F.device):
        return swiglu_by_hand(x_2F)
    gate, up = x_2F.chunk(2, -1)
    return F.silu(gate) * up


def causal_attention(q_BHND: Tensor, k_BHMD: Tensor, v_BHMD: Tensor, gain: Tensor) -> Tensor:
    """Attention of the last N of M rows, each of which reads itself and the rows before it; (B, H, N, D)."""
    rows, keys = q_BHND.shape[2], k_BHMD.shape[2]
    if rows == keys and not by_hand(q_BHND.device):  # said in this way, the mask costs nothing
        return F.scaled_dot_product_attention(_gained(q_BHND, gain), k_BHMD, v_BHMD, is_causal=True)
    prefix_N = torch.arange(keys - rows, keys, device=q_BHND.device) + 1
    return prefix_attention(q_BHND, k_BHMD, v_BHMD, gain, prefix_N)


def prefix_attention(q_BHND: Tensor, k_BHMD: Tensor, v_BHMD: Tensor, gain: Tensor, prefix_N: Tensor) -> Tensor:
    """Attention in which query row i reads the first `prefix_N[i]` keys.

    Under the rule of time what a query may read is always a prefix, so a mask is one number a row. `prefix_N` must not
    decrease and must be at least 1. `gain` (one learned number) multiplies the usual 1/sqrt(D). Returns (B, H, N, D).
    """
    if by_hand(q_BHND.device):
        return prefix_attention_by_hand(q_BHND, k_BHMD, v_BHMD, gain, prefix_N)
    visible_NM = torch.arange(k_BHMD.shape[2], device=q_BHND.device) < prefix_N[:, None]
    return F.scaled_dot_product_attention(_gained(q_BHND, gain), k_BHMD, v_BHMD, attn_mask=visible_NM)


def table_values(tables_JSR: Tensor, index_BTMJ: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Values of bins by their index in all tables: the first of each (B, T, M, J), and all of a candidate (B, T, M, X).

    The latter are in `dtype`, that of the net.
    """
    if by_hand(index_BTMJ.device):
        return table_values_by_hand(tables_JSR, index_BTMJ, dtype)
    values_BTMJR = F.embedding(index_BTMJ, tables_JSR.flatten(0, 1))
    return values_BTMJR[..., 0], values_BTMJR.flatten(-2).to(dtype)


def _gained(q_BHND: Tensor, gain: Tensor) -> Tensor:
    """Queries times a learned number, which a narrower dtype would round to steps of 1/128."""
    return (q_BHND.to(gain.dtype) * gain).to(q_BHND.dtype)
