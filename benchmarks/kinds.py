"""Bits per byte by kind of text: what the model in the package makes of languages other than Python, with no index at all:
only the open document is looked up in.

The files are those that the mixture of its training held out (`examples/base_mixture.yaml`). Beside them stands zpaq, which has
read nothing before and takes the files of a kind as one stream; the model takes each file by itself.
"""

from __future__ import annotations

from typing import Literal

import torch

from benchmarks.command import BASE_DATA, main
from benchmarks.comparison import corpus_of, loaded
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.options import Checkpoint, Threads
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.evaluation.compression_baselines import zpaq_bits_per_byte
from multiscale_transformer.machine import available_cores
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.zoo.shipped import shipped_model

SUFFIXES = {
    "Python": (".py",),
    "JavaScript and TypeScript": (".js", ".mjs", ".ts"),
    "C and C++": (".h", ".hpp", ".c", ".cpp"),
    "Markdown": (".md",),
}
MOST_BYTES = 400_000  # of a kind, whole files by name


class Kind(Row):
    """One kind of text."""

    name: str
    files: int
    bytes: int
    bits_per_byte: float
    zpaq: float


class KindsResult(Result):
    """All kinds."""

    kind: Literal["kinds"] = "kinds"
    parameters: int
    kinds: list[Kind]


def run(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    threads: Threads = None,
) -> KindsResult:
    """The model in the package by kind of text, without an index, beside zpaq."""
    threads = threads or available_cores()
    torch.set_num_threads(threads)
    net = loaded(model)
    held_out = corpus_of(BASE_DATA).held_out
    return KindsResult(
        **origin("kinds", threads).model_dump(),
        parameters=net.config.parameters(),
        kinds=[measure(net, name, of_kind(held_out, suffixes), threads) for name, suffixes in SUFFIXES.items()],
    )


def of_kind(documents: Documents, suffixes: tuple[str, ...]) -> Documents:
    """The documents with one of the suffixes, up to MOST_BYTES of them."""
    chosen, left = [], MOST_BYTES
    for number, (name, content) in enumerate(documents):
        if name.endswith(suffixes) and len(content) <= left:
            chosen.append(number)
            left -= len(content)
    return documents.subset(chosen)


def measure(net: MultiScaleTransformer, name: str, documents: Documents, threads: int) -> Kind:
    """Bits per byte of the model, each file by itself, and of zpaq over all of them."""
    memory = CorpusMemory([], threads=threads) if net.config.memory else None
    return Kind(
        name=name,
        files=len(documents),
        bytes=documents.nbytes,
        bits_per_byte=score_documents(net, documents, memory=memory, threads=threads).bits_per_byte,
        zpaq=zpaq_bits_per_byte(documents),
    )


def table(result: KindsResult) -> str:
    """Bits per byte by kind."""
    lines = [
        "| held-out files, no index | files | bytes | bits per byte | zpaq -m5 | over zpaq |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in result.kinds:
        over = row.bits_per_byte / row.zpaq
        lines.append(f"| {row.name} | {row.files} | {row.bytes:,} | {row.bits_per_byte:.3f} | {row.zpaq:.3f} | {over:.2f} |")
    return "\n".join(lines) + "\n\nEach file by itself; zpaq has all files of a kind as one stream.\n"


RESULT = KindsResult

if __name__ == "__main__":
    main("kinds")
