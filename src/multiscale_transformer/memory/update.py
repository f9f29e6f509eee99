"""What an update changes in an index is decided while its documents come by, one after the other.

A document is known by its source and name. One that an earlier version indexed has no source; what first comes by with its
name, from a source that the index was made of, is taken for it. A text that the index holds already under another name is not
added once more, unless that other one goes in this very update: then it is added after all, from the shard that it stands in.
So an update that is run twice settles.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multiscale_transformer.memory.document import Document

if TYPE_CHECKING:
    from multiscale_transformer.memory.index import Index

Key = tuple[str, str]


@dataclass(frozen=True)
class Changes:
    """What an update did, in documents; `copies` were dropped because the index holds the same text."""

    added: int
    replaced: int
    removed: int
    unchanged: int
    copies: int = 0


class Update:
    """An update of `index`; when `fresh` is exhausted it says what becomes of the old documents.

    `gone` are places (shard, number) of documents that are replaced or removed, `named` the sources that were updated.
    """

    def __init__(self, index: Index, sources: Sequence[str], *, prune: bool) -> None:
        self._index, self._prune = index, prune
        self._digests, self._places = index.digests(), index.places()
        self._holders: dict[str, list[tuple[int, int]]] = {}  # where each text stands
        for key, digest in self._digests.items():
            self._holders.setdefault(digest, []).append(self._places[key])
        self._met: set[Key] = set()  # old documents that came by, as themselves
        self._seen: set[Key] = set()
        self.named = dict.fromkeys(sources)
        self.gone: set[tuple[int, int]] = set()
        self.changes = Changes(0, 0, 0, 0)

    def fresh(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Those of `documents` that have to be written."""
        added = replaced = unchanged = copies = 0
        written: set[str] = set()
        held: list[tuple[Key, str, bool]] = []  # of documents whose text the index holds: key, digest, whether it is new
        for document in documents:
            self.named.setdefault(document.source)
            if document.key in self._seen:
                continue
            self._seen.add(document.key)
            digest = hashlib.sha256(document.content).hexdigest()
            old = self._old(document, digest)
            if old is not None:
                self._met.add(old)
                if self._digests[old] == digest:
                    unchanged += 1
                    continue
                self.gone.add(self._places[old])
                replaced += 1
            if digest in self._holders:
                held.append((document.key, digest, old is None))
            elif digest in written:
                copies += old is None
            else:
                written.add(digest)
                added += old is None
                yield document
        removed = self._removed()
        self.gone |= {self._places[key] for key in removed}
        for (source, name), digest, new in held:
            places = self._holders[digest]
            if digest in written or not self.gone.issuperset(places):
                copies += new
                continue
            written.add(digest)
            added += new
            shard, number = places[0]
            yield Document(name, self._index.shards[shard].text(number), source)
        self.changes = Changes(added, replaced, len(removed), unchanged, copies)

    def _old(self, document: Document, digest: str) -> Key | None:
        """The document of the index that this one is, or takes the place of."""
        if document.key in self._digests:
            return document.key
        nameless = ("", document.name)
        if nameless not in self._digests or nameless in self._met:
            return None
        return nameless if self._digests[nameless] == digest or self._was_made_of(document.source) else None

    def _was_made_of(self, source: str) -> bool:
        """Whether a document without a source may have come from this one: earlier versions kept sources as they were typed."""
        sources = self._index.sources
        return not sources or any(
            os.path.abspath(typed) == source or os.path.basename(typed.rstrip("./")) in ("", os.path.basename(source))
            for typed in sources
        )

    def _removed(self) -> set[Key]:
        """Old documents that did not come by although their source did."""
        if not self._prune:
            return set()
        named = {*self.named, *map(os.path.abspath, self.named)}
        sources = self._index.sources
        if sources and all(source in named or os.path.abspath(source) in named for source in sources):
            named.add("")  # documents without a source came from those, and all of them were read
        return {key for key in self._digests if key not in self._met and key[0] in named}
