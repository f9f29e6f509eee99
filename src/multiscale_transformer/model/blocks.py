"""A block of a plain transformer: causal self-attention, then a SwiGLU, each behind a norm and added to its input."""

# Shape suffixes: B batch, N query rows, M key rows, E model width, H heads, D head width.

from __future__ import annotations

import torch
from torch import Tensor, nn

from multiscale_transformer.model.cache import KeyValues
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.layers import Linear, SwiGLU
from multiscale_transformer.model.passes import causal_attention, norm_rotate, rms_norm

Angles = tuple[Tensor, Tensor]


class SelfAttention(nn.Module):
    """Causal attention within a scale, with normalised queries and keys (Henry et al. 2020) and a query gain."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads, self.head_dim = config.n_heads, config.head_dim
        self.qkv = Linear(config.d_model, 3 * config.d_model, bias=config.bias, parts=3)
        self.out = Linear(config.d_model, config.d_model, bias=config.bias)
        self.query_gain = nn.Parameter(torch.ones(()))

    def forward(self, x_BNE: Tensor, angles: Angles, cache: KeyValues | None) -> Tensor:
        """Attend from N new rows to themselves and the cached ones; appends the new keys and values to `cache`."""
        q_BNHD, k_BNHD, v_BNHD = self.qkv(x_BNE).unflatten(-1, (3, self.heads, self.head_dim)).unbind(2)
        q_BHND, k_BHMD, v_BHMD = norm_rotate(q_BNHD, angles), norm_rotate(k_BNHD, angles), v_BNHD.transpose(1, 2)
        if cache is not None:
            k_BHMD, v_BHMD = cache.append(k_BHMD, v_BHMD)
        y_BHND = causal_attention(q_BHND, k_BHMD, v_BHMD, self.query_gain)
        return self.out(y_BHND.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One pre-norm transformer layer. Output maps start at zero, so a new block is the identity."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.feed_forward = SwiGLU(config.d_model, config.d_ff, config.bias)
        self.drop = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        nn.init.zeros_(self.attention.out.weight)
        nn.init.zeros_(self.feed_forward.w2.weight)

    def forward(self, x_BNE: Tensor, angles: Angles, cache: KeyValues | None) -> Tensor:
        """(B, N, E) to the same shape."""
        x_BNE = x_BNE + self.drop(self.attention(rms_norm(x_BNE), angles, cache))
        return x_BNE + self.drop(self.feed_forward(rms_norm(x_BNE)))  # type: ignore[no-any-return]
