"""A plain byte-level transformer: embed, blocks, head. The default model is one such stack beside a memory.

Features:
- bytes are tokens, so there is no tokenizer; the embedding table is the head as well
- pre-norm blocks (RMS norm without a learned gain), a norm after the embedding and before the head
- rotary positions, normalised queries and keys with one learned gain, SwiGLU
- weights in fp32, used in the dtype of the activations
- where the config says so, the embeddings of the bytes before are mixed into a byte's own (`embedding convolution`), and a
  word stack stands between the first layer and the others (`model.word_scale`)
- what the memories found is added at the input (`input features`) and to the logits (`memory fusion`)

`forward(new_bytes, cache)` is training (no cache, all bytes), prefill, decoding (one byte) and verification (several drafted
bytes). `model.model.MultiScaleTransformer` adds coarser scales to it.
"""

# Shape suffixes: B batch, T new bytes, E model width, V vocabulary, K taps.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, overload

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from multiscale_transformer.model.blocks import Angles, Block
from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.generate import Sampling, stream_ids
from multiscale_transformer.model.layers import Rotary
from multiscale_transformer.model.memory_fusion import MemoryFusion, MemoryInputFeatures
from multiscale_transformer.model.memory_tensors import MemoryTensors, no_features
from multiscale_transformer.model.passes import rms_norm
from multiscale_transformer.model.word_ends import LAYERS_BEFORE
from multiscale_transformer.model.word_scale import WordScale


