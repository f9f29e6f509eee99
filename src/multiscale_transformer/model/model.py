"""The multi-scale transformer: a byte transformer with coarser stacks beside it, over pairs of bytes, fours and so on.

To the steps of `ByteTransformer` it adds four: `downsample` (s bytes become a row of scale s), `cross_attention` (each scale
reads the others), `upsample` (a row becomes s bytes again) and `fuse` (a gate mixes the scales at every byte). With one scale
none of them is there. All scales stand under one rule of time (`model.cross_attention`): a row of scale s is computed when its
last byte has come and never again, so results do not depend on how the bytes were chunked.
"""

# Shape suffixes: B batch, T new bytes, N new rows of a scale, M key rows, E model width, S scales; s is a factor.

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from multiscale_transformer.model.blocks import Angles
from multiscale_transformer.model.byte_transformer import ByteTransformer
from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.cross_attention import CrossBlock, visible
from multiscale_transformer.model.layers import Linear
from multiscale_transformer.model.memory_tensors import MemoryTensors
from multiscale_transformer.model.passes import rms_norm

FINE_FIRST = 2.0  # initial logit of the fine scale in the fusion gate: 0.79 of the mixture at three scales


@dataclass
class _Scale:
    """The rows of one scale that a call adds: states, stamps and rotary angles, and how many came before."""

    x_BNE: Tensor
    stamps_N: Tensor
    angles: Angles
    first: int


class MultiScaleTransformer(ByteTransformer):
    """A byte-level language model over nested scales (docs/architecture.md); with one scale, a `ByteTransformer`."""

    def add_layers(self, config: ModelConfig) -> None:
        """The stacks of all scales, and what connects them."""
        d, factors = config.d_model, config.downsample_factors
        self.down = nn.ModuleList(Linear(s * d, d, bias=False) for s in factors[1:])
        super().add_layers(config)
        self.cross = nn.ModuleList(
            nn.ModuleList(CrossBlock(config) for _ in config.pairs) for _ in range(config.n_cross_attn_layers)
        )
        self.up = nn.ModuleList(Linear(d, s * d, bias=False, parts=s) for s in factors[1:])
        self.start_E = nn.ParameterList(nn.Parameter(torch.zeros(d)) for _ in factors[1:])
        self.gate = Linear(len(factors) * d, len(factors), bias=True, orthogonal=False) if len(factors) > 1 else None
        # The coarser scales start silent and mostly closed: mixed in at random they cost the fine scale its start.
        for up in self.up:
            nn.init.zeros_(cast(Linear, up).weight)
        if self.gate is not None:
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)
            self.gate.bias.data[0] = FINE_FIRST

    def states(
        self, ids_BT: Tensor, cache: Cache | None = None, features: MemoryTensors | None = None
    ) -> tuple[Tensor, Tensor]:
        """Fused states and the fine stack's own, which the auxiliary head reads, each (B, T, E).

        Raises ValueError for an empty chunk or a cache of another batch size.
        """
        if self.gate is None:
            return super().states(ids_BT, cache, features)
        old, new = 0 if cache is None else cache.length, ids_BT.shape[1]
        back = old % self.config.downsample_factors[-1]  # bytes of a coarse row that is not finished
        scales = self.downsample(self.embed(ids_BT, cache, features, back), old - back, old)
        for index, scale in enumerate(scales):
            if scale.x_BNE.shape[1]:
                scale.x_BNE = self.run_blocks(index, scale.x_BNE, scale.angles, cache)
        aux_BTE = scales[0].x_BNE
        for depth in range(self.config.n_cross_attn_layers):
            self.cross_attention(depth, scales, cache)
        fused_BTE = self.fuse([scales[0].x_BNE, *self.upsample(scales, cache)])
        if cache is not None:
            cache.length += new
        return fused_BTE, aux_BTE

    def downsample(self, e_BTE: Tensor, base: int, old: int) -> list[_Scale]:
        """Rows that the bytes from `old` on complete at every scale; `e_BTE` holds the embeddings of those from `base` on."""
        scales, end = [], base + e_BTE.shape[1]
        for index, s in enumerate(self.config.downsample_factors):
            first, last = old // s, end // s
            x_BNE = e_BTE[:, first * s - base : last * s - base]
            if s > 1:
                x_BNE = self.down[index - 1](x_BNE.reshape(x_BNE.shape[0], last - first, s * x_BNE.shape[2]))
            stamps_N = torch.arange(first, last, device=e_BTE.device) * s + s - 1
            scales.append(_Scale(x_BNE, stamps_N, self.rotary.angles(stamps_N, self.compute_dtype), first))
        return scales

    def cross_attention(self, depth: int, scales: list[_Scale], cache: Cache | None) -> None:
        """One cross-scale layer: every directed pair in turn, coarse readers first."""
        factors = self.config.downsample_factors
        for index, (reader, read) in enumerate(self.config.pairs):
            block = cast(CrossBlock, cast(nn.ModuleList, self.cross[depth])[index])
            to, source = scales[factors.index(reader)], scales[factors.index(read)]
            k, v = block.project(rms_norm(source.x_BNE), source.angles)
            if cache is not None:
                k, v = cache.pairs[depth][index].append(k, v)
            if to.x_BNE.shape[1]:
                stamps_M = torch.arange(k.shape[2], device=k.device) * read + read - 1
                to.x_BNE = self.run(block, to.x_BNE, to.angles, k, v, visible(to.stamps_N, stamps_M))

    def upsample(self, scales: list[_Scale], cache: Cache | None) -> list[Tensor]:
        """For every coarser scale its newest finished row at each new byte, (B, T, E)."""
        fine, brought_up = scales[0], []
        for index, (s, scale) in enumerate(zip(self.config.downsample_factors[1:], scales[1:], strict=True)):
            before_BsE = self._last_row(index, s, fine.x_BNE, cache)
            after = self.up[index](rms_norm(scale.x_BNE)).unflatten(-1, (s, -1)).flatten(1, 2)
            # Row 0 is byte s * first - 1: a row that is finished at that byte serves it and the s - 1 bytes that follow.
            offset = fine.first - (s * scale.first - 1)
            brought_up.append(torch.cat((before_BsE, after), 1)[:, offset : offset + fine.x_BNE.shape[1]])
            if cache is not None and scale.x_BNE.shape[1]:
                cache.finals_BNE[index].append(scale.x_BNE)
        return brought_up

    def _last_row(self, index: int, s: int, like_BTE: Tensor, cache: Cache | None) -> Tensor:
        """Up-sampled state (B, s, E) of the last row finished before this call, or the learned start."""
        batch = like_BTE.shape[0]
        if cache is None or cache.finals_BNE[index].length == 0:
            return cast(Tensor, self.start_E[index]).to(like_BTE.dtype).expand(batch, s, -1)
        last_BE = cache.finals_BNE[index].view()[:, -1]
        return cast(Tensor, self.up[index](rms_norm(last_BE))).reshape(batch, s, -1)

    def fuse(self, states_SBTE: list[Tensor]) -> Tensor:
        """Mix the states of all scales, fine first, by a softmax gate at every byte: (B, T, E)."""
        weights_BTS: Tensor = cast(Linear, self.gate)(rms_norm(torch.cat(states_SBTE, -1))).softmax(-1)
        mixed_BTE = weights_BTS[..., :1] * states_SBTE[0]
        for scale, state_BTE in enumerate(states_SBTE[1:], 1):
            mixed_BTE = torch.addcmul(mixed_BTE, weights_BTS[..., scale, None], state_BTE)
        return mixed_BTE
