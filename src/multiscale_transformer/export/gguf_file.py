"""The file format of llama.cpp: our vocabulary in it, and its quantization of whole files.

xllamacpp has no quantizer of whole files, so the mix of llama.cpp (which tensor gets which type, and what a row that is no
multiple of a block falls back to; src/llama-quant.cpp) is spelled out here, and the rows go through its own kernel. gguf and
xllamacpp are optional and loaded when they are needed.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import write_with
from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

Kind = Literal["F16", "BF16", "Q8_0", "Q4_K_M"]

SUPER_BLOCK = 256  # weights of a K-quant block
BLOCK = 32  # weights of the older kinds
INSTALL = "run: pip install axl[peers]"
_FALLBACK = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}


@dataclass(frozen=True)
class Quantized:
    """What a file came to: bits a weight over all tensors, how many matrices there are, and which fell back to what."""

    kind: str
    bytes: int
    weights: int
    matrices: int
    fallbacks: dict[str, str]

    @property
    def bits_per_weight(self) -> float:
        """Of the tensors, norms too, without the header."""
        return 8 * self.bytes / self.weights


def library() -> Any:
    """The package gguf. Raises AxlError when it is missing."""
    try:
        import gguf
    except ImportError as error:
        raise AxlError(f"files of llama.cpp need gguf ({error}); {INSTALL}") from error
    return gguf


def byte_texts() -> list[str]:
    """The printable character that stands for each byte in GPT-2's tokenizer."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    other = iter(range(256, 512))
    return [chr(byte if byte in plain else next(other)) for byte in range(256)]


def add_vocabulary(writer: Any) -> None:
    """The byte table of GPT-2 without merges: every byte is one token, and all valid UTF-8 is exact."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")  # with most others llama.cpp takes spaces away when it makes text of tokens
    writer.add_token_list([*byte_texts(), "<|bos|>", "<|eos|>"])
    writer.add_token_types([1] * 256 + [3, 3])  # normal, control
    writer.add_token_merges(["\u4e00 \u4e01"])  # the key must exist, and gguf leaves out empty lists
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_uint32("tokenizer.ggml.fim_pre_token_id", FIM_PREFIX)
    writer.add_uint32("tokenizer.ggml.fim_suf_token_id", FIM_SUFFIX)
    writer.add_uint32("tokenizer.ggml.fim_mid_token_id", FIM_MIDDLE)


def finish(writer: Any) -> None:
    """Write everything that was added."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def stays_float(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is kept in 32 bits in every kind: norms, and kernels of convolutions, which ggml takes in no other."""
    return len(shape) == 1 or name.endswith("shortconv.conv.weight")


def tensor_type(name: str, row: int, layers: int, kind: Kind) -> str:
    """The type that llama.cpp gives a matrix whose rows have `row` weights.

    Q4_K_M spends 6 bits on the output and on half of the value and down matrices. Rows that are no whole super-blocks fall back
    to the older kinds, rows that are no whole blocks to F16.
    """
    if kind in ("F16", "BF16"):
        return kind
    wanted = "Q8_0" if kind == "Q8_0" else _mix(name, layers)
    if wanted in _FALLBACK and row % SUPER_BLOCK:
        wanted = _FALLBACK[wanted]
    return "F16" if row % BLOCK else wanted


def _mix(name: str, layers: int) -> str:
    if name == "output.weight":
        return "Q6_K"
    if ".shortconv." in name:
        return "Q8_0"  # ones and zeros for the most part, which 8 bits hold exactly
    if name.endswith(("attn_v.weight", "ffn_down.weight")):
        layer, eighth = int(name.split(".")[1]), layers // 8
        if layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2:
            return "Q6_K"
    return "Q4_K"