class ByteTransformer(nn.Module):
    """A byte-level language model of one stack of blocks, and of a word stack if `config.word_layers` are given."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.recompute = False  # recompute activations in the backward pass instead of keeping them
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        # Row k weighs the byte k + 1 before. It starts silent. With it one layer finds what stood behind the same bytes before,
        # which takes plain attention two and, in a run of minutes, most of the time (docs/log.md; the first of the Canon layers
        # of Allen-Zhu 2025, "Physics of Language Models: Part 4.1", and So et al. 2021, arXiv 2109.08668).
        self.conv_KE = nn.Parameter(torch.zeros(config.conv_taps, config.d_model)) if config.conv_taps else None
        self.rotary = Rotary(config.head_dim, config.rope_theta)
        self.add_layers(config)
        self.fusion = MemoryFusion(config) if config.memory else None
        self.hint = MemoryInputFeatures(config) if config.memory else None
        # The table is also the head, and a fresh model's state is the byte's own embedding: rows of unit length would start by
        # betting on repetition (1.89 bits per byte after a short run; 1.83 with these, docs/log.md).
        nn.init.normal_(self.embedding.weight, std=0.02)

    def add_layers(self, config: ModelConfig) -> None:
        """Make what stands between embedding and head: the blocks of each stack, of which this class runs the first."""
        self.stacks = nn.ModuleList(nn.ModuleList(Block(config) for _ in range(count)) for count in config.layers)
        self.words = WordScale(config) if config.word_layers else None

    @property
    def device(self) -> torch.device:
        """Where the weights lie; what the model reads has to lie there too."""
        return self.embedding.weight.device

    def forward(self, ids_BT: Tensor, cache: Cache | None = None, features: MemoryTensors | None = None) -> Tensor:
        """Logits (B, T, V) in fp32 of the byte after each of the T new ones; `cache` (if given) takes them in.

        `features` are what the memories found after each of them; without them (or without fusion) the net speaks alone.
        """
        return self.head(self.states(ids_BT, cache, features)[0], features)

    def states(
        self, ids_BT: Tensor, cache: Cache | None = None, features: MemoryTensors | None = None
    ) -> tuple[Tensor, Tensor]:
        """Final states and those of the auxiliary head, each (B, T, E); here they are the same. `head` gives logits of either.

        Raises ValueError for an empty chunk or a cache of another batch size.
        """
        old, new = 0 if cache is None else cache.length, ids_BT.shape[1]
        x_BTE = self.embed(ids_BT, cache, features)
        stamps_T = torch.arange(old, old + new, device=ids_BT.device)
        angles = self.rotary.angles(stamps_T, self.compute_dtype)
        if self.words is not None:
            x_BTE = self.run_blocks(0, x_BTE, angles, cache, slice(LAYERS_BEFORE))
            x_BTE = self.words(x_BTE, angles, ids_BT, cache, self.run)
        x_BTE = self.run_blocks(0, x_BTE, angles, cache, slice(LAYERS_BEFORE if self.words is not None else 0, None))
        if cache is not None:
            cache.length += new
        return x_BTE, x_BTE

    def embed(self, ids_BT: Tensor, cache: Cache | None, features: MemoryTensors | None, back: int = 0) -> Tensor:
        """Embeddings (B, back + T, E) of the new bytes, and of the last `back` ones that the cache holds."""
        new = ids_BT.shape[1]
        if new == 0:
            raise ValueError("a chunk needs at least one byte")
        if cache is not None:
            ids_BT = cache.ids_BT.append(ids_BT)[:, -(back + new + self.config.conv_taps) :]
        e_BTE = rms_norm(F.embedding(ids_BT, self.embedding.weight).to(self.compute_dtype))
        if self.conv_KE is not None:
            e_BTE = embedding_convolution(e_BTE, self.conv_KE)[:, -(back + new) :]
        if self.hint is None:
            return e_BTE
        inputs_BT3 = (features or no_features(ids_BT.shape[0], new, ids_BT.device)).input_features()
        if cache is not None:
            inputs_BT3 = cache.inputs_BT3.append(inputs_BT3)[:, -(back + new) :]
        return e_BTE + self.hint(inputs_BT3).to(self.compute_dtype)  # type: ignore[no-any-return]

    def run_blocks(self, stack: int, x_BNE: Tensor, angles: Angles, cache: Cache | None, depths: slice = slice(None)) -> Tensor:
        """All blocks of a stack, or those at `depths`, one after the other; (B, N, E) to the same shape."""
        blocks = cast(nn.ModuleList, self.stacks[stack])
        for depth in range(len(blocks))[depths]:
            x_BNE = self.run(blocks[depth], x_BNE, angles, None if cache is None else cache.stacks[stack][depth])
        return x_BNE

    def run(self, block: nn.Module, *inputs: Any) -> Tensor:
        """`block(*inputs)`, whose activations are not kept for the backward pass if `recompute` is set."""
        if self.recompute and self.training:
            return checkpoint(block, *inputs, use_reentrant=False)  # type: ignore[no-any-return]
        return block(*inputs)  # type: ignore[no-any-return]

    def head(self, h_BTE: Tensor, features: MemoryTensors | None = None) -> Tensor:
        """Logits (B, T, V) in fp32 from states, with what the memories found if `features` are given."""
        logits_BTV = F.linear(rms_norm(h_BTE), self.embedding.weight.to(h_BTE.dtype)).float()
        return logits_BTV if features is None else self.memory_fusion(h_BTE, logits_BTV, features)

    def memory_fusion(self, h_BTE: Tensor, logits_BTV: Tensor, features: MemoryTensors) -> Tensor:
        """Logits (B, T, V) with the memories' candidates raised or lowered; unchanged in a model without fusion."""
        return logits_BTV if self.fusion is None else self.fusion(h_BTE, logits_BTV, features)

    @overload
    def generate(self, ids: Tensor, **sampling: Any) -> Tensor: ...

    @overload
    def generate(self, ids: Sequence[int], **sampling: Any) -> list[int]: ...

    def generate(self, ids: Sequence[int] | Tensor, **sampling: Any) -> list[int] | Tensor:
        """The prompt followed by new ids; keyword arguments are the fields of `generate.Sampling` (the published call).

        `ids` is a sequence of ids, or a tensor (T,) or (1, T): what comes out is of the same kind. Raises
        pydantic.ValidationError for a bad argument.
        """
        prompt = ids.flatten().tolist() if isinstance(ids, Tensor) else list(ids)
        text = [*prompt, *stream_ids(self, prompt, Sampling(**sampling))]
        return ids.new_tensor(text).view(*ids.shape[:-1], -1) if isinstance(ids, Tensor) else text


def embedding_convolution(e_BTE: Tensor, conv_KE: Tensor) -> Tensor:
    """Each embedding with those of the K bytes before added, channel by channel weighted; before the first stands nothing."""
    mixed_BTE, weights_KE = e_BTE, conv_KE.to(e_BTE.dtype)
    for k in range(min(len(weights_KE), e_BTE.shape[1] - 1)):
        mixed_BTE = mixed_BTE + F.pad(e_BTE[:, : -(k + 1)] * weights_KE[k], (0, 0, k + 1, 0))
    return mixed_BTE
