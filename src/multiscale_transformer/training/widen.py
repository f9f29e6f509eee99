"""A larger model that says what a smaller one says: growth in width, depth and scales that preserves the function.

The wide model's residual stream holds several copies of the narrow one's, and zeros where the widths do not divide: `expand`
writes the weights for that (HyperCloning, Samragh et al. 2024, arXiv 2409.12903; zero padding with the norm's scale
compensated). Norms have no learned gain here, so the scale of the stream is free: it is chosen so that every norm divides by
the same number as before, and the logits stay equal to rounding. New layers and new scales begin silent, as fresh ones do.

Copies that are exactly alike would get the same gradient for ever, so weights that read the stream differ between the copies
by noise that cancels: the copies learn apart from the first step on.
"""

# Shape suffixes: V vocabulary, E model width, N outputs, K inputs, H heads, D head width, F feed-forward width, C copies.

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.blocks import Block
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.cross_attention import CrossBlock
from multiscale_transformer.model.layers import Linear, SwiGLU
from multiscale_transformer.model.memory_fusion import MemoryFusion, MemoryInputFeatures
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.word_scale import WordScale
from multiscale_transformer.training.grow import grow, with_depth

NOISE = 0.1  # of the copies' weights, relative to their own standard deviation


def why_not(base: ModelConfig, target: ModelConfig) -> str | None:
    """Why `target` cannot begin as the same function as `base`; None where it can."""
    scales = len(base.downsample_factors) > 1
    too_few = any(ours < theirs for ours, theirs in zip(target.layers, base.layers, strict=False))
    reasons = (
        (target.d_model < base.d_model, f"its width {target.d_model} is below the base's {base.d_model}"),
        (target.n_heads < base.n_heads, f"its {target.n_heads} heads cannot hold the base's {base.n_heads}"),
        (
            target.head_dim % base.head_dim > 0,
            f"its heads of {target.head_dim} turn at other frequencies than the base's of {base.head_dim}",
        ),
        (base.rope_theta != target.rope_theta, f"its rope_theta {target.rope_theta:g} is not the base's {base.rope_theta:g}"),
        (
            base.downsample_factors not in ((1,), target.downsample_factors),
            f"its scales {target.downsample_factors} are not the base's {base.downsample_factors}",
        ),
        (target.conv_taps < base.conv_taps, f"it mixes fewer earlier bytes than the base's {base.conv_taps}"),
        (target.word_layers < base.word_layers, f"its word stack has fewer layers than the base's {base.word_layers}"),
        (too_few, f"it has fewer layers {target.layers} than the base {base.layers}"),
        (target.d_ff < base.d_ff, f"its d_ff {target.d_ff} is below the base's {base.d_ff}"),
        (scales and target.n_cross_attn_layers < base.n_cross_attn_layers, "it has fewer cross-scale layers than the base"),
        (scales and target.cross_ff < base.cross_ff, f"its cross_d_ff {target.cross_ff} is below the base's {base.cross_ff}"),
        (base.bias and not target.bias, "the base has biases and it has none"),
        (target.memory != base.memory, "one of the two has a memory and the other has none"),
    )
    return next((reason for stands, reason in reasons if stands), None)


def expand(base: MultiScaleTransformer, target: ModelConfig, *, noise: float = NOISE) -> MultiScaleTransformer:
    """A model of the shape `target` whose logits are those of `base`, to rounding.

    Fresh weights and the noise follow `torch.manual_seed`. Raises AxlError with the reason where shapes do not allow it.
    """
    reason = why_not(base.config, target)
    if reason is not None:
        raise AxlError(f"this shape cannot start from the base: {reason}")
    shallow = with_depth(target, _known_depths(base.config, target))
    model = MultiScaleTransformer(shallow)
    with torch.no_grad():
        _Expansion(base.config, target, noise).fill(base, model)
    grow(model, target.depths)
    return model


def _known_depths(base: ModelConfig, target: ModelConfig) -> tuple[int, ...]:
    """Depths of `target` before it grows: the base's, and in full where the base has no such stack, which begins silent."""
    words = (base.word_layers or target.word_layers,) if target.word_layers else ()
    return (*base.layers, *target.layers[len(base.layers) :], *words)


