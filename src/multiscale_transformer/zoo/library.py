"""The library of the interpreter that runs, and the packages beside it, as memories: code that is there, so nobody ships it.

Each is indexed on first use, which takes seconds, and kept in the user's cache folder.
"""

from __future__ import annotations

import atexit
import hashlib
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path

from multiscale_transformer.data.corpus import stream_documents
from multiscale_transformer.data.installed import permissive_packages
from multiscale_transformer.data.named_sources import INSTALLED, STDLIB
from multiscale_transformer.errors import AxlError
from multiscale_transformer.locks import CACHE_SECONDS, writing
from multiscale_transformer.memory.index import FORMAT, build_index, load_index


def library_folder() -> Path:
    """Where the index of this interpreter's library is kept: one folder for each library and format of indexes."""
    library = f"{sysconfig.get_paths()['stdlib']} {sys.version} {FORMAT}"
    version = ".".join(map(str, sys.version_info[:3]))
    name = f"python-{version}-{hashlib.sha256(library.encode()).hexdigest()[:8]}"
    return user_cache_path("axl", appauthor=False) / "indexes" / name


def installed_folder() -> Path:
    """Where the index of the packages beside this interpreter is kept: another one when a package comes, goes or changes."""
    packages = " ".join(f"{package.name} {package.version}" for package in permissive_packages())
    digest = hashlib.sha256(f"{sys.prefix} {packages} {FORMAT}".encode()).hexdigest()[:8]
    return user_cache_path("axl", appauthor=False) / "indexes" / f"installed-{digest}"


def installed_index(on_wait: Callable[[str], None] | None = None) -> Path:
    """The index of the packages beside this interpreter whose licences permit it, built where it is not there.

    Raises AxlError as `library_index` does, and where there are no such packages.
    """
    folder = installed_folder()
    if is_indexed(folder):
        return folder
    with writing(folder, wait=CACHE_SECONDS, on_wait=on_wait):
        return folder if is_indexed(folder) else _built(folder, INSTALLED)


def library_is_indexed() -> bool:
    """Whether `library_index` has nothing left to do."""
    return is_indexed(library_folder())


def is_indexed(folder: Path) -> bool:
    """Whether a folder is an index that can be read."""
    try:
        load_index(folder)
    except AxlError:
        return False
    return True


def library_index(on_wait: Callable[[str], None] | None = None) -> Path:
    """The index of this interpreter's library, built if it is not there, and built again where it is damaged.

    When another process is building it this one waits, and tells `on_wait` so. Raises AxlError when the cache folder cannot be
    written.
    """
    folder = library_folder()
    if library_is_indexed():
        return folder
    with writing(folder, wait=CACHE_SECONDS, on_wait=on_wait):
        return folder if library_is_indexed() else _built(folder, STDLIB)


def _built(folder: Path, source: str) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    build_index(folder, stream_documents([source]), [source])
    return folder


def temporary_library_index() -> Path:
    """The index in a folder of this process alone, where the cache folder cannot be written; it goes when the process ends."""
    place = tempfile.mkdtemp(prefix="axl-library-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return _built(Path(place) / "index", STDLIB)
