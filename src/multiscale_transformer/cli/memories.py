"""What --memory names: index folders, this Python's library, or nothing."""

from __future__ import annotations

from pathlib import Path

from multiscale_transformer.cli.console import busy, note
from multiscale_transformer.cli.options import NO_MEMORY
from multiscale_transformer.data.sources import STDLIB
from multiscale_transformer.errors import AxlError


def index_folders(names: list[str]) -> list[Path]:
    """The folders behind `names`; the library of this Python is indexed first where it is not, which is said.

    Raises AxlError when nothing (none) is named beside something.
    """
    if NO_MEMORY in names:
        if len(names) > 1:
            raise AxlError(f"--memory {NO_MEMORY} is without any; leave it or the others out")
        return []
    return [_library() if name == STDLIB else Path(name).expanduser() for name in names]


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
