"""What --memory names, and what a checkpoint looks up in without it: index folders, this Python's library, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from multiscale_transformer.cli.options import NO_MEMORY, SHIPPED_FOLDER
from multiscale_transformer.cli.ui import busy, note
from multiscale_transformer.data.named_sources import INSTALLED, STDLIB
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.memory.lookup import CorpusMemory
    from multiscale_transformer.model.config import ModelConfig


def memory_for(config: ModelConfig, checkpoint: Path, names: list[str] | None) -> CorpusMemory | None:
    """The indexes named, or the checkpoint's own; none where the model has no use for them or its own is damaged."""
    from multiscale_transformer.memory.lookup import memory_of

    if names is None and checkpoint == SHIPPED_FOLDER:
        names = [STDLIB]
    if names:
        return memory_of(checkpoint, config.memory, index_folders(names))
    try:
        return memory_of(checkpoint, config.memory, None)
    except AxlError as error:
        note(f"{error}; the model goes on without its memory")
        return None


def index_folders(names: list[str]) -> list[Path]:
    """The folders behind `names`; this Python's library (stdlib) and packages (installed) are indexed first, which is said.

    Raises AxlError when nothing (none) is named beside something.
    """
    if NO_MEMORY in names:
        if len(names) > 1:
            raise AxlError(f"--memory {NO_MEMORY} is without any; leave it or the others out")
        return []
    words = {STDLIB: _library, INSTALLED: _installed}
    return [words[name]() if name in words else Path(name).expanduser() for name in names]


def _installed() -> Path:
    from multiscale_transformer.zoo.library import installed_folder, installed_index, is_indexed

    if not is_indexed(installed_folder()):
        note(f"indexing the packages beside this Python; the index is kept in {installed_folder()}")
        with busy("indexing packages"):
            return installed_index(note)
    return installed_folder()


def _library() -> Path:
    from multiscale_transformer.zoo.library import library_folder, library_index, library_is_indexed

    if not library_is_indexed():
        note(f"indexing this Python's library, once; it is kept in {library_folder()}")
        with busy("indexing the library"):
            try:
                return library_index(note)
            except AxlError as error:
                return _for_now(error)
    return library_folder()


def _for_now(error: AxlError) -> Path:
    """The library's index in a folder for temporary files that goes when the process does: better than to refuse the work."""
    from multiscale_transformer.zoo.library import temporary_library_index

    note(
        f"{error}. The index is made anew each time; set XDG_CACHE_HOME to a folder that can be written to keep it, "
        f"or go without (--memory {NO_MEMORY})"
    )
    return temporary_library_index()
