"""`axl export gguf`: the fine stack of a checkpoint as files that stock llama.cpp and Ollama load."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multiscale_transformer.errors import AxlError
from multiscale_transformer.export.fine_stack import fine_stack
from multiscale_transformer.export.gguf_file import (
    Kind,
    Quantized,
    add_vocabulary,
    finish,
    library,
    planned,
    quantize_file,
    stays_float,
)
from multiscale_transformer.export.stack import EPSILON, FineStack
from multiscale_transformer.files import write_with
from multiscale_transformer.locks import writing
from multiscale_transformer.zoo.prompt_formats import FORMATS, format_of

KINDS: tuple[Kind, ...] = ("F16", "BF16", "Q8_0", "Q4_K_M")


def gguf_name(name: str, kind: str) -> str:
    """`AXL-Micro` as F16: axl-micro-f16.gguf."""
    return f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'model'}-{kind.lower()}.gguf"


def export_gguf(folder: Path, out: Path, name: str, kinds: Sequence[Kind] = KINDS) -> list[tuple[Path, Quantized]]:
    """Write `folder`'s fine stack into `out`, a file for each kind; each is whole or not there.

    Raises AxlError when the folder is no checkpoint, a file is there already, another process writes there, the disk is
    full, or gguf or xllamacpp are missing.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise AxlError(f"unknown kind {unknown[0]!r}; known are {', '.join(KINDS)}")
    paths = {kind: out / gguf_name(name, kind) for kind in kinds}
    with writing(out):
        return _export(folder, out, name, paths)


def _export(folder: Path, out: Path, name: str, paths: dict[Kind, Path]) -> list[tuple[Path, Quantized]]:
    taken = [path for path in paths.values() if path.exists()]
    if taken:
        raise AxlError(f"{taken[0]} already exists; choose another --out, or delete it")
    stack = fine_stack(folder)
    out.mkdir(parents=True, exist_ok=True)
    f16 = paths.get("F16", out / f".{gguf_name(name, 'f16')}")
    try:
        write_gguf(stack, f16, name, format_of(folder).chat)
        found = []
        for kind, path in paths.items():
            found.append((path, report(stack, "F16") if kind == "F16" else quantize_file(f16, path, kind)))
    finally:
        if "F16" not in paths:
            f16.unlink(missing_ok=True)
    return found


def report(stack: FineStack, kind: Kind) -> Quantized:
    """What a file of the stack comes to. Raises AxlError when gguf is missing."""
    return planned({name: tensor.shape for name, tensor in stack.tensors.items()}, stack.layers, kind)


def write_gguf(stack: FineStack, path: Path, name: str, chat_template: str = FORMATS["code"].chat) -> None:
    """The stack in F16. Raises AxlError when gguf is missing or `path` cannot be written."""
    gguf = library()

    def write(temporary: Path) -> None:
        writer = gguf.GGUFWriter(temporary, stack.architecture)
        _add_facts(writer, stack, name)
        writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_F16))
        add_vocabulary(writer)
        writer.add_chat_template(chat_template)
        for label, tensor in stack.tensors.items():
            writer.add_tensor(label, tensor.astype(np.float32 if stays_float(label, tensor.shape) else np.float16))
        finish(writer)

    write_with(path, write)


def _add_facts(writer: Any, stack: FineStack, name: str) -> None:
    config = stack.config
    writer.add_name(name)
    writer.add_license("apache-2.0")
    writer.add_description("The fine stack of an AXL model with its auxiliary head: bytes are tokens, and there is no memory.")
    writer.add_context_length(config.max_seq_len)
    writer.add_embedding_length(stack.width)
    writer.add_block_count(stack.layers)
    writer.add_feed_forward_length(stack.d_ff)
    writer.add_head_count(stack.heads)
    if stack.conv_length:
        writer.add_head_count_kv([0] + [stack.heads] * (stack.layers - 1))  # 0 says that the layer is a convolution
        writer.add_shortconv_l_cache(stack.conv_length)
    else:
        writer.add_head_count_kv(stack.heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_vocab_size(config.vocab_size)
