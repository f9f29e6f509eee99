"""Projects that a server completes for: each is indexed while the server already answers, and the index follows every save.

A refresh lists the project's files, which takes milliseconds, and reads those whose time has changed; all others stay as the
index has them. What is new goes into a small shard, and small shards are merged when they have become many. A large project
is indexed in two steps, the files that were changed last first, so that suggestions from those come within seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from platformdirs import user_cache_path

from multiscale_transformer.data.corpus import usable_documents
from multiscale_transformer.data.dropped import Dropped
from multiscale_transformer.data.folders import SourceFile
from multiscale_transformer.data.sources import list_sources, source_of
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.document import Document
from multiscale_transformer.memory.index import (
    FORMAT,
    Index,
    build_index,
    load_index,
    manifest_state,
    merge_small,
    update_index,
)
from multiscale_transformer.server.runtime.model_manager import ModelManager

RETRY_SECONDS = 5.0  # after a refresh that failed, for example because another process is writing the index
FIRST_BYTES = 2 << 20  # of a project that is indexed first
DEBOUNCE_MS, STEP_MS = 200, 50  # editors write a file in several steps
LOOK_MS = 10_000  # after which files are looked at without an event: one may have come before the watcher began

Key = tuple[str, str]

log = structlog.get_logger("axl.projects")


def project_index(root: Path) -> Path:
    """Where the index of a project is kept: a folder of the user's cache for each root and format of indexes."""
    digest = hashlib.sha256(f"{root.resolve()} {FORMAT}".encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return user_cache_path("axl", appauthor=False) / "indexes" / f"{root.resolve().name}-{digest}"


@dataclass
class _Known:
    """A file as it was when it was last read, and the documents that it held."""

    changed: float
    keys: list[Key]


@dataclass
class Project:
    """A folder, the index that follows it, and what of it is known to be in the index."""

    root: Path
    folder: Path
    _known: dict[str, _Known] = field(default_factory=dict)

    def refresh(self) -> bool:
        """Bring the index up to date, or begin it with the files that were changed last; returns whether it changed.

        Raises AxlError when it cannot be written, or for an empty project without an index.
        """
        files = list_sources([self.root], dropped=Dropped(), without=[self.folder])
        changed = [file for file in files if self._changed(file)]
        gone = self._known.keys() - {file.name for file in files}
        source, before = source_of(str(self.root)), manifest_state(self.folder)
        if not changed and not gone and before is not None:
            return False
        known = {file.name: self._known[file.name] for file in files if not self._changed(file)}
        try:
            if before is None:
                newest = sorted(files, key=lambda file: file.changed, reverse=True)
                build_index(self.folder, self._read(newest, known, FIRST_BYTES), [source])
            else:
                index = load_index(self.folder)
                held = index.digests().keys()  # of several copies it holds one only
                rest = [file for file in files if file.name in known and not held >= set(known[file.name].keys)]
                kept = {key for one in known.values() for key in one.keys}
                documents = self._documents(index, kept, [*changed, *rest], known)
                index, _ = update_index(index, documents, [source], prune=True)
                merge_small(index)
        except OSError as error:
            raise AxlError(f"the index of {self.root} cannot be written: {error.strerror or error}") from error
        self._known = known
        return manifest_state(self.folder) != before

    def _documents(self, index: Index, kept: set[Key], files: list[SourceFile], known: dict[str, _Known]) -> Iterator[Document]:
        """The documents of these files, read anew, and the others as the index has them."""
        again = {(file.source, file.name) for file in files}
        yield from self._read(files, known)
        yield from (document for document in index if document.key in kept and document.key not in again)

    @staticmethod
    def _read(files: list[SourceFile], known: dict[str, _Known], limit: float = math.inf) -> Iterator[Document]:
        """The documents of the first files, up to `limit` bytes; what was read is put down in `known`."""
        for file in files:
            documents = list(usable_documents(file, Dropped()))
            known[file.name] = _Known(file.changed, [document.key for document in documents])
            limit -= sum(len(document.content) for document in documents)
            yield from documents
            if limit < 0:
                return

    def _changed(self, file: SourceFile) -> bool:
        known = self._known.get(file.name)
        return known is None or known.changed != file.changed


def begin(root: Path) -> None:
    """Begin the index of a project that has none, while other things are prepared; what fails here, `follow` says."""
    project = Project(root, project_index(root))
    if manifest_state(project.folder) is None:
        with contextlib.suppress(AxlError):
            project.refresh()


async def follow(project: Project, name: str, models: ModelManager) -> None:
    """Index a project, let requests look up in it, and go on for every change of its files until cancelled."""
    from watchfiles import awatch

    if manifest_state(project.folder) is not None:
        await models.use_project(name, project.folder)
    while await _refresh(project, name, models):
        pass  # until there is nothing more to do
    try:
        async for _ in awatch(
            project.root, debounce=DEBOUNCE_MS, step=STEP_MS, rust_timeout=LOOK_MS, yield_on_timeout=True, recursive=True
        ):
            await _refresh(project, name, models)
    except (OSError, RuntimeError) as error:  # no more watches are to be had, or the file system tells nobody
        log.warning("project", root=str(project.root), note=f"it cannot be watched ({error}), so it is looked at now and then")
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            await _refresh(project, name, models)


async def _refresh(project: Project, name: str, models: ModelManager) -> bool:
    """Until it succeeds; returns whether the index changed. A failure is said once and does not end the server."""
    said = ""
    while True:
        try:
            changed = await asyncio.to_thread(project.refresh)
            break
        except AxlError as error:
            if str(error) != said:
                log.warning("project", root=str(project.root), note=str(error))
            said = str(error)
            await asyncio.sleep(RETRY_SECONDS)
    if changed or name not in models.projects:
        await models.use_project(name, project.folder)
        log.info("project", root=str(project.root), note="its index has changed")
    return changed
