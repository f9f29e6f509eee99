"""The parts every block is made of: linear maps in the compute dtype, rotary positions, SwiGLU.

Weights are kept in fp32 and used in the dtype of the activations, so one model trains in bf16 where the CPU computes it
natively and in fp32 elsewhere, with no autocast and no second code path.
"""

# Shape suffixes: B batch, N rows, E model width, F feed-forward width, H heads, D head width.

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multiscale_transformer.model.autograd import swiglu


class Linear(nn.Linear):
    """`nn.Linear` with fp32 weights applied in the dtype of its input.

    `parts` says how many projections are stacked in its rows and `orthogonal` whether it is a map between states (not a
    gate or a head); optimizers that treat matrices as matrices need both.
    """

    def __init__(self, fan_in: int, fan_out: int, *, bias: bool, parts: int = 1, orthogonal: bool = True) -> None:
        super().__init__(fan_in, fan_out, bias=bias)
        self.parts, self.orthogonal = parts, orthogonal
        nn.init.uniform_(self.weight, -(b := (3 / fan_in) ** 0.5), b)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class Rotary(nn.Module):
    """Rotary positions (Su et al. 2021), half-split as in qwen3, turned by *stamps*: byte positions at every scale."""

    def __init__(self, head_dim: int, theta: float) -> None:
        super().__init__()
        self.frequencies = 1.0 / theta ** (torch.arange(0, head_dim, 2, device="cpu").double() / head_dim)

    def angles(self, stamps_N: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine, each (N, D/2), for rows with these stamps."""
        turned = stamps_N.double()[:, None] * self.frequencies
        return turned.cos().to(dtype), turned.sin().to(dtype)


class SwiGLU(nn.Module):
    """w2(silu(w1 x) * w3 x) (Shazeer 2020)."""

    def __init__(self, d_model: int, d_ff: int, bias: bool) -> None:
        super().__init__()
        self.w13 = Linear(d_model, 2 * d_ff, bias=bias, parts=2)
        self.w2 = Linear(d_ff, d_model, bias=bias)

    def forward(self, x_BNE: Tensor) -> Tensor:
        """(B, N, E) to the same shape."""
        return self.w2(swiglu(self.w13(x_BNE)))  # type: ignore[no-any-return]
