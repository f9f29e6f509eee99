"""What a model is, in eleven published numbers, and what it costs, before anything is built.

`ModelConfig` holds the published fields; `parameters()`, `flops_per_byte()`, `cache_bytes()` and `decode_bytes()` are
arithmetic on them and are tested against counted values, so that `axl suggest` and the reports never have to build a
model to know its price. Named models and their YAML files are recipes (`zoo.recipes`).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from multiscale_transformer.model import memory_spec as spec
from multiscale_transformer.model.vocabulary import VOCAB_SIZE
from multiscale_transformer.model.word_ends import BYTES_PER_ROW, LAYERS_BEFORE, MOST_SINCE
from multiscale_transformer.validation import read_yaml, validated


class ModelConfig(BaseModel):
    """Shape of a multi-scale byte transformer. Fields and defaults are the published ones except `max_seq_len`.

    A scale s reads blocks of s bytes; `downsample_factors` lists the scales, the finest (1) first, each dividing the next.
    `n_layers_per_scale` is one number for all scales or one for each. `cross_d_ff` is the feed-forward width of the blocks
    that read across scales: as published the same as `d_ff` (None), 0 for none. `memory` is whether the model has a fusion for
    what it looks up; as published it has not. `word_layers` is the depth of the stack that runs where words end, between the
    first fine layer and the others; as published there is none. How often it runs depends on the text: what is said of its
    cost holds where words are as long as in the standard library. `conv_taps` is how many earlier bytes are mixed into the
    embedding of a byte, by a causal convolution of each channel by itself; as published there are none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocab_size: int = Field(VOCAB_SIZE, ge=VOCAB_SIZE, le=VOCAB_SIZE)
    d_model: int = Field(256, ge=8)
    n_heads: int = Field(4, ge=1)
    d_ff: int = Field(688, ge=8)
    cross_d_ff: int | None = Field(None, ge=0)
    n_layers_per_scale: int | tuple[int, ...] = 3
    n_cross_attn_layers: int = Field(1, ge=0)
    max_seq_len: int = Field(2048, ge=16)
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    bias: bool = False
    rope_theta: float = Field(10000.0, gt=1.0, allow_inf_nan=False)
    downsample_factors: tuple[int, ...] = (1, 2, 4)
    memory: bool = False
    word_layers: int = Field(0, ge=0)
    conv_taps: int = Field(0, ge=0, le=16)

    @field_validator("downsample_factors")
    @classmethod
    def _scales_nest(cls, factors: tuple[int, ...]) -> tuple[int, ...]:
        if not factors or factors[0] != 1:
            raise ValueError("downsample_factors must begin with 1, the fine scale")
        for fine, coarse in pairwise(factors):
            if coarse <= fine or coarse % fine:
                raise ValueError(f"each downsample factor must be a multiple of the one before, got {factors}")
        return factors

    @model_validator(mode="after")
    def _shapes_fit(self) -> ModelConfig:
        if self.d_model % self.n_heads or self.head_dim % 2:
            fit = [str(h) for h in range(1, 33) if self.d_model % (2 * h) == 0]
            raise ValueError(
                f"d_model {self.d_model} is not divisible by n_heads {self.n_heads} into heads of an even width; "
                + (f"choose n_heads from {', '.join(fit)}" if fit else "choose an even d_model")
            )
        if len(self.layers) != len(self.downsample_factors) or min(self.layers) < 1:
            raise ValueError("n_layers_per_scale must be one positive number, or one for each downsample factor")
        if self.word_layers and self.downsample_factors != (1,):
            raise ValueError("word_layers go with one fixed scale; set downsample_factors to [1], or leave out word_layers")
        if self.word_layers and self.layers[0] <= LAYERS_BEFORE:
            raise ValueError("word_layers stand between fine layers; set n_layers_per_scale to 2 or more")
        return self

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers of each scale, fine first."""
        if isinstance(self.n_layers_per_scale, int):
            return (self.n_layers_per_scale,) * len(self.downsample_factors)
        return self.n_layers_per_scale

    @property
    def depths(self) -> tuple[int, ...]:
        """Layers of each stack that grows: those of the scales, and of the word stack where there is one."""
        return (*self.layers, self.word_layers) if self.word_layers else self.layers

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """(reader, read) scales of one cross-scale layer, coarse readers first so that fine ones see their update."""
        scales = self.downsample_factors
        return tuple((a, b) for a in reversed(scales) for b in scales if a != b)

    @property
    def cross_ff(self) -> int:
        """Feed-forward width of the cross-scale blocks."""
        return self.d_ff if self.cross_d_ff is None else self.cross_d_ff

    def _block_matrices(self, d_ff: int) -> int:
        return 4 * self.d_model**2 + 3 * self.d_model * d_ff

    def _block_vectors(self, d_ff: int) -> int:
        """Query gain, plus the biases of q, k, v, o and (if there is one) the SwiGLU's w1, w3, w2 when `bias` is set."""
        return 1 + (4 * self.d_model + (self.d_model + 2 * d_ff) * (d_ff > 0) if self.bias else 0)

    def parameters(self) -> int:
        """Number of parameters, each counted once (the head shares the embedding table)."""
        d, scales = self.d_model, self.downsample_factors
        stacks = sum(self.layers) * (self._block_matrices(self.d_ff) + self._block_vectors(self.d_ff))
        pair = self._block_matrices(self.cross_ff) + self._block_vectors(self.cross_ff) + 2 * d  # 2d: the sink's key, value
        cross = self.n_cross_attn_layers * len(self.pairs) * pair
        resample = sum(2 * s * d * d + d for s in scales[1:])  # down, up and the start state
        fusion = len(scales) * (len(scales) * d + 1) if len(scales) > 1 else 0
        memory = self._fusion() + self._input_features()
        return (self.vocab_size + self.conv_taps) * d + stacks + cross + resample + fusion + self._words() + memory

    def _word_maps(self) -> int:
        """Weights that a row of the word stack passes: its layers, and the maps into it and back."""
        block = self._block_matrices(self.d_ff) + self._block_vectors(self.d_ff)
        return self.word_layers * block + 2 * self.d_model**2 * (self.word_layers > 0)

    def _words(self) -> int:
        """Parameters of the word stack; beside its maps the start state and the embeddings of the bytes since."""
        return self._word_maps() + (self.word_layers > 0) * (MOST_SINCE + 2) * self.d_model

    def _fusion(self) -> int:
        """Parameters of memory fusion: tables, gates, and the network that has the last word."""
        d, count, hidden, values = self.d_model, spec.NUM_ORDERS, spec.HIDDEN, spec.VALUES
        gates = count * (d + 1 + spec.NUM_CORPUS_LENGTHS + spec.NUM_CONTEXT_LENGTHS)
        mixer = (values * count + 1) * hidden + 2 * hidden * (d + 1) + hidden
        return self.memory * (count * spec.COUNT_BINS * values + gates + mixer)

    def _input_features(self) -> int:
        """Parameters of the tables that tell the net, at its input, what the memories propose."""
        return self.memory * (self.vocab_size + 1 + spec.NUM_CORPUS_LENGTHS + spec.NUM_CONTEXT_LENGTHS) * self.d_model

    def _fusion_flops(self) -> int:
        """Of one byte: the gates and the conditioning once, the rest for every candidate."""
        d, count, hidden = self.d_model, spec.NUM_ORDERS, spec.HIDDEN
        candidate = count + spec.VALUES * count * hidden + hidden
        return self.memory * 2 * (d * count + 2 * d * hidden + spec.CANDIDATE_COUNT * candidate)

    def flops_per_byte(self, context: int | None = None, *, training: bool = False) -> float:
        """Matrix-product FLOPs per byte (a multiply-add counts 2), averaged over the positions of `context` bytes.

        Attention counts the keys that a query may read, not the masked ones. Training is three times the forward pass
        plus the auxiliary head; elementwise work is not counted. That of a word stack is an estimate (`BYTES_PER_ROW`).
        """
        d, n = self.d_model, context or self.max_seq_len
        total = 2.0 * self.vocab_size * d * (2 if training else 1)
        for s, layers in zip(self.downsample_factors, self.layers, strict=True):
            total += layers * (2 * self._block_matrices(self.d_ff) + 4 * d * (n / s) / 2) / s
        for a, b in self.pairs * self.n_cross_attn_layers:
            queries = 2 * (2 * d * d + 3 * d * self.cross_ff) / a
            total += queries + 2 * (2 * d * d) / b + 4 * d * (n / b) / 2 / a
        coarser = len(self.downsample_factors) - 1
        total += coarser * (2 * d * d + 2 * d * d)  # a map of s·d² every s bytes, down and up
        total += 2 * (coarser + 1) ** 2 * d if coarser else 0  # the fusion gate
        if self.word_layers:
            row = self.word_layers * (2 * self._block_matrices(self.d_ff) + 4 * d * (n / BYTES_PER_ROW) / 2) + 4 * d * d
            total += row / BYTES_PER_ROW
        total += self._fusion_flops()
        return total * (3 if training else 1)

    def cache_bytes(self, context: int | None = None, *, dtype_bytes: int = 4) -> int:
        """Bytes of decoding state for `context` bytes of one sequence: keys and values, last states, ids and input features.

        Those of a word stack are an estimate (`BYTES_PER_ROW`).
        """
        n, d = context or self.max_seq_len, self.d_model
        rows = sum(2 * layers * (n // s) for s, layers in zip(self.downsample_factors, self.layers, strict=True))
        rows += sum(2 * (n // b) for _, b in self.pairs) * self.n_cross_attn_layers
        rows += sum(n // s for s in self.downsample_factors[1:])
        words = (self.word_layers > 0) * (n / BYTES_PER_ROW) * ((2 * self.word_layers + 1) * d * dtype_bytes + 8)  # 8: a stamp
        return rows * d * dtype_bytes + (8 + 6 * self.memory) * n + round(words)

    def decode_bytes(self, *, dtype_bytes: float = 4.0) -> float:
        """Bytes of weights read per decoded byte of one sequence: a scale's weights are read once per block.

        Those of a word stack are read once per row (an estimate, `BYTES_PER_ROW`).
        """
        d = self.d_model
        total = float(self.vocab_size * d + d + 2 * self.conv_taps * d)  # of each tap an embedding and its weights
        block = self._block_matrices(self.d_ff) + self._block_vectors(self.d_ff)
        pair = self._block_matrices(self.cross_ff) + self._block_vectors(self.cross_ff)
        for s, layers in zip(self.downsample_factors, self.layers, strict=True):
            total += layers * block / s
        for a, b in self.pairs * self.n_cross_attn_layers:
            total += (pair + 2 * d - 2 * d * d) / a + 2 * d * d / b
        total += sum(s * d * d / s + s * d * d / s + d for s in self.downsample_factors[1:])
        if len(self.downsample_factors) > 1:
            total += len(self.downsample_factors) * (len(self.downsample_factors) * d + 1)
        total += self._word_maps() / BYTES_PER_ROW + d * (self.word_layers > 0)  # and an embedding of the bytes since
        total += self._fusion() + 3 * d * self.memory  # and three rows of the tables of input features
        return total * dtype_bytes


def load_config(path: str | Path) -> ModelConfig:
    """The `ModelConfig` in a YAML file, alone or under `model:`; the published function.

    Raises AxlError for an unreadable file or an invalid config.
    """
    fields = read_yaml(Path(path))
    return parse_config(fields["model"] if isinstance(fields, dict) and "model" in fields else fields, str(path))


def parse_config(fields: Any, source: str) -> ModelConfig:
    """Validate `fields`; raises AxlError with one line naming `source`."""
    return validated(ModelConfig, fields, source)
