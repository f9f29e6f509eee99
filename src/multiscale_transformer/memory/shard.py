"""One shard of a corpus memory: a suffix array over the reversed text, kept as its Burrows–Wheeler transform.

Reading backwards from a position, all places of the corpus with the same context stand side by side in the suffix array of the
reversed text, longest match nearest. The Burrows–Wheeler transform of that text (Burrows & Wheeler 1994) lists, in this order,
the byte that came *next* at each place: the predictions of any context are one slice of it, and appending a byte to a context
is one step of backward search (Ferragina & Manzini 2000). So looking up never touches the suffix array; it only says where a
prediction comes from.

Building takes 5 bytes of RAM for each byte of text, one for the text and four for the suffix array, and up to 12 before that,
for its structure (`memory.structure`): the text grows in one block while documents come, packed contents go to the disk at
once, and everything else is done in pieces. So the size of a
shard bounds the RAM of `axl index`, and a larger corpus has several.
"""

# Shape suffixes: N rows (one for each byte of the text), D documents.

from __future__ import annotations

import functools
import hashlib
import json
import mmap
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
from pydivsufsort import divsufsort

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.arrays import map_array, write_array
from multiscale_transformer.memory.document import Document
from multiscale_transformer.memory.in_ram import ShardInRam, in_ram
from multiscale_transformer.memory.structure import STRUCTURE_FILES, Structure, load_structure, structure_of, write_structure
from multiscale_transformer.model.memory_spec import NOTHING, SEPARATOR

TEXTS_KEPT = 64  # unpacked, of each shard: what a completion draws on, the next one often draws on too
MAX_BYTES = (1 << 31) - 2  # what int32 addresses
SHARD_BYTES = 256 << 20  # of text in a shard: building it takes 3.2 GB of RAM, and a second one makes look-ups half slower
PIECE = 1 << 22  # rows or bytes that are done at once where all together would take RAM

_OPEN: WeakValueDictionary[Any, Shard] = WeakValueDictionary()  # by folder and state of its files

Bytes = npt.NDArray[np.uint8]
Item = Document | tuple[str, bytes]
NEXT_FILE, SUFFIXES_FILE, TEXTS_FILE, DOCUMENTS_FILE = "next.npy", "suffixes.npy", "texts.bin", "documents.json"


@dataclass(frozen=True, eq=False)
class Shard:
    """The arrays of one shard, usually memory-mapped: whoever has opened it goes on with it when its files are gone.

    `next_N` (uint8) is the byte after each context in sorted order, `suffixes_N` (int32) the length of the reversed text that
    follows each context's last byte: `len - suffix` is the place of the next byte in the text. `starts` (D + 1) are the places
    of documents in the text, each one byte after its separator; document `i` ends one byte before `starts[i + 1] - 1`.
    """

    next_N: Bytes
    suffixes_N: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    names: list[str]
    sources: list[str]
    digests: list[str]
    structure: Structure
    folder: Path | None = None
    texts: mmap.mmap | None = None
    texts_at: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def nbytes(self) -> int:
        """Bytes of the documents, without separators."""
        return len(self.next_N) - len(self.names) - 1

    @property
    def keys(self) -> Iterator[tuple[str, str]]:
        """Source and name of each document."""
        return zip(self.sources, self.names, strict=True)

    @property
    def ram_bytes(self) -> int:
        """Bytes of RAM that look-ups in it take so far."""
        made = (self.__dict__.get("in_ram"), self.__dict__.get("document_of_row"))
        return sum(part.nbytes for part in made if part is not None)

    def place(self, row: int) -> tuple[int, int]:
        """Document and offset in it of the byte that follows the context of `row`; the offset may be the document's length."""
        position = len(self.next_N) - int(self.suffixes_N[row])
        document = int(np.searchsorted(self.starts, position, side="right")) - 1
        return document, position - int(self.starts[document])

    @functools.cached_property
    def in_ram(self) -> ShardInRam:
        """What look-ups read; made when it is first asked for, and kept as long as the shard."""
        return in_ram(self.next_N, self.starts, self.structure)

    @functools.cached_property
    def document_of_row(self) -> npt.NDArray[np.int32]:
        """The document (N) that the byte after each row's context belongs to, with its end mark as its own; it is kept, too."""
        of_position = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.starts))
        of_position = np.concatenate((of_position, of_position[-1:]))
        return of_position[len(self.next_N) - self.suffixes_N - 1]

    def document(self, number: int) -> Document:
        """A document with its name and source. Raises AxlError when the file of texts is damaged."""
        return Document(self.names[number], self.text(number), self.sources[number])

    def text(self, document: int) -> bytes:
        """The content of a document. Raises AxlError when the file of texts is damaged."""
        try:
            return self._unpack(document)
        except zlib.error as error:
            raise AxlError(f"{self.folder} is damaged ({error}); build the index again with axl index") from error

    @functools.cached_property
    def _unpack(self) -> Callable[[int], bytes]:
        """Gives a document's content; the last few are kept."""
        if (texts := self.texts) is None:
            raise ValueError("a shard that was never saved keeps no texts")
        at = self.texts_at
        return functools.lru_cache(TEXTS_KEPT)(lambda document: zlib.decompress(texts[at[document] : at[document + 1]]))


