"""The multi-scale transformer: three stacks over bytes, pairs of bytes and fours, under one rule of time.

`forward(new_bytes, cache)` is training (no cache, all bytes), prefill, decoding (one byte) and verification (several
drafted bytes). A coarse block is computed when its last byte has come and never again, so results do not depend on how the
bytes were chunked.
"""

# Shape suffixes: B batch, T new bytes, N new rows of a scale, M key rows, E model width, V vocabulary, S scales.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from multiscale_transformer.model.autograd import rms_norm
from multiscale_transformer.model.blocks import Angles, Block, CrossBlock, visible
from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.generate import Sampling, stream_ids
from multiscale_transformer.model.layers import Linear, Rotary
from multiscale_transformer.model.memory_fusion import MemoryFusion, MemoryHint
from multiscale_transformer.model.memory_tensors import MemoryTensors, nothing

FINE_FIRST = 2.0  # initial logit of the fine scale in the fusion gate: 0.79 of the mixture at three scales


@dataclass
class _Scale:
    """The rows of one scale that a call adds: states, stamps and rotary angles, and how many came before."""

    x_BNE: Tensor
    stamps_N: Tensor
    angles: Angles
    first: int


class MultiScaleTransformer(nn.Module):
    """A byte-level language model over nested scales (DESIGN §2-3)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.recompute = False  # recompute activations in the backward pass instead of keeping them
        d, factors = config.d_model, config.downsample_factors
        self.embedding = nn.Embedding(config.vocab_size, d)
        self.rotary = Rotary(config.head_dim, config.rope_theta)
        self.down = nn.ModuleList(Linear(s * d, d, bias=False) for s in factors[1:])
        self.stacks = nn.ModuleList(nn.ModuleList(Block(config) for _ in range(n)) for n in config.layers)
        self.cross = nn.ModuleList(
            nn.ModuleList(CrossBlock(config) for _ in config.pairs) for _ in range(config.n_cross_attn_layers)
        )
        self.up = nn.ModuleList(Linear(d, s * d, bias=False, parts=s) for s in factors[1:])
        self.start_E = nn.ParameterList(nn.Parameter(torch.zeros(d)) for _ in factors[1:])
        self.gate = Linear(len(factors) * d, len(factors), bias=True, orthogonal=False) if len(factors) > 1 else None
        self.fusion = MemoryFusion(config) if config.memory else None
        self.hint = MemoryHint(config) if config.memory else None
        self._initialise()

    def _initialise(self) -> None:
        # The table is also the head, and a fresh model's state is the byte's own embedding: rows of unit length would start by
        # betting on repetition (1.89 bits per byte after a short run; 1.83 with these, docs/log.md).
        nn.init.normal_(self.embedding.weight, std=0.02)
        # The other scales start silent and mostly closed: mixed in at random they cost the fine scale its start.
        for up in self.up:
            nn.init.zeros_(cast(Linear, up).weight)
        if self.gate is not None:
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)
            self.gate.bias.data[0] = FINE_FIRST

    def forward(self, ids_BT: Tensor, cache: Cache | None = None, recall: MemoryTensors | None = None) -> Tensor:
        """Logits (B, T, V) in fp32 of the byte after each of the T new ones; `cache` (if given) takes them in.

        `recall` is what the memories say after each of them; without it (or without fusion) the net speaks alone.
        """
        return self.head(self.states(ids_BT, cache, recall)[0], recall)

    def head(self, h_BTE: Tensor, recall: MemoryTensors | None = None) -> Tensor:
        """Logits (B, T, V) in fp32 from states; the table is the embedding's."""
        logits_BTV = F.linear(rms_norm(h_BTE), self.embedding.weight.to(h_BTE.dtype)).float()
        return logits_BTV if recall is None or self.fusion is None else self.fusion(h_BTE, logits_BTV, recall)

    def generate(self, ids: Sequence[int] | Tensor, **sampling: Any) -> list[int]:
        """The prompt followed by new ids; keyword arguments are the fields of `generate.Sampling` (the published call).

        `ids` is a sequence of ids or a tensor (T,) or (1, T). Raises pydantic.ValidationError for a bad argument.
        """
        prompt = ids.flatten().tolist() if isinstance(ids, Tensor) else list(ids)
        return [*prompt, *stream_ids(self, prompt, Sampling(**sampling))]

    def states(self, ids_BT: Tensor, cache: Cache | None = None, recall: MemoryTensors | None = None) -> tuple[Tensor, Tensor]:
        """Fused states and the fine stack's own exit, each (B, T, E); `head` turns either into logits.

        Raises ValueError for an empty chunk or a cache of another batch size.
        """
        if ids_BT.shape[1] == 0:
            raise ValueError("a chunk needs at least one byte")
        scales = self._embed(ids_BT, cache, recall)
        for index, scale in enumerate(scales):
            if scale.x_BNE.shape[1]:
                stack = cast(nn.ModuleList, self.stacks[index])
                for depth, block in enumerate(stack):
                    kept = None if cache is None else cache.stacks[index][depth]
                    scale.x_BNE = self._run(block, scale.x_BNE, scale.angles, kept)
        exit_BTE = scales[0].x_BNE
        for depth in range(self.config.n_cross_attn_layers):
            self._cross(depth, scales, cache)
        fused_BTE = self._fuse(scales, ids_BT.shape[1], cache)
        if cache is not None:
            cache.length += ids_BT.shape[1]
        return fused_BTE, exit_BTE

    def _run(self, block: nn.Module, *inputs: Any) -> Tensor:
        if self.recompute and self.training:
            return checkpoint(block, *inputs, use_reentrant=False)  # type: ignore[no-any-return]
        return block(*inputs)  # type: ignore[no-any-return]

    def _embed(self, ids_BT: Tensor, cache: Cache | None, recall: MemoryTensors | None) -> list[_Scale]:
        """Rows that these bytes complete at every scale, embedded and down-sampled."""
        old, end = 0, ids_BT.shape[1]
        if cache is not None:
            old, end = cache.length, cache.length + end
            ids_BT = cache.ids_BT.append(ids_BT)
        widest = self.config.downsample_factors[-1]
        base = old // widest * widest  # the oldest byte that an unfinished block still needs
        e_BTE = rms_norm(F.embedding(ids_BT[:, base:], self.embedding.weight).to(self.compute_dtype))
        if self.hint is not None:
            hints_BT3 = (recall or nothing(ids_BT.shape[0], end - old)).hints()
            if cache is not None:
                hints_BT3 = cache.hints_BT3.append(hints_BT3)
            e_BTE = e_BTE + self.hint(hints_BT3[:, base:]).to(self.compute_dtype)
        scales = []
        for index, s in enumerate(self.config.downsample_factors):
            first, last = old // s, end // s
            x_BNE = e_BTE[:, first * s - base : last * s - base]
            if s > 1:
                x_BNE = self.down[index - 1](x_BNE.reshape(x_BNE.shape[0], last - first, s * x_BNE.shape[2]))
            stamps_N = torch.arange(first, last) * s + s - 1
            scales.append(_Scale(x_BNE, stamps_N, self.rotary.angles(stamps_N, self.compute_dtype), first))
        return scales

    def _cross(self, depth: int, scales: list[_Scale], cache: Cache | None) -> None:
        """One cross-scale layer: every directed pair in turn, coarse readers first."""
        factors = self.config.downsample_factors
        for index, (reader, read) in enumerate(self.config.pairs):
            block, kept = self.cross[depth][index], None  # type: ignore[index]
            to, source = scales[factors.index(reader)], scales[factors.index(read)]
            k, v = block.project(rms_norm(source.x_BNE), source.angles)
            if cache is not None:
                kept = cache.pairs[depth][index]
                k, v = kept.append(k, v)
            if to.x_BNE.shape[1]:
                stamps_M = torch.arange(k.shape[2]) * read + read - 1
                prefix_N = visible(to.stamps_N, stamps_M)
                to.x_BNE = self._run(block, to.x_BNE, to.angles, k, v, prefix_N)

    def _fuse(self, scales: list[_Scale], new: int, cache: Cache | None) -> Tensor:
        """Bring the newest finished block of every scale to each byte and mix the scales by a softmax gate."""
        fine_BTE = scales[0].x_BNE
        if self.gate is None:
            return fine_BTE
        candidates = [fine_BTE]
        for index, (s, scale) in enumerate(zip(self.config.downsample_factors[1:], scales[1:], strict=True)):
            start = int(scales[0].first)
            before_BsE = self._last_block(index, s, fine_BTE, cache)
            after = self.up[index](rms_norm(scale.x_BNE)).unflatten(-1, (s, -1)).flatten(1, 2)
            # Row 0 is byte s * first - 1: block g, finished at that byte, serves it and the s - 1 bytes that follow.
            offset = start - (s * scale.first - 1)
            candidates.append(torch.cat((before_BsE, after), 1)[:, offset : offset + new])
            if cache is not None and scale.x_BNE.shape[1]:
                cache.finals_BNE[index].append(scale.x_BNE)
        weights_BTS: Tensor = self.gate(rms_norm(torch.cat(candidates, -1))).softmax(-1)
        mixed_BTE = weights_BTS[..., :1] * fine_BTE
        for scale_index, candidate_BTE in enumerate(candidates[1:], 1):
            mixed_BTE = torch.addcmul(mixed_BTE, weights_BTS[..., scale_index, None], candidate_BTE)
        return mixed_BTE

    def _last_block(self, index: int, s: int, like_BTE: Tensor, cache: Cache | None) -> Tensor:
        """Up-sampled state (B, s, E) of the last block finished before this call, or the learned start."""
        batch = like_BTE.shape[0]
        if cache is None or cache.finals_BNE[index].length == 0:
            return cast(Tensor, self.start_E[index]).to(like_BTE.dtype).expand(batch, s, -1)
        last_BE = cache.finals_BNE[index].view()[:, -1]
        return cast(Tensor, self.up[index](rms_norm(last_BE))).reshape(batch, s, -1)
