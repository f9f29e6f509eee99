"""An index: a folder of shards that can grow, lose documents and be merged, and is whole at every moment.

`manifest.json` names the shards in use and the documents removed from each; it is replaced in one step after the new shard is
on the disk, so a kill at any time leaves the old index or the new one. New documents go into a small shard beside the large
ones; `merge` makes one of all when they have become many.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.shard import MOST_BYTES, Shard, build_shard, damaged_file, load_shard, save_shard

FORMAT = 1
MANIFEST_FILE = "manifest.json"
MEMORY_FOLDER = "memory"  # the index in a checkpoint's folder, of the files it was trained on

Items = Iterable[tuple[str, bytes]]


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

    @property
    def nbytes(self) -> int:
        """Bytes of text that the shards hold, removed documents included."""
        return sum(shard.nbytes for shard in self.shards)

    def documents(self) -> Iterator[tuple[str, bytes]]:
        """All (name, content) pairs that are not removed. Raises AxlError for a damaged shard."""
        for shard, gone in zip(self.shards, self.removed, strict=True):
            yield from ((name, shard.text(number)) for number, name in enumerate(shard.names) if number not in gone)

    def digests(self) -> dict[str, str]:
        """Name and SHA-256 of every document that is not removed."""
        pairs = zip(self.shards, self.removed, strict=True)
        return {
            name: digest
            for shard, gone in pairs
            for number, (name, digest) in enumerate(zip(shard.names, shard.digests, strict=True))
            if number not in gone
        }


@dataclass(frozen=True)
class Changes:
    """What an update did, in documents."""

    added: int
    replaced: int
    removed: int
    unchanged: int


def build_index(folder: Path, documents: Items, sources: Sequence[str] = (), *, shard_bytes: int = MOST_BYTES) -> Index:
    """Index documents into a new folder; it is there whole or not at all.

    Raises AxlError when the folder exists, a document is no text, nothing is there to index, or the disk is full.
    """
    if folder.exists():
        raise AxlError(f"{folder} already exists; choose another folder, or add to an index with --update")
    with files.new_folder(folder) as made:
        names = [_write_shard(made, number, part) for number, part in enumerate(_parts(documents, shard_bytes), 1)]
        if not names:
            raise AxlError("there is nothing to index: no document is left; name other paths")
        _write_manifest(made, names, [set() for _ in names], sources)
    return load_index(folder)


def load_index(folder: Path) -> Index:
    """Open an index. Raises AxlError when there is none, it is damaged, or another version of AXL wrote it."""
    fields = _read_manifest(folder)
    try:
        names = [str(shard["folder"]) for shard in fields["shards"]]
        removed = [set(map(int, shard["removed"])) for shard in fields["shards"]]
        sources = list(map(str, fields["sources"]))
    except (KeyError, TypeError, ValueError) as error:
        raise AxlError(f"{folder / MANIFEST_FILE} is damaged; build the index again with axl index") from error
    return Index(folder, names, [load_shard(folder / name) for name in names], removed, sources)


def update_index(index: Index, documents: Items, *, prune: bool = False) -> tuple[Index, Changes]:
    """Add what is new, replace what has changed under the same name, and with `prune` remove what is not in `documents`.

    Raises AxlError for a document that is no text or a full disk; the index then is as it was.
    """
    known = index.digests()
    seen: set[str] = set()
    fresh: list[tuple[str, bytes]] = []
    replaced: set[str] = set()
    for name, content in documents:
        seen.add(name)
        if name in known and known[name] == hashlib.sha256(content).hexdigest():
            continue
        fresh.append((name, content))
        if name in known:
            replaced.add(name)
    gone = {name for name in known if name not in seen} if prune else set()
    changes = Changes(len(fresh) - len(replaced), len(replaced), len(gone), len(seen) - len(fresh))
    return (_change(index, fresh, replaced | gone) if fresh or gone else index), changes


def remove_documents(index: Index, names: Iterable[str]) -> Index:
    """Remove documents by name. Raises AxlError when one is not there."""
    names, known = set(names), index.digests()
    if missing := sorted(names - known.keys()):
        raise AxlError(f"{index.folder} holds no document {missing[0]}")
    return _change(index, [], names)


def merge_index(index: Index, *, shard_bytes: int = MOST_BYTES) -> Index:
    """Make as few shards as possible of all, without the removed documents. Raises AxlError when none would be left."""
    if not len(index):
        raise AxlError(f"all documents of {index.folder} are removed; delete the folder, or add documents first")
    first = _next_number(index)
    parts = _parts(index.documents(), shard_bytes)
    folders = [_write_shard(index.folder, first + number, part) for number, part in enumerate(parts)]
    return _replace(index, folders, [set() for _ in folders])


def check_index(index: Index) -> None:
    """Read every byte of an index. Raises AxlError naming the first file that is not what was written."""
    for name in index.folders:
        if (damaged := damaged_file(index.folder / name)) is not None:
            raise AxlError(f"{index.folder / name / damaged} is damaged; build the index again with axl index")


def _change(index: Index, fresh: list[tuple[str, bytes]], gone: set[str]) -> Index:
    """Put `fresh` into a new shard and mark the documents named in `gone`, which are in old ones, as removed."""
    removed = [
        marked | {number for number, name in enumerate(shard.names) if name in gone}
        for shard, marked in zip(index.shards, index.removed, strict=True)
    ]
    folders = list(index.folders)
    if fresh:
        folders.append(_write_shard(index.folder, _next_number(index), fresh))
        removed.append(set())
    return _replace(index, folders, removed)


def _replace(index: Index, folders: list[str], removed: list[set[int]]) -> Index:
    _write_manifest(index.folder, folders, removed, index.sources)
    for old in index.folder.glob("shard-*"):
        if old.name not in folders:
            shutil.rmtree(old, ignore_errors=True)
    return load_index(index.folder)


def _next_number(index: Index) -> int:
    return 1 + max((int(name.removeprefix("shard-")) for name in index.folders), default=0)


def _parts(documents: Items, shard_bytes: int) -> Iterator[list[tuple[str, bytes]]]:
    """Documents in order, in lists that fit in one shard each."""
    part: list[tuple[str, bytes]] = []
    size = 1
    for name, content in documents:
        if part and size + len(content) + 1 > shard_bytes:
            yield part
            part, size = [], 1
        part.append((name, content))
        size += len(content) + 1
    if part:
        yield part


def _write_shard(folder: Path, number: int, documents: list[tuple[str, bytes]]) -> str:
    name = f"shard-{number:04d}"
    shutil.rmtree(folder / name, ignore_errors=True)  # of a command that was killed before it named it in the manifest
    with files.new_folder(folder / name) as made:
        save_shard(made, *build_shard(documents))
    return name


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