@dataclass
class Gathered:
    """The documents of a shard as they come: their text in one block of RAM, and their packed contents in a file if one is
    given."""

    texts: BinaryIO | None = None
    text: bytearray = field(default_factory=lambda: bytearray([SEPARATOR]))
    names: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    packed: list[int] = field(default_factory=list)

    def add(self, document: Document) -> None:
        """Put a document behind the others. Raises AxlError when it holds a zero byte or is too long for any shard."""
        if SEPARATOR in document.content:
            raise AxlError(f"{document.name} holds a zero byte, so it is no text; leave it out of the index")
        if len(self.text) + len(document.content) + 1 > MAX_BYTES:
            raise AxlError(f"one shard holds at most {MAX_BYTES:,} bytes; leave {document.name} out of the index")
        self.text += document.content
        self.text.append(SEPARATOR)
        self.names.append(document.name)
        self.sources.append(document.source)
        self.digests.append(hashlib.sha256(document.content).hexdigest())
        self.lengths.append(len(document.content))
        if self.texts is not None:
            self.packed.append(self.texts.write(zlib.compress(document.content, 6)))

    def has_room(self, document: Document, max_bytes: int) -> bool:
        """Whether a shard of `max_bytes` holds a further document; an empty one holds any."""
        return not self.names or len(self.text) + len(document.content) + 1 <= max_bytes

    def structure(self) -> Structure:
        """The structure of what was gathered; to be asked for before it is sorted."""
        return structure_of(self.text)

    def sort(self) -> tuple[npt.NDArray[np.int32], Iterator[Bytes]]:
        """`suffixes_N` of what was gathered, and `next_N` in pieces; nothing can be added any more."""
        backwards = np.frombuffer(self.text, np.uint8)
        _reverse(backwards)
        suffixes_N = np.asarray(divsufsort(backwards), np.int32)
        return suffixes_N, _next_bytes(backwards, suffixes_N)


def _next_bytes(backwards: Bytes, suffixes_N: npt.NDArray[np.int32]) -> Iterator[Bytes]:
    for begin in range(0, len(suffixes_N), PIECE):
        part = suffixes_N[begin : begin + PIECE]
        following = backwards[part - 1]  # the row of the whole text wraps around, and is set right here
        following[part == 0] = NOTHING
        yield following


