"""A plain byte model in the format of llama.cpp: what our models are compared with at the same size.

Weights do not change the time that a byte takes, so they are random. The vocabulary is that of AXL (256 bytes, BOS, EOS), the
widths are multiples of 256, without which half of a Q4_K_M file stays in wider types.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multiscale_transformer.errors import AxlError
from multiscale_transformer.export.gguf_file import SUPER_BLOCK as BLOCK
from multiscale_transformer.export.gguf_file import add_vocabulary, finish, library
from multiscale_transformer.files import write_with
from multiscale_transformer.model.vocabulary import VOCAB_SIZE

HEAD = 64  # width of an attention head
FEED_FORWARD = 8 / 3  # d_ff / d_model of Llama, whose three matrices then cost what two of 4 d_model do
TOLERANCE = 0.03  # of the wanted parameter count
CONTEXT = 2048


@dataclass(frozen=True)
class LlamaShape:
    """Widths and depth of a llama-architecture byte model with untied embeddings and no grouped heads.

    Raises AxlError unless d_model and d_ff are multiples of 256 (so that K-quants apply) and heads divide d_model evenly.
    """

    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    context: int = CONTEXT

    def __post_init__(self) -> None:
        if min(self.d_model, self.n_layers, self.n_heads, self.d_ff, self.context) < 1:
            raise AxlError(f"a llama shape needs numbers above 0, got {self}")
        if self.d_model % BLOCK or self.d_ff % BLOCK:
            raise AxlError(f"d_model {self.d_model} and d_ff {self.d_ff} must be multiples of {BLOCK}, or Q4_K does not apply")
        if self.d_model % (2 * self.n_heads):
            raise AxlError(f"{self.n_heads} heads do not divide d_model {self.d_model} evenly; choose {self.d_model // HEAD}")

    @property
    def parameters(self) -> int:
        """Weights of the file: embedding, output, layers and norms."""
        return (2 * VOCAB_SIZE + 1) * self.d_model + self.n_layers * self.layer_parameters

    @property
    def layer_parameters(self) -> int:
        """Weights of one layer."""
        return 4 * self.d_model**2 + 3 * self.d_model * self.d_ff + 2 * self.d_model


def llama_shape(parameters: int, d_model: int, context: int = CONTEXT) -> LlamaShape:
    """The shape of `d_model` within 3 % of `parameters` whose d_ff is nearest to Llama's 8/3 d_model.

    Raises AxlError when no number of layers comes that near.
    """
    near = []
    for d_ff in range(BLOCK, 4 * d_model + 1, BLOCK):
        one = LlamaShape(d_model, 1, max(1, d_model // HEAD), d_ff, context)
        layers = 1 + round((parameters - one.parameters) / one.layer_parameters)
        shape = LlamaShape(d_model, max(1, layers), one.n_heads, d_ff, context)
        if abs(shape.parameters - parameters) <= TOLERANCE * parameters:
            near.append(shape)
    if not near:
        raise AxlError(f"no llama of d_model {d_model} has about {parameters:,} parameters; choose another width")
    return min(near, key=lambda shape: abs(shape.d_ff - FEED_FORWARD * d_model))


def write_byte_llama(path: Path, config: LlamaShape, seed: int) -> None:
    """Write a GGUF of `config` in F16 with random weights and the vocabulary of AXL: 256 bytes, BOS, EOS.

    Raises AxlError when gguf is missing or `path` cannot be written.
    """
    gguf = library()

    def write(temporary: Path) -> None:
        writer = gguf.GGUFWriter(temporary, "llama")
        _add_hyperparameters(writer, config)
        writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_F16))
        add_vocabulary(writer)
        draw = np.random.default_rng(seed)
        for name, shape in _tensors(config):
            if len(shape) == 1:  # norms
                writer.add_tensor(name, np.ones(shape, np.float32))
            else:
                weights = draw.standard_normal(shape, dtype=np.float32) * np.float32(shape[1] ** -0.5)
                writer.add_tensor(name, weights.astype(np.float16))
        finish(writer)

    write_with(path, write)


def _tensors(config: LlamaShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes (rows, row length) of a llama in GGUF."""
    d, d_ff = config.d_model, config.d_ff
    yield "token_embd.weight", (VOCAB_SIZE, d)
    for layer in range(config.n_layers):
        block = f"blk.{layer}."
        yield f"{block}attn_norm.weight", (d,)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"{block}{name}.weight", (d, d)
        yield f"{block}ffn_norm.weight", (d,)
        yield f"{block}ffn_gate.weight", (d_ff, d)
        yield f"{block}ffn_up.weight", (d_ff, d)
        yield f"{block}ffn_down.weight", (d, d_ff)
    yield "output_norm.weight", (d,)
    yield "output.weight", (VOCAB_SIZE, d)


def _add_hyperparameters(writer: Any, config: LlamaShape) -> None:
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.d_model)
    writer.add_block_count(config.n_layers)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_head_count(config.n_heads)
    writer.add_head_count_kv(config.n_heads)
    writer.add_rope_dimension_count(config.d_model // config.n_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCAB_SIZE)
