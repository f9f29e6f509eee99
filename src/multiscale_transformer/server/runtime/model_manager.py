"""Loads models when they are first asked for, and unloads them when nobody uses them or when RAM is needed for another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.engine.self_test import check
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.index import MEMORY_FOLDER
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.metrics import Metrics
from multiscale_transformer.server.runtime.memories import Memories, needed_bytes
from multiscale_transformer.server.runtime.registry import ModelEntry
from multiscale_transformer.server.runtime.worker import Worker
from multiscale_transformer.server.settings import NEVER, Limits

log = structlog.get_logger("axl.models")


@dataclass(eq=False)
class LoadedModel:
    """A model that is ready; `memory` are the indexes that it looks up in when a request names none."""

    folder: Path
    config: ModelConfig
    worker: Worker
    memory: tuple[Path, ...]
    ram_bytes: int
    users: int = 0
    last_used: float = field(default_factory=time.monotonic)
    expires: float = NEVER


class ModelManager:
    """Loads and unloads; one model at a time, each for all names of its folder.

    `indexes` are the memories that requests may name; by default a model uses all of them, or its own where there are none.
    `projects` are folders whose indexes follow their files (`runtime.projects`); all models look up in those that are ready,
    before other indexes. `notes` says by folder what is wrong with a model that works nevertheless: its memory is damaged, or
    it was not tested.
    """

    def __init__(self, limits: Limits, metrics: Metrics, indexes: dict[str, Path] | None, shipped: Path | None = None) -> None:
        self.limits, self.metrics, self.indexes, self._shipped = limits, metrics, indexes, shipped
        self.memories = Memories()
        self.projects: dict[str, Path] = {}
        self.loaded: dict[Path, LoadedModel] = {}
        self.notes: dict[Path, str] = {}
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def use(
        self, entry: ModelEntry, keep_alive: float | None = None, *, memory: list[str] | None = None
    ) -> AsyncIterator[LoadedModel]:
        """The model of an entry, which is not unloaded inside the block, with the indexes named in `memory` opened.

        Raises ApiError (503) when there is no room for it, (400) for a name that the server was not started with, AxlError when
        its folder or an index is damaged.
        """
        model = await self._acquire(entry)
        try:
            if model.config.memory or memory:
                await self._open_memory(model, memory)
            yield model
        finally:
            model.users -= 1
            model.last_used = time.monotonic()
            seconds = self.limits.keep_alive if keep_alive is None else keep_alive
            model.expires = model.last_used + (NEVER if seconds < 0 else seconds)

    def memory(self, model: LoadedModel, names: list[str] | None) -> CorpusMemory | None:
        """What a request looks up in: the indexes of these names, none for an empty list, or the server's.

        Raises ApiError for a name that the server was not started with, AxlError for an index that is damaged.
        """
        folders = self._folders(model, names)
        return self.memories.get(folders) if folders else None

    async def use_project(self, name: str, folder: Path) -> None:
        """Let all models look up in the index of a project as it is now; requests go on with the old one until it is open."""
        self.projects[name] = folder
        await self.memories.refresh()
        async with self._lock:
            for model in self.loaded.values():
                if model.config.memory and folder not in model.memory:
                    folders = (*self.projects.values(), *(old for old in model.memory if old not in self.projects.values()))
                    await self.memories.open(folders)
                    old, model.memory = model.memory, folders
                    self.memories.keep(model.folder, folders, instead_of=old)

    async def replace(self, name: str, old: Path, new: Path) -> None:
        """Load the checkpoint in `new`, which looks up in what the one in `old` does; that one goes when nobody uses it.

        Raises AxlError when the new one is damaged or no room is left for it; then all stays as it is.
        """
        model, shipped = self.loaded.get(old), self._shipped
        self._shipped = new if old == shipped else shipped
        try:
            async with self.use(ModelEntry(name, new)):
                pass
        except BaseException:
            self._shipped = shipped
            raise
        if model is not None:
            model.expires = time.monotonic()

    def preload(self, entry: ModelEntry) -> LoadedModel:
        """Load a model before there is an event loop, so that the first request need not wait. Raises AxlError."""
        model = self._register(entry, self._load(entry))
        try:
            self.memory(model, None)
        except AxlError as error:
            model.memory = self._without_memory(entry.folder, error)
        return model

    async def unload_expired(self) -> None:
        """Unload every model that nobody has used for as long as it is kept alive."""
        async with self._lock:
            for model in list(self.loaded.values()):
                if model.users == 0 and model.expires <= time.monotonic():
                    await self._unload(model)

    async def close(self) -> None:
        """Unload every model."""
        async with self._lock:
            for model in list(self.loaded.values()):
                await self._unload(model)

    async def _acquire(self, entry: ModelEntry) -> LoadedModel:
        """The model, counted as in use before anybody else can unload it.

        Loading is not cut short when the client hangs up: the next client would load the model again beside it.
        """
        model = self.loaded.get(entry.folder)
        if model is not None:
            model.users += 1
            return model
        loading = asyncio.ensure_future(self._load_and_acquire(entry))
        try:
            return await asyncio.shield(loading)
        except asyncio.CancelledError:
            loading.add_done_callback(_release_unclaimed)
            raise

    async def _load_and_acquire(self, entry: ModelEntry) -> LoadedModel:
        async with self._lock:
            model = self.loaded.get(entry.folder)
            if model is None:
                await self._make_room(self._needed(entry))
                model = self._register(entry, await asyncio.to_thread(self._load, entry))
            model.users += 1  # still under the lock: whoever waits for it may unload what nobody uses
            return model

    def _load(self, entry: ModelEntry) -> LoadedModel:
        engine = load_engine(entry.folder, threads=self.limits.threads, cache_bytes=self.limits.kv_cache_bytes)
        if not_compared := check(engine, entry.folder):
            self._note(entry.folder, not_compared)
        memory = self._default_memory(entry.folder, entry.config)
        worker = Worker(engine, entry.name, self.metrics, self.limits.max_queue)
        return LoadedModel(entry.folder, entry.config, worker, memory, self._needed(entry))

    def _register(self, entry: ModelEntry, model: LoadedModel) -> LoadedModel:
        self.loaded[entry.folder] = model
        self.memories.keep(entry.folder, model.memory)
        self.metrics.model_bytes.labels(model.worker.name).set(model.ram_bytes)
        return model

    async def _unload(self, model: LoadedModel) -> None:
        del self.loaded[model.folder]
        self.memories.release(model.folder)
        self.metrics.model_bytes.labels(model.worker.name).set(0)
        await asyncio.to_thread(model.worker.close)

    def _needed(self, entry: ModelEntry) -> int:
        """Bytes of RAM that a model may come to: its weights as read and as packed, and its KV cache."""
        return 4 * entry.config.parameters() + entry.weight_bytes + self.limits.kv_cache_bytes

    @property
    def _models_ram(self) -> int:
        return sum(model.ram_bytes for model in self.loaded.values())

    async def _make_room(self, needed: int) -> None:
        """Give up sets of indexes, then models, that nobody uses. Raises ApiError when that is not enough."""
        room = self.limits.ram_bytes - needed
        while self.loaded and self._models_ram + self.memories.nbytes > room:
            self.memories.make_room(room - self._models_ram)
            if self._models_ram + self.memories.nbytes <= room:
                return
            unused = [model for model in self.loaded.values() if model.users == 0]
            if not unused:
                raise ApiError(503, "no room for another model while the loaded ones are in use", retry_after=5)
            await self._unload(min(unused, key=lambda model: model.last_used))

    async def _open_memory(self, model: LoadedModel, names: list[str] | None) -> None:
        folders = self._folders(model, names)
        if not folders:
            return
        try:
            await self.memories.open(folders, max(0, self.limits.ram_bytes - self._models_ram))
        except AxlError as error:
            if names is not None:
                raise
            model.memory = self._without_memory(model.folder, error)

    def _folders(self, model: LoadedModel, names: list[str] | None) -> tuple[Path, ...]:
        if names is None:
            return model.memory
        indexes = {**self.projects, **(self.indexes or {})}
        if unknown := [name for name in names if name not in indexes]:
            listed = ", ".join(indexes) or "none"
            raise ApiError(400, f"memory {unknown[0]!r} is not known; the server was started with: {listed}", param="memory")
        if names and not model.config.memory:
            raise AxlError(f"the model in {model.folder} was trained without a memory, so it cannot use one; train it anew")
        return tuple(folder for name, folder in indexes.items() if name in names)

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
            folders = (*self.projects.values(), *folders)
            needed_bytes(folders)  # now, because a damaged one is to be said now
        except AxlError as error:
            return self._without_memory(folder, error)
        return folders

    def _without_memory(self, folder: Path, error: AxlError) -> tuple[Path, ...]:
        self._note(folder, f"{error}; the model goes on without its memory")
        return ()

    def _note(self, folder: Path, problem: str) -> None:
        self.notes[folder] = problem
        log.warning("model", folder=str(folder), note=problem)


def _release_unclaimed(loading: asyncio.Future[LoadedModel]) -> None:
    """Count the model as unused again when the client that it was loaded for has hung up."""
    if not loading.cancelled() and loading.exception() is None:
        loading.result().users -= 1
