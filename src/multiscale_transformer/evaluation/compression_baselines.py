"""Compression baselines: what xz, PPMd and zpaq make of the same held-out files, in bits per byte.

A language model that predicts files well is a compressor that shrinks them well (Shannon 1951), so the figure of a model only
means something beside the figure of the programs everybody has. All files are one stream, in the order of their names, so that
a compressor may use what earlier files taught it. (One stream of the Python library gives xz 1.31 and PPMd 1.25; each file by
itself gives xz 1.62.) A figure is *primed* when the compressor has read the training files first.

zpaq mixes the predictions of many context models as it goes and is the strongest of the three, but reads less than a megabyte a
second: benchmarks and `axl eval bpb --baselines` ask for it, training does not.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any, NamedTuple

from multiscale_transformer.errors import AxlError

Documents = Iterable[tuple[str, bytes]]


class Label(NamedTuple):
    """What people read: `full` says how the compressor was called, `short` only which one it is."""

    full: str
    short: str


LABELS = {  # by the key of the figure in results
    "xz": Label("xz -9e", "xz"),
    "ppmd": Label("PPMd, order 8", "PPMd"),
    "ppmd_primed": Label("PPMd primed with the training files", "PPMd primed"),
    "zpaq": Label("zpaq -m5", "zpaq"),
    "zpaq_primed": Label("zpaq -m5 primed with the training files", "zpaq primed"),
}
NEEDS_ZPAQ = "comparing with zpaq needs the package zpaq; run: pip install axl[bench]"

PPMD_ORDER = 8  # bytes of context; PPMd gains nothing beyond on source code
PPMD_MEMORY_PER_BYTE = 48  # measured: source code fills 8 bytes of model for each byte read, random bytes 32 to 48
PPMD_MAX_MEMORY = (1 << 32) - (1 << 16)  # the format counts its memory in 32 bits
# What libzpaq makes of -m5 for text (compressBlock in libzpaq.cpp), behind the size of a block. Spelled out, it does not depend
# on the data, so that two streams of which one begins the other are read by the same model.
ZPAQ_MODEL = ",0w2c0,1010,255i1c256ci1,1,1,1,1,1,2ac0,2,0,255i1c0,3,0,0,255i1c0,4,0,0,0,255i1mm16ts19t0"
ZPAQ_MAX_BLOCK = 8  # log2 of the megabytes of a block; the tables of the model grow with it, and two models are at work at once


def compression_figures(train: Documents | None, held_out: Documents, *, zpaq: bool = False) -> dict[str, float]:
    """Bits per byte of `held_out` by the keys of `LABELS`; the primed ones if `train` is given, zpaq's where it is asked for.

    Documents are (name, content). Raises AxlError when the held-out documents hold no byte, or when zpaq is missing.
    """
    figures = {"xz": xz_bits_per_byte(held_out), "ppmd": ppmd_bits_per_byte(held_out)}
    if train is not None:
        figures["ppmd_primed"] = ppmd_primed_bits_per_byte(train, held_out)
    if zpaq:
        figures["zpaq"] = zpaq_bits_per_byte(held_out)
        if train is not None:
            figures["zpaq_primed"] = zpaq_primed_bits_per_byte(train, held_out)
    return figures


def labelled(figures: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The figures of compressors among others, with their full labels; those that are None were not measured."""
    return [(label.full, figures[key]) for key, label in LABELS.items() if figures.get(key) is not None]


def has_zpaq() -> bool:
    """Whether the optional package zpaq is installed."""
    return find_spec("zpaq") is not None


def xz_bits_per_byte(documents: Documents) -> float:
    """`xz -9e` (LZMA2 with a dictionary of 64 MiB), with the 60 bytes or so of its container."""
    content = _content(documents)
    return 8 * len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME)) / len(content)


def ppmd_bits_per_byte(documents: Documents) -> float:
    """PPMd variant H, the one of 7-Zip (Shkarin 2002), of order 8, with memory enough to forget nothing."""
    return ppmd_primed_bits_per_byte((), documents)


def ppmd_primed_bits_per_byte(train: Documents, held_out: Documents) -> float:
    """What `held_out` adds to the size of `train` under the same PPMd: a model that has read all the training files.

    This is size(train + held_out) - size(train), from one stream. Beyond 85 MiB of text the memory that the format allows may
    run out; PPMd then starts afresh, and the figure is that of a peer which forgets.
    """
    import pyppmd

    training, content = _stream(train), _content(held_out)
    memory = min(PPMD_MAX_MEMORY, max(1 << 24, PPMD_MEMORY_PER_BYTE * (len(training) + len(content))))
    try:
        encoder = pyppmd.Ppmd7Encoder(PPMD_ORDER, memory)
        encoder.encode(training)
        size = len(encoder.encode(content)) + len(encoder.flush())
    except MemoryError as error:
        raise AxlError(f"PPMd needs {memory / 1e9:.1f} GB of memory to compare with; measure on less text") from error
    return 8 * size / len(content)


def ppmd_apart_bits_per_byte(documents: Documents) -> float:
    """PPMd that starts afresh with each file: what it knows of a file without its neighbours."""
    items = list(documents)
    bits = sum(ppmd_bits_per_byte([item]) * len(item[1]) for item in items if item[1])
    return bits / len(_content(items))


def zpaq_bits_per_byte(documents: Documents) -> float:
    """zpaq with the model of `-m5` for text (Mahoney 2015), all documents in one block."""
    content = _content(documents)
    return 8 * len(_zpaq(content, len(content))) / len(content)


def zpaq_primed_bits_per_byte(train: Documents, held_out: Documents) -> float:
    """What `held_out` adds to the size of `train` under zpaq: size(train + held_out) - size(train).

    Both streams are one block of the same model, so what the training files taught is known when the held-out files begin.
    Beyond 256 MB there are several blocks, and the model knows of the training files only what stands in the last one.
    """
    training, content = _stream(train), _content(held_out)
    total = len(training) + len(content)
    with ThreadPoolExecutor(2) as pool:
        sizes = list(pool.map(lambda stream: len(_zpaq(stream, total)), (training, training + content)))
    return 8 * (sizes[1] - sizes[0]) / len(content)


def _zpaq(content: bytes, room: int) -> bytes:
    """`content` compressed with a model for blocks of `room` bytes. Raises AxlError when zpaq is missing."""
    try:
        import zpaq
    except ImportError as error:
        raise AxlError(NEEDS_ZPAQ) from error
    block = min(ZPAQ_MAX_BLOCK, max(0, (room + 4095).bit_length() - 20))
    return bytes(zpaq.compress(content, threads=1, method=f"x{block}{ZPAQ_MODEL}")) if content else b""


def _stream(documents: Documents) -> bytes:
    return b"".join(text for _, text in sorted(documents))


def _content(documents: Documents) -> bytes:
    content = _stream(documents)
    if not content:
        raise AxlError("there is nothing to compress: the documents hold no byte; hold out or name other files")
    return content
