"""Models in memory: loaded when first asked for, kept while in use, unloaded after that or when room is needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from multiscale_transformer.engine.engine import CACHE_BYTES, load_engine
from multiscale_transformer.engine.self_test import check
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.index import MEMORY_FOLDER
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.memories import Memories, needed_bytes
from multiscale_transformer.server.metrics import Metrics
from multiscale_transformer.server.registry import Entry
from multiscale_transformer.server.worker import Worker

NEVER = float("inf")

log = structlog.get_logger("axl.models")


@dataclass(frozen=True)
class Limits:
    """What a server may take: `cache_bytes` for each model's state, `model_bytes` for all models and indexes together, requests
    that wait for each; `keep_alive` seconds that an unused model stays."""

    threads: int = 1
    cache_bytes: int = CACHE_BYTES
    model_bytes: int = 4 << 30
    queued: int = 64
    keep_alive: float = NEVER


@dataclass(eq=False)
class Loaded:
    """A model that is ready; `memory` are the indexes that it looks up in when a request names none."""

    folder: Path
    config: ModelConfig
    worker: Worker
    memory: tuple[Path, ...]
    bytes: int
    users: int = 0
    used: float = field(default_factory=time.monotonic)
    expires: float = NEVER


class Loader:
    """Loads and unloads; one model at a time, each for all names of its folder.

    `indexes` are the memories that requests may name; by default a model uses all of them, or its own where there are none.
    """

    def __init__(self, limits: Limits, metrics: Metrics, indexes: dict[str, Path] | None, shipped: Path | None = None) -> None:
        self.limits, self.metrics, self.indexes, self._shipped = limits, metrics, indexes, shipped
        self.memories = Memories()
        self.loaded: dict[Path, Loaded] = {}
        self._lock = asyncio.Lock()
        self.notes: dict[Path, str] = {}  # what went wrong with a memory that the model goes on without

    @asynccontextmanager
    async def use(
        self, entry: Entry, keep_alive: float | None = None, *, memory: list[str] | None = None
    ) -> AsyncIterator[Loaded]:
        """The model of an entry, which is not unloaded inside the block, with the indexes named in `memory` opened.

        Raises ApiError (503) when there is no room for it, (400) for a name that the server was not started with, AxlError when
        its folder or an index is damaged.
        """
        model = await self._taken(entry)
        try:
            if model.config.memory or memory:
                await self._open_memory(model, memory)
            yield model
        finally:
            model.users -= 1
            model.used = time.monotonic()
            kept = self.limits.keep_alive if keep_alive is None else keep_alive
            model.expires = model.used + (NEVER if kept < 0 else kept)

    async def _taken(self, entry: Entry) -> Loaded:
        """The model, counted as in use before anybody else can unload it."""
        model = self.loaded.get(entry.folder)
        if model is not None:
            model.users += 1
            return model
        taking = asyncio.ensure_future(self._loaded(entry))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:  # the client is gone; the model stays for the next one
            taking.add_done_callback(_untaken)
            raise

    async def _open_memory(self, model: Loaded, names: list[str] | None) -> None:
        folders = self._folders(model, names)
        if not folders:
            return
        models = sum(one.bytes for one in self.loaded.values())
        try:
            await self.memories.open(folders, max(0, self.limits.model_bytes - models))
        except AxlError as error:
            if names is not None:
                raise
            model.memory = self._without_memory(model.folder, error)

    def memory(self, model: Loaded, names: list[str] | None) -> CorpusMemory | None:
        """What a request looks up in: the indexes of these names, none for an empty list, or the server's.

        Raises ApiError for a name that the server was not started with, AxlError for an index that is damaged.
        """
        folders = self._folders(model, names)
        return self.memories.get(folders) if folders else None

    def _folders(self, model: Loaded, names: list[str] | None) -> tuple[Path, ...]:
        if names is None:
            return model.memory
        known = self.indexes or {}
        if unknown := [name for name in names if name not in known]:
            listed = ", ".join(known) or "none"
            raise ApiError(400, f"memory {unknown[0]!r} is not known; the server was started with: {listed}", param="memory")
        if names and not model.config.memory:
            raise AxlError(f"the model in {model.folder} was trained without a memory, so it cannot use one; train it anew")
        return tuple(known[name] for name in known if name in names)

    async def expire(self) -> None:
        """Unload what nobody has used for its time."""
        async with self._lock:
            for model in list(self.loaded.values()):
                if model.users == 0 and model.expires <= time.monotonic():
                    await self._unload(model)

    async def close(self) -> None:
        """Unload everything."""
        async with self._lock:
            for model in list(self.loaded.values()):
                await self._unload(model)

    def preload(self, entry: Entry) -> Loaded:
        """Load a model before there is an event loop, so that the first request need not wait. Raises AxlError."""
        model = self._keep(entry, self._open(entry, entry.config, self._needed(entry)))
        try:
            self.memory(model, None)
        except AxlError as error:
            model.memory = self._without_memory(entry.folder, error)
        return model

    async def _loaded(self, entry: Entry) -> Loaded:
        async with self._lock:
            model = self.loaded.get(entry.folder) or await self._load(entry)
            model.users += 1  # still under the lock: whoever waits for it may unload what nobody uses
            return model

    async def _load(self, entry: Entry) -> Loaded:
        """Not cut short when the client goes: the next one would load it again beside it."""
        await self._make_room(self._needed(entry))
        return self._keep(entry, await asyncio.to_thread(self._open, entry, entry.config, self._needed(entry)))

    def _keep(self, entry: Entry, model: Loaded) -> Loaded:
        self.loaded[entry.folder] = model
        self.memories.keep(entry.folder, model.memory)
        self.metrics.loaded.labels(model.worker.name).set(model.bytes)
        return model

    def _needed(self, entry: Entry) -> int:
        """Bytes of RAM that a model may come to: its weights as read and as packed, and its cache."""
        return 4 * entry.config.parameters() + entry.weight_bytes + self.limits.cache_bytes

    async def _make_room(self, needed: int) -> None:
        """Give up sets of indexes, then models, that nobody uses. Raises ApiError when that is not enough."""
        while self.loaded and self._taken_bytes() + needed > self.limits.model_bytes:
            self.memories.make_room(self.limits.model_bytes - needed - sum(model.bytes for model in self.loaded.values()))
            if self._taken_bytes() + needed <= self.limits.model_bytes:
                return
            idle = [model for model in self.loaded.values() if model.users == 0]
            if not idle:
                raise ApiError(503, "no room for another model while the loaded ones are in use", retry_after=5)
            await self._unload(min(idle, key=lambda model: model.used))

    def _taken_bytes(self) -> int:
        return sum(model.bytes for model in self.loaded.values()) + self.memories.nbytes

    def _open(self, entry: Entry, config: ModelConfig, needed: int) -> Loaded:
        engine = load_engine(entry.folder, threads=self.limits.threads, cache_bytes=self.limits.cache_bytes)
        if not_compared := check(engine, entry.folder):
            log.warning("self-test", note=not_compared)
        memory = self._default_memory(entry.folder, config)
        worker = Worker(engine, entry.name, self.metrics, self.limits.queued)
        return Loaded(entry.folder, config, worker, memory, needed)

    def _default_memory(self, folder: Path, config: ModelConfig) -> tuple[Path, ...]:
        """All indexes, or the model's own; one that is damaged does not keep the model from working, but is said."""
        if not config.memory:
            return ()
        try:
            if self.indexes is not None:
                folders = tuple(self.indexes.values())
            elif folder == self._shipped:
                from multiscale_transformer.zoo.library import library_index

                folders = (library_index(lambda line: log.info("memory", note=line)),)
            else:
                folders = (folder / MEMORY_FOLDER,)
            needed_bytes(folders)  # now, because a damaged one is to be said now
        except AxlError as error:
            return self._without_memory(folder, error)
        return folders

    def _without_memory(self, folder: Path, error: AxlError) -> tuple[Path, ...]:
        self.notes[folder] = f"{error}; the model goes on without its memory"
        log.warning("memory", note=self.notes[folder])
        return ()

    async def _unload(self, model: Loaded) -> None:
        del self.loaded[model.folder]
        self.memories.release(model.folder)
        self.metrics.loaded.labels(model.worker.name).set(0)
        await asyncio.to_thread(model.worker.close)


def _untaken(taking: asyncio.Future[Loaded]) -> None:
    """Nobody uses the model that was loaded for a client which has gone."""
    if not taking.cancelled() and taking.exception() is None:
        taking.result().users -= 1
