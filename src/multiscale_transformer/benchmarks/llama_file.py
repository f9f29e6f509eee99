"""A plain byte model in the format of llama.cpp: what our models are compared with at the same size.

Weights do not change the time that a byte takes, so they are random. The vocabulary is that of AXL (256 bytes, BOS, EOS), the
widths are multiples of 256, without which half of a Q4_K_M file stays in wider types. xllamacpp has no quantizer of whole
files, so the mix of llama.cpp is spelled out here, and the rows go through its own kernel.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import write_with
from multiscale_transformer.model.vocabulary import BOS, EOS, VOCAB_SIZE

Kind = Literal["Q8_0", "Q4_K_M"]

BLOCK = 256  # weights of a K-quant block
HEAD = 64  # width of an attention head
FEED_FORWARD = 8 / 3  # d_ff / d_model of Llama, whose three matrices then cost what two of 4 d_model do
TOLERANCE = 0.03  # of the wanted parameter count
CONTEXT = 2048
INSTALL = "run: pip install axl[peers]"


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
    try:
        import gguf
    except ImportError as error:
        raise AxlError(f"writing a llama needs gguf ({error}); {INSTALL}") from error

    def write(temporary: Path) -> None:
        writer = gguf.GGUFWriter(temporary, "llama")
        _add_hyperparameters(writer, config)
        writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_F16))
        _add_vocabulary(writer)
        draw = np.random.default_rng(seed)
        for name, shape in _tensors(config):
            if len(shape) == 1:  # norms
                writer.add_tensor(name, np.ones(shape, np.float32))
            else:
                weights = draw.standard_normal(shape, dtype=np.float32) * np.float32(shape[1] ** -0.5)
                writer.add_tensor(name, weights.astype(np.float16))
        _finish(writer)

    write_with(path, write)


def quantize(source: Path, target: Path, kind: Kind) -> None:
    """Write the F16 GGUF `source` as `target` in Q8_0, or in the mix Q4_K_M of llama.cpp (src/llama-quant.cpp).

    Raises AxlError when `source` is no F16 GGUF or its rows are no whole blocks, when `target` cannot be written, and when
    gguf, xllamacpp or its kernel are missing.
    """
    try:
        import gguf
    except ImportError as error:
        raise AxlError(f"quantizing a llama needs gguf ({error}); {INSTALL}") from error
    quantize_rows = _row_quantizer()
    try:
        reader = gguf.GGUFReader(source)
        layers = int(reader.fields["llama.block_count"].contents())
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise AxlError(f"{source} is not a whole GGUF file of a llama; write it with write_byte_llama") from error
    if any(tensor.data.dtype not in (np.float16, np.float32) for tensor in reader.tensors):
        raise AxlError(f"{source} is quantized already; quantize the F16 file")

    def write(temporary: Path) -> None:
        writer = gguf.GGUFWriter(temporary, "llama")
        for name, field in reader.fields.items():
            if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
                subtype = field.types[-1] if len(field.types) > 1 else None
                writer.add_key_value(name, field.contents(), field.types[0], subtype)
        writer.add_file_type(int(gguf.LlamaFileType[f"MOSTLY_{kind}"]))
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for tensor in reader.tensors:
            if tensor.data.ndim == 1:
                writer.add_tensor(tensor.name, tensor.data)
            else:
                to = gguf.GGMLQuantizationType[_tensor_type(tensor.name, layers, kind)]
                rows = quantize_rows(tensor.data, int(to), *gguf.GGML_QUANT_SIZES[to])
                writer.add_tensor(tensor.name, rows, raw_dtype=to)
        _finish(writer)

    write_with(target, write)


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


def _add_vocabulary(writer: Any) -> None:
    """The byte table of GPT-2 without merges: text of every byte is one token."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    other = iter(range(256, 512))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([*(chr(byte if byte in plain else next(other)) for byte in range(256)), "<|bos|>", "<|eos|>"])
    writer.add_token_types([1] * 256 + [3, 3])  # normal, control
    writer.add_token_merges(["\u4e00 \u4e01"])  # the key must exist, and gguf leaves out empty lists
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)


def _finish(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensor_type(name: str, layers: int, kind: Kind) -> str:
    """The type that llama.cpp gives a matrix: Q4_K_M spends 6 bits on the output and on half of the value and down matrices."""
    if kind == "Q8_0":
        return "Q8_0"
    if name == "output.weight":
        return "Q6_K"
    if name.endswith(("attn_v.weight", "ffn_down.weight")):
        layer, eighth = int(name.split(".")[1]), layers // 8
        if layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2:
            return "Q6_K"
    return "Q4_K"


def _row_quantizer() -> Callable[[np.ndarray[Any, Any], int, int, int], np.ndarray[Any, Any]]:
    """(weights [rows, length], ggml type, weights of a block, bytes of a block) to bytes [rows, bytes of a row]."""
    try:
        from xllamacpp import xllamacpp as library

        function = ctypes.CDLL(library.__file__).ggml_quantize_chunk
    except ImportError as error:
        raise AxlError(f"quantizing a llama needs xllamacpp ({error}); {INSTALL}") from error
    except (OSError, AttributeError) as error:
        raise AxlError("this build of xllamacpp does not export ggml_quantize_chunk; quantize on Linux") from error
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]
    function.restype = ctypes.c_size_t

    def quantize_rows(weights: np.ndarray[Any, Any], to: int, block: int, block_bytes: int) -> np.ndarray[Any, Any]:
        rows, length = weights.shape
        if length % block:
            raise AxlError(
                f"rows of {length} weights are no whole blocks of {block}; choose widths that are multiples of {BLOCK}"
            )
        floats = np.ascontiguousarray(weights, np.float32)
        quantized = np.empty((rows, length // block * block_bytes), np.uint8)
        written = function(to, floats.ctypes.data, quantized.ctypes.data, 0, rows, length, None)
        assert written == quantized.nbytes
        return quantized

    return quantize_rows
