"""Attention across scales, under the one rule of time.

A row carries a stamp, the last byte it may know; a query reads a key only if the key's stamp is not later than its own.
`visible` is that rule and the only mask in AXL. A cross-scale query may see no key at all (the first bytes come before the
first finished row), so each pair owns a learned sink that is always visible. Stamps grow along every scale, so the keys a query
may read are always a prefix of them: the whole mask is one number for each query. Within a scale it is the usual causal one.
"""

# Shape suffixes: B batch, N query rows, M key rows, E model width, H heads, D head width.

from __future__ import annotations

import torch
from torch import Tensor, nn

from multiscale_transformer.model.blocks import Angles
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.layers import Linear, SwiGLU
from multiscale_transformer.model.passes import norm_rotate, prefix_attention, rms_norm


def visible(query_stamps_N: Tensor, key_stamps_M: Tensor) -> Tensor:
    """The rule of time: for each query, how many of the keys (their stamps ascend) it may read."""
    return torch.searchsorted(key_stamps_M, query_stamps_N, right=True)


class CrossBlock(nn.Module):
    """One directed pair: the rows of one scale read the states of another, then pass a SwiGLU (if any)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.d_model
        self.heads, self.head_dim = config.n_heads, config.head_dim
        self.query = Linear(d, d, bias=config.bias)
        self.key_value = Linear(d, 2 * d, bias=config.bias, parts=2)
        self.out = Linear(d, d, bias=config.bias)
        self.query_gain = nn.Parameter(torch.ones(()))
        self.sink_2HD = nn.Parameter(torch.zeros(2, config.n_heads, config.head_dim))
        self.feed_forward = SwiGLU(d, config.cross_ff, config.bias) if config.cross_ff else None
        self.drop = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        nn.init.zeros_(self.out.weight)
        if self.feed_forward is not None:
            nn.init.zeros_(self.feed_forward.w2.weight)

    def project(self, source_BME: Tensor, angles: Angles) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, M, D) of the scale that is read."""
        k_BMHD, v_BMHD = self.key_value(source_BME).unflatten(-1, (2, self.heads, self.head_dim)).unbind(2)
        return norm_rotate(k_BMHD, angles), v_BMHD.transpose(1, 2)

    def forward(self, x_BNE: Tensor, angles: Angles, k_BHMD: Tensor, v_BHMD: Tensor, prefix_N: Tensor) -> Tensor:
        """Read the sink and, for each row, the first `prefix_N` keys and values."""
        q_BNHD = self.query(rms_norm(x_BNE)).unflatten(-1, (self.heads, self.head_dim))
        q_BHND = norm_rotate(q_BNHD, angles)
        sink_k, sink_v = (part.to(x_BNE.dtype)[None, :, None, :].expand(x_BNE.shape[0], -1, 1, -1) for part in self.sink_2HD)
        k_BHMD, v_BHMD = torch.cat((sink_k, k_BHMD), 2), torch.cat((sink_v, v_BHMD), 2)
        y_BHND = prefix_attention(q_BHND, k_BHMD, v_BHMD, self.query_gain, prefix_N + 1)
        x_BNE = x_BNE + self.drop(self.out(y_BHND.transpose(1, 2).flatten(2)))
        if self.feed_forward is None:
            return x_BNE
        return x_BNE + self.drop(self.feed_forward(rms_norm(x_BNE)))  # type: ignore[no-any-return]
