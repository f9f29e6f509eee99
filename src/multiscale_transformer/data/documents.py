"""Many documents in one block of memory.

A corpus of 28 MB is some 1,700 files. Held as one array with offsets it costs nothing beyond its bytes, streams without a
copy and is handed whole to whatever indexes or scores it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from multiscale_transformer.memory.document import Document


@dataclass(frozen=True, eq=False)
class Documents:
    """An immutable sequence of named documents.

    `data` is uint8 and holds every byte, document after document; document `i` is `data[offsets[i]:offsets[i + 1]]`, so
    `offsets` is int64 of length n + 1. Both arrays are read-only. `sources` says for each name in what it is a path (see
    `memory.document`); it is as long as `names`, with empty words where nobody knows. Of documents that are a prompt and its
    answer, `answers` says at which byte of each the answer begins (int64 of length n); of others it is None.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    names: list[str]
    sources: list[str] = field(default_factory=list)
    answers: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.names) + 1 or self.offsets[0] != 0 or self.offsets[-1] != len(self.data):
            raise ValueError("offsets must have one entry more than names, start at 0 and end at the last byte")
        if not self.sources:
            object.__setattr__(self, "sources", [""] * len(self.names))
        if len(self.sources) != len(self.names):
            raise ValueError("sources must be as long as names")
        if self.answers is not None and len(self.answers) != len(self.names):
            raise ValueError("answers must be as long as names")
        self.data.flags.writeable = False
        self.offsets.flags.writeable = False

    @classmethod
    def from_items(cls, items: Iterable[tuple[str, bytes] | Document]) -> Documents:
        """Gather documents, or (name, content) pairs of no source, in the order in which they come."""
        names: list[str] = []
        contents: list[bytes] = []
        sources: list[str] = []
        for name, content, *source in items:
            names.append(name)
            contents.append(content)
            sources.append(source[0] if source else "")
        offsets = np.zeros(len(contents) + 1, np.int64)
        np.cumsum([len(content) for content in contents], out=offsets[1:])
        return cls(np.frombuffer(b"".join(contents), np.uint8), offsets, names, sources)

    def suffixes(self) -> list[tuple[str, int]]:
        """Bytes by the ending of the names, most first; `a.py:area` is a function of a file of Python."""
        counts: Counter[str] = Counter()
        for name, length in zip(self.names, np.diff(self.offsets).tolist(), strict=True):
            counts[PurePosixPath(name).suffix.partition(":")[0]] += length
        return counts.most_common()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> bytes:
        """The content of document `index`; negative indices count from the end. Raises IndexError."""
        index = range(len(self))[index]
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        return ((name, self[index]) for index, name in enumerate(self.names))

    def documents(self) -> Iterator[Document]:
        """All documents with their sources, in order."""
        return (Document(name, self[index], self.sources[index]) for index, name in enumerate(self.names))

    def to_index(self) -> Iterator[Document]:
        """The documents that a memory is made of: those without an answer to a prompt, unless all have one.

        Beside plain text, prompts and answers are what a model is to be taught, and not there when it is used.
        """
        if self.answers is None or self.only_answers:
            return self.documents()
        return self.subset(np.flatnonzero(self._is_plain).tolist()).documents()

    @property
    def only_answers(self) -> bool:
        """Whether all documents are a prompt and its answer.

        One package, which is their source, gives many alike, as one function has several calls or findings. Of a package that
        was never seen a memory knows none of them, so training looks up in those of other packages only.
        """
        return self.answers is not None and not self._is_plain.any()

    @property
    def _is_plain(self) -> npt.NDArray[np.bool_]:
        """Which documents are no prompt with an answer: theirs begins behind the end."""
        assert self.answers is not None
        return np.asarray(self.answers > np.diff(self.offsets), np.bool_)

    @property
    def nbytes(self) -> int:
        """Bytes of all documents together, without marks between them."""
        return len(self.data)

    def subset(self, indices: Sequence[int]) -> Documents:
        """The documents at `indices`, in that order."""
        chosen = Documents.from_items(Document(self.names[index], self[index], self.sources[index]) for index in indices)
        return chosen if self.answers is None else chosen.with_answers(self.answers[list(indices)].tolist())

    def sample(self, max_bytes: int) -> Documents:
        """About `max_bytes` of whole documents, evenly spread over the order; all documents when they are no more."""
        return self.subset(range(0, len(self), max(1, -(-self.nbytes // max_bytes))))

    def with_answers(self, begins: Sequence[int]) -> Documents:
        """The same documents, of each of which the answer begins at a byte."""
        return replace(self, answers=np.asarray(begins, np.int64))

    def sha256(self) -> str:
        """A hexadecimal digest of all names and contents, whatever their order and wherever they lie on this machine."""
        digests = sorted(
            hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() + hashlib.sha256(content).digest()
            for name, content in self
        )
        return hashlib.sha256(b"".join(digests)).hexdigest()
