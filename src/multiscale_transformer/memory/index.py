"""An index is a folder of shards that can grow, lose documents and be merged; every change of it is atomic.

`manifest.json` names the shards in use and the documents removed from each; it is replaced in one step after the new shard is
on the disk, so a process that is killed leaves the old index or the new one. New documents go into a small shard beside the
large ones; `merge` makes as few as possible of all when they have become many. One process changes an index at a time; whoever
reads goes on with the shards that it has opened, and numbers of shards never come again.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.locks import writing
from multiscale_transformer.memory.document import Document
from multiscale_transformer.memory.selection import matching
from multiscale_transformer.memory.shard import SHARD_BYTES, Item, Shard, as_document, damaged_file, load_shard, write_shard
from multiscale_transformer.memory.update import Changes, Update

FORMAT = 2
MANIFEST_FILE = "manifest.json"
MEMORY_FOLDER = "memory"  # the index in a checkpoint's folder, of the files it was trained on
SMALL_SHARDS = 4  # that a project may have beside its large ones while somebody works in it
SMALLER = 4  # a shard is small beside one that is so many times as large
SHARDS_TO_MERGE = 2  # more than a merge would leave: each makes every look-up slower
_RACES = 20  # times that the shards may be replaced between reading the manifest and opening them

Key = tuple[str, str]


@dataclass
class Index:
    """The shards of an index folder and, for each, the numbers of the documents that are removed from it."""

    folder: Path
    folders: list[str]
    shards: list[Shard]
    removed: list[set[int]]
    sources: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(shard) - len(gone) for shard, gone in zip(self.shards, self.removed, strict=True))

    def __iter__(self) -> Iterator[Document]:
        """All documents that are not removed. Raises AxlError for a damaged shard."""
        for shard, number in self._places():
            yield shard.document(number)

    @property
    def nbytes(self) -> int:
        """Bytes of text that the shards hold, removed documents included."""
        return sum(shard.nbytes for shard in self.shards)

    @property
    def needs_merge(self) -> bool:
        """Whether updates have left so many shards that look-ups would be faster after a merge."""
        return len(self.shards) >= SHARDS_TO_MERGE + -(-self.nbytes // SHARD_BYTES)

    def documents(self) -> Iterator[tuple[str, bytes]]:
        """All (name, content) pairs that are not removed. Raises AxlError for a damaged shard."""
        return ((document.name, document.content) for document in self)

    def digests(self) -> dict[Key, str]:
        """SHA-256 of every document that is not removed, by its source and name."""
        return {(shard.sources[number], shard.names[number]): shard.digests[number] for shard, number in self._places()}

    def places(self) -> dict[Key, tuple[int, int]]:
        """Where every document that is not removed stands: the number of its shard, and its own in that."""
        places: dict[Key, tuple[int, int]] = {}
        for place, (shard, gone) in enumerate(zip(self.shards, self.removed, strict=True)):
            places |= {key: (place, number) for number, key in enumerate(shard.keys) if number not in gone}
        return places

    def _places(self) -> Iterator[tuple[Shard, int]]:
        for shard, gone in zip(self.shards, self.removed, strict=True):
            yield from ((shard, number) for number in range(len(shard)) if number not in gone)


def build_index(
    folder: Path, documents: Iterable[Item], sources: Sequence[str] = (), *, shard_bytes: int = SHARD_BYTES
) -> Index:
    """Index documents, which are taken one after the other, into a new folder; atomically.

    Raises AxlError when the folder exists, another process is writing it, a document is no text, nothing is there to index, or
    the disk is full.
    """
    if folder.exists():
        raise AxlError(f"{folder} already exists; choose another folder, or add to an index with --update")
    with writing(folder):
        if folder.exists():  # another process was faster
            raise AxlError(f"{folder} already exists; choose another folder, or add to an index with --update")
        with files.new_folder(folder) as made:
            names = _write_shards(made, 1, documents, shard_bytes)
            if not names:
                raise AxlError("there is nothing to index: no document is left; name other paths")
            _write_manifest(made, names, [set() for _ in names], sources)
        return load_index(folder)


def load_index(folder: Path) -> Index:
    """Open an index. Raises AxlError when there is none, it is damaged, or another version of AXL wrote it."""
    fields = _read_manifest(folder)
    for _ in range(_RACES):
        try:
            return _opened(folder, fields)
        except AxlError:
            fields, before = _read_manifest(folder), fields
            if fields == before:  # else another process has replaced the shards meanwhile
                raise
    return _opened(folder, fields)


def _opened(folder: Path, fields: dict[str, Any]) -> Index:
    try:
        names = [str(shard["folder"]) for shard in fields["shards"]]
        removed = [set(map(int, shard["removed"])) for shard in fields["shards"]]
        sources = list(map(str, fields["sources"]))
    except (KeyError, TypeError, ValueError) as error:
        raise AxlError(f"{folder / MANIFEST_FILE} is damaged; build the index again with axl index") from error
    return Index(folder, names, [load_shard(folder / name) for name in names], removed, sources)


def update_index(
    index: Index,
    documents: Iterable[Item],
    sources: Sequence[str] = (),
    *,
    prune: bool = False,
    shard_bytes: int = SHARD_BYTES,
) -> tuple[Index, Changes]:
    """Add what is new and replace what has changed; with `prune` remove what is gone from the sources of this update.

    Documents are taken one after the other. `sources` names what they come from, as `Document.source` does, and is needed for
    those of which nothing is left. A text that the index holds already under another name that stays is not added once more.
    Raises AxlError for a document that is no text, a full disk, or when another process is writing the index; the index then
    is as it was.
    """
    with writing(index.folder):
        index = load_index(index.folder)  # as the last writer left it
        update = Update(index, sources, prune=prune)
        folders = _write_shards(index.folder, _next_number(index), update.fresh(map(as_document, documents)), shard_bytes)
        named = [*index.sources, *(source for source in update.named if source and source not in index.sources)]
        if folders or update.gone or named != index.sources:
            index = _change(index, folders, update.gone, named)
        return index, update.changes


def remove_documents(index: Index, names: Iterable[str]) -> Index:
    """Remove documents: by source and name as a path, by name alone where one has it, or all of a source.

    Raises AxlError when one is not there, several are called so, or another process is writing the index.
    """
    with writing(index.folder):
        index = load_index(index.folder)
        places = index.places()
        chosen = {key for given in names for key in matching(given, places, str(index.folder))}
        return _change(index, [], {places[key] for key in chosen}, index.sources)


def merge_index(index: Index, *, shard_bytes: int = SHARD_BYTES) -> Index:
    """Make as few shards as possible of all, without the removed documents.

    Raises AxlError when none would be left, or another process is writing the index.
    """
    with writing(index.folder):
        index = load_index(index.folder)
        if not len(index):
            raise AxlError(f"all documents of {index.folder} are removed; delete the folder, or add documents first")
        folders = _write_shards(index.folder, _next_number(index), index, shard_bytes)
        return _replace(index, folders, [set() for _ in folders], index.sources)


def merge_small(index: Index, *, most: int = SMALL_SHARDS, shard_bytes: int = SHARD_BYTES) -> Index:
    """Make one shard of the small ones where there are more than `most`: updates leave one each, and a large one stays.

    A shard is small beside one that is `SMALLER` times as large. Raises AxlError when another process is writing the index.
    """
    with writing(index.folder):
        index = load_index(index.folder)
        largest = max((shard.nbytes for shard in index.shards), default=0)
        small = {place for place, shard in enumerate(index.shards) if SMALLER * shard.nbytes <= largest}
        if len(small) <= most:
            return index
        places = index.places()
        chosen = sorted(place for place in places.values() if place[0] in small)
        documents = (index.shards[shard].document(number) for shard, number in chosen)
        fresh = _write_shards(index.folder, _next_number(index), documents, shard_bytes)
        kept = [place for place in range(len(index.shards)) if place not in small]
        folders = [*(index.folders[place] for place in kept), *fresh]
        removed = [*(index.removed[place] for place in kept), *(set[int]() for _ in fresh)]
        return _replace(index, folders, removed, index.sources)


def check_index(index: Index) -> None:
    """Read every byte of an index. Raises AxlError naming the first file that is not what was written."""
    for name in index.folders:
        if (damaged := damaged_file(index.folder / name)) is not None:
            raise AxlError(f"{index.folder / name / damaged} is damaged; build the index again with axl index")


def manifest_state(folder: Path) -> tuple[int, int, int] | None:
    """What is another after every change of an index and costs nothing to ask; None where there is no index."""
    try:
        status = os.stat(folder / MANIFEST_FILE)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _change(index: Index, fresh: list[str], gone: set[tuple[int, int]], sources: Sequence[str]) -> Index:
    """Put the shards named in `fresh` beside the old ones and mark the documents in `gone` (shard, number) as removed."""
    removed = [marked | {number for shard, number in gone if shard == place} for place, marked in enumerate(index.removed)]
    return _replace(index, [*index.folders, *fresh], [*removed, *(set[int]() for _ in fresh)], sources)


def _replace(index: Index, folders: list[str], removed: list[set[int]], sources: Sequence[str]) -> Index:
    """Make an index of these shards, without those of which everything is removed, and delete all others."""
    counts = dict(zip(index.folders, map(len, index.shards), strict=True))
    shards = [(name, gone) for name, gone in zip(folders, removed, strict=True) if len(gone) < counts.get(name, len(gone) + 1)]
    shards = shards or list(zip(folders, removed, strict=True))  # an index without a shard would be none
    _write_manifest(index.folder, [name for name, _ in shards], [gone for _, gone in shards], sources)
    _clear(index.folder, {name for name, _ in shards})
    return load_index(index.folder)


def _clear(folder: Path, kept: set[str]) -> None:
    """Delete shards that the manifest does not name, and what killed writers began."""
    for old in itertools.chain(folder.glob("shard-*"), folder.glob(".shard-*")):
        if old.name not in kept:
            shutil.rmtree(old, ignore_errors=True)


def _next_number(index: Index) -> int:
    return 1 + max((int(name.removeprefix("shard-")) for name in index.folders), default=0)


def _write_shards(folder: Path, first: int, documents: Iterable[Item], shard_bytes: int) -> list[str]:
    """Write documents as shards of at most `shard_bytes` of text, numbered from `first`; returns their names."""
    names: list[str] = []
    waiting = iter(documents)
    head = next(waiting, None)
    while head is not None:
        names.append(f"shard-{first + len(names):04d}")
        with files.new_folder(folder / names[-1]) as made:
            head = write_shard(made, itertools.chain([head], waiting), shard_bytes)
        gc.collect()  # the arrays of pydivsufsort hang in cycles (ctypes), and the next shard has no room beside them
    return names


def _write_manifest(folder: Path, names: Sequence[str], removed: Sequence[set[int]], sources: Sequence[str]) -> None:
    shards = [{"folder": name, "removed": sorted(gone)} for name, gone in zip(names, removed, strict=True)]
    files.write_json(folder / MANIFEST_FILE, {"format": FORMAT, "sources": list(sources), "shards": shards})


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST_FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AxlError(
            f"there is no index in {folder} (no {MANIFEST_FILE}); build one with axl index PATH --out DIR"
        ) from error
    except (OSError, ValueError) as error:
        raise AxlError(f"{path} is damaged ({error}); build the index again with axl index") from error
    if not isinstance(fields, dict) or "format" not in fields:
        raise AxlError(f"{path} is not the manifest of an AXL index; name another folder")
    if fields["format"] != FORMAT:
        raise AxlError(
            f"{folder} was written by another version of AXL (format {fields['format']}); build it again with axl index"
        )
    return fields