def planned(shapes: Mapping[str, tuple[int, ...]], layers: int, kind: Kind) -> Quantized:
    """What tensors of these shapes (rows, weights of a row) come to in a file. Raises AxlError when gguf is missing."""
    gguf = library()
    size, matrices, fallbacks = 0, 0, {}
    for name, shape in shapes.items():
        if stays_float(name, shape):
            size += 4 * math.prod(shape)
            continue
        matrices += 1
        to = tensor_type(name, shape[1], layers, kind)
        if to != tensor_type(name, SUPER_BLOCK, layers, kind):
            fallbacks[name] = to
        block, block_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[to]]
        size += shape[0] * shape[1] // block * block_bytes
    return Quantized(kind, size, sum(map(math.prod, shapes.values())), matrices, fallbacks)


def quantize_file(source: Path, target: Path, kind: Kind) -> Quantized:
    """Write the F16 GGUF `source` as `target` in another kind.

    Raises AxlError when `source` is no F16 GGUF, when `target` cannot be written, and when gguf, xllamacpp or its kernel are
    missing.
    """
    gguf = library()
    quantize_rows = row_quantizer()
    try:
        reader = gguf.GGUFReader(source)
        architecture = str(reader.fields["general.architecture"].contents())
        layers = int(reader.fields[f"{architecture}.block_count"].contents())
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise AxlError(f"{source} is not a whole GGUF file of a language model; write it anew") from error
    if any(tensor.data.dtype not in (np.float16, np.float32) for tensor in reader.tensors):
        raise AxlError(f"{source} is quantized already; quantize the F16 file")

    def write(temporary: Path) -> None:
        writer = gguf.GGUFWriter(temporary, architecture)
        for name, field in reader.fields.items():
            if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
                subtype = field.types[-1] if len(field.types) > 1 else None
                writer.add_key_value(name, field.contents(), field.types[0], subtype)
        writer.add_file_type(int(gguf.LlamaFileType[f"MOSTLY_{kind}"]))
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for tensor in reader.tensors:
            if stays_float(tensor.name, tensor.data.shape):
                writer.add_tensor(tensor.name, tensor.data)
                continue
            to = tensor_type(tensor.name, tensor.data.shape[1], layers, kind)
            rows = _converted(gguf, quantize_rows, tensor.data, to)
            writer.add_tensor(tensor.name, rows, raw_dtype=gguf.GGMLQuantizationType[to])
        finish(writer)

    write_with(target, write)
    return planned({tensor.name: tensor.data.shape for tensor in reader.tensors}, layers, kind)


RowQuantizer = Callable[[np.ndarray[Any, Any], int, int, int], np.ndarray[Any, Any]]


def _converted(gguf: Any, quantize_rows: RowQuantizer, weights: np.ndarray[Any, Any], to: str) -> np.ndarray[Any, Any]:
    kind = gguf.GGMLQuantizationType[to]
    if to == "F16":
        return weights.astype(np.float16)
    if to == "BF16":
        return gguf.quantize(weights.astype(np.float32), kind)  # type: ignore[no-any-return]
    return quantize_rows(weights, int(kind), *gguf.GGML_QUANT_SIZES[kind])


def row_quantizer() -> RowQuantizer:
    """(weights [rows, length], ggml type, weights of a block, bytes of a block) to bytes [rows, bytes of a row].

    Raises AxlError when xllamacpp is missing or does not export the kernel.
    """
    try:
        from xllamacpp import xllamacpp

        function = ctypes.CDLL(xllamacpp.__file__).ggml_quantize_chunk
    except ImportError as error:
        raise AxlError(f"quantizing needs xllamacpp ({error}); {INSTALL}") from error
    except (OSError, AttributeError) as error:
        raise AxlError("this build of xllamacpp does not export ggml_quantize_chunk; quantize on Linux") from error
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]
    function.restype = ctypes.c_size_t

    def quantize_rows(weights: np.ndarray[Any, Any], to: int, block: int, block_bytes: int) -> np.ndarray[Any, Any]:
        rows, length = weights.shape
        if length % block:
            raise AxlError(f"rows of {length} weights are no whole blocks of {block}")
        floats = np.ascontiguousarray(weights, np.float32)
        quantized = np.empty((rows, length // block * block_bytes), np.uint8)
        written = function(to, floats.ctypes.data, quantized.ctypes.data, 0, rows, length, None)
        assert written == quantized.nbytes
        return quantized

    return quantize_rows
