"""Indexes in RAM: each set of them once, for all models, brought up to date when an index has changed on the disk.

Reading a large index into RAM takes seconds, so it happens in threads, one set at a time; requests go on with what there is
until the new one is ready. What only some requests ask for is given up when room is needed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.in_ram import ram_bytes
from multiscale_transformer.memory.index import load_index, manifest_state
from multiscale_transformer.memory.lookup import CorpusMemory, open_memory
from multiscale_transformer.server.errors import ApiError

MAX_SETS = 8  # that are in RAM at once beside those of loaded models
RAM_PER_BYTE = 5.5  # bytes of RAM for each byte of text: what came next, checkpoints, and the structure
RAM_PER_BYTE_REMOVED = 4  # more in a shard from which documents are removed

Folders = tuple[Path, ...]
States = tuple[tuple[int, int, int] | None, ...]

log = structlog.get_logger("axl.memories")


@dataclass
class _Opened:
    memory: CorpusMemory
    states: States
    missing: bool = False  # an index is gone, and the log says so


def states_of(folders: Sequence[Path]) -> States:
    """What tells whether any of these indexes has changed."""
    return tuple(map(manifest_state, folders))


def needed_bytes(folders: Sequence[Path]) -> int:
    """RAM that these indexes will take together, at most. Raises AxlError when one is missing or damaged."""
    needed = 0.0
    for index in map(load_index, folders):
        for shard, gone in zip(index.shards, index.removed, strict=True):
            needed += shard.nbytes * (RAM_PER_BYTE + (RAM_PER_BYTE_REMOVED if gone else 0))
    return int(needed)


class Memories:
    """The sets of indexes that are open; `notes` says by folder what is wrong with one that answers go on with."""

    def __init__(self) -> None:
        self._opened: OrderedDict[Folders, _Opened] = OrderedDict()
        self._defaults: dict[object, Folders] = {}  # sets that loaded models use by default
        self._lock = asyncio.Lock()
        self.notes: dict[Path, str] = {}

    @property
    def nbytes(self) -> int:
        """RAM of all that are open; what several have in common counts once."""
        return ram_bytes(shard for opened in self._opened.values() for shard in opened.memory.shards)

    def keep(self, user: object, folders: Folders, *, instead_of: Folders = ()) -> None:
        """Keep a set open for as long as a model is loaded, and no longer another one; `release` ends that."""
        self._defaults[user] = folders
        if instead_of not in self._defaults.values():
            self._opened.pop(instead_of, None)

    def release(self, user: object) -> None:
        """The model is unloaded: what no other one uses is given up."""
        folders = self._defaults.pop(user, None)
        if folders is not None and folders not in self._defaults.values():
            self._opened.pop(folders, None)

    def get(self, folders: Folders) -> CorpusMemory:
        """A set that is open, or is opened now while everything waits. Raises AxlError when an index is missing or damaged."""
        opened = self._opened.get(folders)
        if opened is None:
            opened = self._opened[folders] = _open(folders)
        self._opened.move_to_end(folders)
        return opened.memory

    async def open(self, folders: Folders, room: int | None = None) -> CorpusMemory:
        """A set, opened in a thread if it is not open; `room` is what all sets together may take.

        Raises AxlError when an index is missing or damaged, ApiError (503) when there is no room.
        """
        if folders not in self._opened:
            async with self._lock:
                if folders not in self._opened:
                    if room is not None:
                        self._make_room(await asyncio.to_thread(needed_bytes, folders), room)
                    self._opened[folders] = await asyncio.to_thread(_open, folders)
        return self.get(folders)

    async def refresh(self) -> None:
        """Open anew the sets whose indexes have changed, and go on with those of which one is gone."""
        for folders, opened in list(self._opened.items()):
            states = await asyncio.to_thread(states_of, folders)
            gone = [folder for folder, state in zip(folders, states, strict=True) if state is None]
            if gone and not opened.missing:
                self._note(gone, "the index is gone; answers go on with what was read of it")
            opened.missing = bool(gone)
            if gone or states == opened.states:
                continue
            try:
                async with self._lock:
                    if self._opened.get(folders) is not opened:  # somebody else was faster
                        continue
                    fresh = await asyncio.to_thread(_open, folders)
                    if folders in self._opened:
                        self._opened[folders] = fresh
            except AxlError as error:
                opened.states = states  # said once, until it changes again
                self._note(folders, f"{error}; answers go on with the index as it was")
                continue
            for folder in folders:
                self.notes.pop(folder, None)
            log.info("index read again", folders=list(map(str, folders)))

    def make_room(self, max_bytes: int) -> None:
        """Give up sets that no loaded model uses by default until all take at most `max_bytes`, or none is left."""
        for folders in self._on_request():
            if self.nbytes <= max_bytes:
                return
            del self._opened[folders]

    def _make_room(self, needed: int, room: int) -> None:
        self.make_room(room - needed)
        if self.nbytes and self.nbytes + needed > room:
            raise ApiError(503, "no room for these indexes beside what is loaded", param="memory", retry_after=5)
        on_request = self._on_request()
        for folders in on_request[: max(0, len(on_request) - MAX_SETS + 1)]:
            del self._opened[folders]

    def _on_request(self) -> list[Folders]:
        """The sets that only requests named, the one used longest ago first."""
        return [folders for folders in self._opened if folders not in self._defaults.values()]

    def _note(self, folders: Iterable[Path], problem: str) -> None:
        for folder in folders:
            self.notes[folder] = problem
            log.warning("index", folder=str(folder), note=problem)


def _open(folders: Folders) -> _Opened:
    states = states_of(folders)  # before reading: a change meanwhile is found at the next look
    return _Opened(open_memory(folders), states)