def _reverse(array: Bytes) -> None:
    """Turn an array around in its place, a piece of each end at a time."""
    begin, end = 0, len(array)
    while end - begin > 1:
        size = min(PIECE, (end - begin) // 2)
        left = array[begin : begin + size][::-1].copy()
        array[begin : begin + size] = array[end - size : end][::-1]
        array[end - size : end] = left
        begin, end = begin + size, end - size


def build_shard(documents: Iterable[Item]) -> tuple[Shard, list[bytes]]:
    """Index documents in RAM alone; returns the shard and their contents, in its order.

    Raises AxlError when there is none, one holds a zero byte, or all together are too long for one shard.
    """
    gathered, contents = Gathered(), []
    for document in map(as_document, documents):
        gathered.add(document)
        contents.append(document.content)
    if not contents:
        raise AxlError("there is nothing to index: no document is left; name other paths")
    structure = gathered.structure()
    suffixes_N, pieces = gathered.sort()
    next_N, starts = np.concatenate(list(pieces)), _starts(gathered.lengths)
    return Shard(next_N, suffixes_N, starts, gathered.names, gathered.sources, gathered.digests, structure), contents


def write_shard(folder: Path, documents: Iterable[Item], max_bytes: int = MAX_BYTES) -> Document | None:
    """Write a shard of the first documents into an existing folder, to be read by `load_shard`.

    Takes as many as `max_bytes` of text hold and returns the first that had no room, or None. Raises AxlError as
    `build_shard`, OSError when the disk is full.
    """
    rest = None
    with (folder / TEXTS_FILE).open("wb") as texts:
        gathered = Gathered(texts)
        for document in map(as_document, documents):
            if not gathered.has_room(document, max_bytes):
                rest = document
                break
            gathered.add(document)
    if not gathered.names:
        raise AxlError("there is nothing to index: no document is left; name other paths")
    write_structure(folder, gathered.structure())
    suffixes_N, pieces = gathered.sort()
    write_array(folder / NEXT_FILE, np.uint8, suffixes_N.shape, pieces)
    parts = np.array_split(suffixes_N, 1 + len(suffixes_N) // PIECE)
    write_array(folder / SUFFIXES_FILE, np.int32, suffixes_N.shape, parts)
    _write_documents(folder, gathered)
    return rest


def as_document(item: Item) -> Document:
    """A document from itself or from a pair of name and content, whose source nobody knows."""
    return item if isinstance(item, Document) else Document(*item)


def _write_documents(folder: Path, gathered: Gathered) -> None:
    distinct = {source: number for number, source in enumerate(dict.fromkeys(gathered.sources))}
    fields = {
        "names": gathered.names,
        "sources": list(distinct),
        "source": [distinct[source] for source in gathered.sources],
        "sha256": gathered.digests,
        "lengths": gathered.lengths,
        "packed": gathered.packed,
        "crc32": {name: _crc32(folder / name) for name in (NEXT_FILE, SUFFIXES_FILE, TEXTS_FILE, *STRUCTURE_FILES)},
    }
    files.write_json(folder / DOCUMENTS_FILE, fields)


def load_shard(folder: Path) -> Shard:
    """Map a shard into memory; the same object as before where somebody still has it and its files are the same.

    Raises AxlError, in one line, when a file is missing or damaged.
    """
    state = (folder.absolute(), _state_of_files(folder))
    shard = _OPEN.get(state)
    if shard is None:
        _OPEN[state] = shard = _load(folder)
    return shard


def _state_of_files(folder: Path) -> tuple[tuple[int, int, int] | None, ...]:
    states: list[tuple[int, int, int] | None] = []
    for name in (DOCUMENTS_FILE, NEXT_FILE, SUFFIXES_FILE, TEXTS_FILE, *STRUCTURE_FILES):
        try:
            status = (folder / name).stat()
        except OSError:
            states.append(None)
        else:
            states.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(states)


def _load(folder: Path) -> Shard:
    try:
        fields: dict[str, Any] = json.loads((folder / DOCUMENTS_FILE).read_text(encoding="utf-8"))
        starts = _starts(fields["lengths"])
        texts_at = (0, *np.cumsum(fields["packed"]).tolist())
        next_N, suffixes_N = map_array(folder / NEXT_FILE, np.uint8), map_array(folder / SUFFIXES_FILE, np.int32)
        names, digests = list(fields["names"]), list(fields["sha256"])
        distinct = fields.get("sources", [""])  # an index of earlier versions knows none
        sources = [distinct[number] for number in fields.get("source", [0] * len(names))]
        fits = len(names) == len(sources) == len(digests) == len(starts) - 1 == len(texts_at) - 1
        if not fits or next_N.shape != suffixes_N.shape or next_N.shape != (starts[-1],):
            raise ValueError("its parts do not fit together")
        texts, structure = _mapped(folder / TEXTS_FILE), load_structure(folder, len(next_N))
        if len(texts) != texts_at[-1]:
            raise ValueError("its texts have the wrong size")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise AxlError(f"the index shard {folder} is damaged ({error}); build the index again with axl index") from error
    return Shard(next_N, suffixes_N, starts, names, sources, digests, structure, folder, texts, texts_at)


def damaged_file(folder: Path) -> str | None:
    """The first file of a shard whose content is not what was written, or None: reads everything, which takes a while."""
    sums = json.loads((folder / DOCUMENTS_FILE).read_text(encoding="utf-8"))["crc32"]
    return next((name for name, crc in sums.items() if _crc32(folder / name) != crc), None)


def _starts(lengths: list[int]) -> npt.NDArray[np.int64]:
    return np.cumsum([1, *(length + 1 for length in lengths)], dtype=np.int64)


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _crc32(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while part := file.read(PIECE):
            crc = zlib.crc32(part, crc)
    return crc
