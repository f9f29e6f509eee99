"""One shard of a corpus memory: a suffix array over the reversed text, kept as its Burrows–Wheeler transform.

Reading backwards from a position, all places of the corpus with the same context stand side by side in the suffix array of the
reversed text, longest match nearest. The Burrows–Wheeler transform of that text (Burrows & Wheeler 1994) lists, in this order,
the byte that came *next* at each place: the predictions of any context are one slice of it, and appending a byte to a context
is one step of backward search (Ferragina & Manzini 2000). So looking up never touches the suffix array; it only says where a
prediction comes from.
"""

# Shape suffixes: N rows (one for each byte of the text), D documents.

from __future__ import annotations

import functools
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydivsufsort import divsufsort

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError

SEPARATOR = 0  # stands before every document and after the last; the data filters keep it out of documents
NOTHING = 0xFF  # no byte of UTF-8: the row of the whole text, which nothing follows, and rows of removed documents
TEXTS_KEPT = 256  # unpacked, of all shards together; a few megabytes of code
MOST_BYTES = (1 << 31) - 2  # what int32 addresses

Bytes = npt.NDArray[np.uint8]
NEXT_FILE, SUFFIXES_FILE, TEXTS_FILE, DOCUMENTS_FILE = "next.npy", "suffixes.npy", "texts.bin", "documents.json"


@dataclass(frozen=True, eq=False)
class Shard:
    """The arrays of one shard, usually memory-mapped.

    `next_N` (uint8) is the byte after each context in sorted order, `suffixes_N` (int32) the length of the reversed text that
    follows each context's last byte: `len - suffix` is the place of the next byte in the text. `starts` (D + 1) are the places
    of documents in the text, each one byte after its separator; document `i` ends one byte before `starts[i + 1] - 1`.
    """

    next_N: Bytes
    suffixes_N: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    names: list[str]
    digests: list[str]
    texts: Path | None = None
    texts_at: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def nbytes(self) -> int:
        """Bytes of the documents, without separators."""
        return len(self.next_N) - len(self.names) - 1

    def place(self, row: int) -> tuple[int, int]:
        """Document and offset in it of the byte that follows the context of `row`; the offset may be the document's length."""
        position = len(self.next_N) - int(self.suffixes_N[row])
        document = int(np.searchsorted(self.starts, position, side="right")) - 1
        return document, position - int(self.starts[document])

    def document_of_row(self) -> npt.NDArray[np.int32]:
        """The document (N) that the byte after each row's context belongs to; its end mark counts as its own."""
        of_position = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.starts))
        of_position = np.concatenate((of_position, of_position[-1:]))
        return of_position[len(self.next_N) - self.suffixes_N - 1]

    def text(self, document: int) -> bytes:
        """The content of a document. Raises AxlError when the file of texts is damaged."""
        if self.texts is None:
            raise ValueError("a shard that was never saved keeps no texts")
        try:
            return _unpacked(self.texts, self.texts.stat().st_mtime_ns, *self.texts_at[document : document + 2])
        except (OSError, zlib.error) as error:
            raise AxlError(f"{self.texts} is damaged ({error}); build the index again with axl index") from error

    def documents(self) -> Iterator[tuple[str, bytes]]:
        """All (name, content) pairs."""
        return ((name, self.text(number)) for number, name in enumerate(self.names))


@functools.lru_cache(maxsize=TEXTS_KEPT)
def _unpacked(path: Path, changed: int, begin: int, end: int) -> bytes:
    """A text of the file as it was at `changed`: what a completion draws on, the next one often draws on too."""
    with path.open("rb") as file:
        file.seek(begin)
        return zlib.decompress(file.read(end - begin))


def build_shard(documents: Iterable[tuple[str, bytes]]) -> tuple[Shard, list[bytes]]:
    """Index documents; returns the shard and their contents, in its order.

    Raises AxlError when there is none, one holds a zero byte, or all together are too long for one shard.
    """
    names, contents = map(list, zip(*documents, strict=True)) if (documents := list(documents)) else ([], [])
    if not names:
        raise AxlError("there is nothing to index: no document is left; name other paths")
    text = bytes([SEPARATOR]) + bytes([SEPARATOR]).join(contents) + bytes([SEPARATOR])
    if len(text) > MOST_BYTES:
        raise AxlError(f"one shard holds at most {MOST_BYTES:,} bytes, these documents are {len(text):,}")
    if text.count(SEPARATOR) != len(contents) + 1:
        raise AxlError("a document holds a zero byte, so it is no text; leave it out of the index")
    starts = np.cumsum([1, *(len(content) + 1 for content in contents)], dtype=np.int64)
    backwards = np.frombuffer(text, np.uint8)[::-1].copy()
    suffixes_N = np.asarray(divsufsort(backwards), np.int32)
    next_N = backwards[suffixes_N - 1]  # the row of the whole text wraps around, and is set right here
    next_N[suffixes_N == 0] = NOTHING
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    return Shard(next_N, suffixes_N, starts, names, digests), contents


def save_shard(folder: Path, shard: Shard, contents: list[bytes]) -> None:
    """Write a shard into an existing folder, to be read by `load_shard`."""
    np.save(folder / NEXT_FILE, shard.next_N)
    np.save(folder / SUFFIXES_FILE, shard.suffixes_N)
    packed = [zlib.compress(content, 6) for content in contents]
    (folder / TEXTS_FILE).write_bytes(b"".join(packed))
    fields = {
        "names": shard.names,
        "sha256": shard.digests,
        "lengths": [len(content) for content in contents],
        "packed": [len(content) for content in packed],
        "crc32": {name: zlib.crc32((folder / name).read_bytes()) for name in (NEXT_FILE, SUFFIXES_FILE, TEXTS_FILE)},
    }
    files.write_json(folder / DOCUMENTS_FILE, fields)


def load_shard(folder: Path) -> Shard:
    """Map a shard into memory. Raises AxlError, in one line, when a file is missing or damaged."""
    try:
        fields: dict[str, Any] = json.loads((folder / DOCUMENTS_FILE).read_text(encoding="utf-8"))
        starts = np.cumsum([1, *(length + 1 for length in fields["lengths"])], dtype=np.int64)
        texts_at = (0, *np.cumsum(fields["packed"]).tolist())
        next_N = np.load(folder / NEXT_FILE, mmap_mode="r")
        suffixes_N = np.load(folder / SUFFIXES_FILE, mmap_mode="r")
        names, digests = list(fields["names"]), list(fields["sha256"])
        fits = len(names) == len(digests) == len(starts) - 1 == len(texts_at) - 1
        if not fits or next_N.shape != suffixes_N.shape or next_N.shape != (starts[-1],):
            raise ValueError("its parts do not fit together")
        if next_N.dtype != np.uint8 or suffixes_N.dtype != np.int32 or (folder / TEXTS_FILE).stat().st_size != texts_at[-1]:
            raise ValueError("its parts have the wrong type or size")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AxlError(f"the index shard {folder} is damaged ({error}); build the index again with axl index") from error
    return Shard(next_N, suffixes_N, starts, names, digests, folder / TEXTS_FILE, texts_at)


def damaged_file(folder: Path) -> str | None:
    """The first file of a shard whose content is not what was written, or None: reads everything, which takes a while."""
    sums = json.loads((folder / DOCUMENTS_FILE).read_text(encoding="utf-8"))["crc32"]
    return next((name for name, crc in sums.items() if zlib.crc32((folder / name).read_bytes()) != crc), None)