@dataclass(frozen=True)
class _Expansion:
    """How each kind of weight of `base` becomes one of `target`."""

    base: ModelConfig
    target: ModelConfig
    noise: float

    @property
    def copies(self) -> int:
        """Copies of the narrow residual stream in the wide one."""
        return self.target.d_model // self.base.d_model

    @property
    def scale(self) -> float:
        """Size of each copy: such that the mean square of the wide stream is that of the narrow one."""
        return math.sqrt(self.target.d_model / (self.copies * self.base.d_model))

    def fill(self, base: MultiScaleTransformer, model: MultiScaleTransformer) -> None:
        """Write the weights of `model` that `base` has."""
        model.embedding.weight.copy_(self._write(base.embedding.weight) / (self.copies * self.scale**2))
        if base.conv_KE is not None:
            cast(Tensor, model.conv_KE)[: self.base.conv_taps] = self._alike(base.conv_KE)
        for old_stack, new_stack in zip(base.stacks, model.stacks, strict=False):
            for old, new in zip(cast("list[Block]", old_stack), cast("list[Block]", new_stack), strict=True):
                self._block(old, new)
        if len(self.base.downsample_factors) > 1:
            self._scales(base, model)
        if base.words is not None:
            self._words(base.words, cast(WordScale, model.words))
        if self.base.memory:
            self._memory(cast(MemoryFusion, base.fusion), cast(MemoryFusion, model.fusion))
            new_tables = dict(cast(MemoryInputFeatures, model.hint).named_parameters())
            for name, table in cast(MemoryInputFeatures, base.hint).named_parameters():
                new_tables[name].copy_(self._write(table))

    def _scales(self, base: MultiScaleTransformer, model: MultiScaleTransformer) -> None:
        d = self.base.d_model
        for old_layer, new_layer in zip(base.cross, model.cross, strict=False):
            for old, new in zip(cast("list[CrossBlock]", old_layer), cast("list[CrossBlock]", new_layer), strict=True):
                self._cross_block(old, new)
        for index, (old_down, old_up) in enumerate(
            zip(cast("list[Linear]", base.down), cast("list[Linear]", base.up), strict=True)
        ):
            new_down, new_up = cast(Linear, model.down[index]), cast(Linear, model.up[index])
            read_SNE = torch.stack([self._read(part) for part in torch.split(old_down.weight, d, 1)])
            new_down.weight.copy_(torch.cat([self._write(part.T).T for part in read_SNE], 1))
            rows = [self._write(part.T).T for part in torch.split(old_up.weight, d, 0)]
            new_up.weight.copy_(torch.cat([self._read(part) for part in rows], 0))
            cast(Tensor, model.start_E[index]).copy_(self._write(cast(Tensor, base.start_E[index])))
        old_gate, new_gate = cast(Linear, base.gate), cast(Linear, model.gate)
        new_gate.weight.copy_(torch.cat([self._read(part) for part in torch.split(old_gate.weight, d, 1)], 1))
        new_gate.bias.copy_(old_gate.bias)

    def _words(self, old: WordScale, new: WordScale) -> None:
        for old_block, new_block in zip(cast("list[Block]", old.blocks), cast("list[Block]", new.blocks), strict=True):
            self._block(old_block, new_block)
        for old_map, new_map in ((old.down, new.down), (old.up, new.up)):
            new_map.weight.copy_(self._write(self._read(old_map.weight).T).T)
        new.start_E.copy_(self._write(old.start_E))
        new.since.weight.copy_(self._write(old.since.weight))

    def _memory(self, base: MemoryFusion, model: MemoryFusion) -> None:
        for name, old in base.named_parameters():
            new = model.get_parameter(name)
            new.copy_(self._read(old) if name in ("gate.weight", "state.weight") else old)

    def _block(self, old: Block, new: Block) -> None:
        a, b = old.attention, new.attention
        b.qkv.weight.copy_(torch.cat([self._heads(part, self._read) for part in a.qkv.weight.chunk(3)]))
        b.out.weight.copy_(self._from_heads(a.out.weight))
        b.query_gain.copy_(a.query_gain / math.sqrt(self._widening))
        if a.qkv.bias is not None:
            b.qkv.bias.copy_(torch.cat([self._heads(part[:, None], _same)[:, 0] for part in a.qkv.bias.chunk(3)]))
            b.out.bias.copy_(self._write(a.out.bias))
        self._feed_forward(old.feed_forward, new.feed_forward)

    def _cross_block(self, old: CrossBlock, new: CrossBlock) -> None:
        new.query.weight.copy_(self._heads(old.query.weight, self._read))
        new.key_value.weight.copy_(torch.cat([self._heads(part, self._read) for part in old.key_value.weight.chunk(2)]))
        new.out.weight.copy_(self._from_heads(old.out.weight))
        new.query_gain.copy_(old.query_gain / math.sqrt(self._widening))
        key, value = (self._heads(part.reshape(-1, 1), _same).reshape(new.sink_2HD[0].shape) for part in old.sink_2HD)
        new.sink_2HD.copy_(torch.stack([key * math.sqrt(self._widening), value]))  # keys of the others are normalised per head
        if old.query.bias is not None:
            new.query.bias.copy_(self._heads(old.query.bias[:, None], _same)[:, 0])
            new.key_value.bias.copy_(torch.cat([self._heads(p[:, None], _same)[:, 0] for p in old.key_value.bias.chunk(2)]))
            new.out.bias.copy_(self._write(old.out.bias))
        if old.feed_forward is not None:
            self._feed_forward(old.feed_forward, cast(SwiGLU, new.feed_forward))

    def _feed_forward(self, old: SwiGLU, new: SwiGLU) -> None:
        """Neurons are repeated as often as they fit; those that are left over stay fresh and unheard."""
        width, wanted = old.w2.in_features, new.w2.in_features
        copies = wanted // width
        for old_part, new_part in zip(old.w13.weight.chunk(2), new.w13.weight.chunk(2), strict=True):
            new_part[: copies * width] = torch.cat([self._read(old_part) for _ in range(copies)])
        new.w2.weight.zero_()
        new.w2.weight[:, : copies * width] = self._spread(self._write(old.w2.weight.T).T, copies)
        if old.w2.bias is not None:
            new.w13.bias.zero_()
            for old_part, new_part in zip(old.w13.bias.chunk(2), new.w13.bias.chunk(2), strict=True):
                new_part[: copies * width] = old_part.repeat(copies)
            new.w2.bias.copy_(self._write(old.w2.bias))

    @property
    def _widening(self) -> int:
        return self.target.head_dim // self.base.head_dim

    def _read(self, weight_NK: Tensor) -> Tensor:
        """Of a map that reads the stream (inputs K = E)."""
        spread = self._spread(weight_NK, self.copies) / self.scale
        return F.pad(spread, (0, self.target.d_model - spread.shape[1]))

    def _write(self, rows: Tensor) -> Tensor:
        """Of what is added to the stream: the last dimension becomes the wide one."""
        return self._alike(rows) * self.scale

    def _alike(self, rows: Tensor) -> Tensor:
        """Of what multiplies each channel of the stream: that of a channel for all its copies."""
        repeated = rows.repeat(*[1] * (rows.ndim - 1), self.copies)
        return F.pad(repeated, (0, self.target.d_model - repeated.shape[-1]))

    def _spread(self, weight_NK: Tensor, copies: int) -> Tensor:
        """The weights of one input for `copies` of it: the same sum, and apart by noise that cancels."""
        weight_NCK = weight_NK[:, None].expand(-1, copies, -1) / copies
        if copies > 1 and self.noise:
            noise_NCK = torch.randn(weight_NCK.shape) * (self.noise * float(weight_NCK.std()))
            weight_NCK = weight_NCK + noise_NCK - noise_NCK.mean(1, keepdim=True)
        return weight_NCK.flatten(1)

    def _places(self) -> Tensor:
        """Where the D components of a head lie in a wider one: at the pairs that turn at the same frequency."""
        half, wide_half = self.base.head_dim // 2, self.target.head_dim // 2
        first = torch.arange(half) * self._widening
        return torch.cat((first, first + wide_half))

    def _heads(self, weight_NK: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
        """Of a map into heads (N = H * D): heads are repeated in turn, and lie in wider ones where those turn alike."""
        old_HDK = weight_NK.reshape(self.base.n_heads, self.base.head_dim, -1)
        parts = []
        for head in range(self.target.n_heads):
            rows_DK = read(old_HDK[head % self.base.n_heads])
            wide_DK = rows_DK.new_zeros(self.target.head_dim, rows_DK.shape[1])
            wide_DK[self._places()] = rows_DK
            parts.append(wide_DK)
        return torch.cat(parts)

    def _from_heads(self, weight_EK: Tensor) -> Tensor:
        """Of the map from heads to the stream: each repeated head brings its share."""
        old_EHD = self._write(weight_EK.T).T.reshape(-1, self.base.n_heads, self.base.head_dim)
        new_EHD = old_EHD.new_zeros(len(old_EHD), self.target.n_heads, self.target.head_dim)
        for head in range(self.base.n_heads):
            same = list(range(head, self.target.n_heads, self.base.n_heads))
            shares_EHD = self._spread(old_EHD[:, head], len(same)).reshape(len(old_EHD), len(same), -1)
            for copy, place in enumerate(same):
                new_EHD[:, place, self._places()] = shares_EHD[:, copy]
        return new_EHD.flatten(1)


def _same(weight: Tensor) -> Tensor:
    return weight
