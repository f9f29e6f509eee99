"""Compressors as peers: what xz and PPMd make of the same held-out files, in bits per byte.

A language model that predicts files well is a compressor that shrinks them well (Shannon 1951), so the figure of a model only
means something beside the figure of the programs everybody has. The convention is the one of shared/DESIGN.md §4, found by
trying: all files in one stream, in the order of their names, so that a compressor may use what earlier files taught it. (One
stream of the Python library gives xz 1.31 and PPMd 1.25; each file by itself gives xz 1.62.)
"""

from __future__ import annotations

import lzma
from collections.abc import Iterable

import pyppmd

from multiscale_transformer.errors import AxlError

Documents = Iterable[tuple[str, bytes]]

LABELS = {"xz": "xz -9e", "ppmd": "PPMd, order 8", "ppmd_primed": "PPMd primed with the training files"}
ORDER = 8  # bytes of context; PPMd gains nothing beyond on source code
MEMORY_PER_BYTE = 48  # measured: source code fills 8 bytes of model for each byte read, random bytes 32 to 48
MAX_MEMORY = (1 << 32) - (1 << 16)  # the format counts its memory in 32 bits


def peers(train: Documents | None, held_out: Documents) -> dict[str, float]:
    """Bits per byte of `held_out` under `xz`, `ppmd` and, if `train` is given, `ppmd_primed`.

    Documents are (name, content). Raises AxlError when the held-out documents hold no byte.
    """
    figures = {"xz": xz_bits_per_byte(held_out), "ppmd": ppmd_bits_per_byte(held_out)}
    if train is not None:
        figures["ppmd_primed"] = ppmd_primed_bits_per_byte(train, held_out)
    return figures


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
    known, content = b"".join(text for _, text in sorted(train)), _content(held_out)
    memory = min(MAX_MEMORY, max(1 << 24, MEMORY_PER_BYTE * (len(known) + len(content))))
    try:
        encoder = pyppmd.Ppmd7Encoder(ORDER, memory)
        encoder.encode(known)
        size = len(encoder.encode(content)) + len(encoder.flush())
    except MemoryError as error:
        raise AxlError(f"PPMd needs {memory / 1e9:.1f} GB of memory to compare with; measure on less text") from error
    return 8 * size / len(content)


def ppmd_apart_bits_per_byte(documents: Documents) -> float:
    """PPMd that starts afresh with each file: what it knows of a file without its neighbours."""
    items = list(documents)
    bits = sum(ppmd_bits_per_byte([item]) * len(item[1]) for item in items if item[1])
    return bits / len(_content(items))


def _content(documents: Documents) -> bytes:
    content = b"".join(text for _, text in sorted(documents))
    if not content:
        raise AxlError("there is nothing to compress: the documents hold no byte; hold out or name other files")
    return content
