"""Where compiled kernels are kept: on any machine, for whoever runs them, and never at the cost of an error.

Numba's own cache stops with a traceback where no folder can be written, where a file was cut short, or where two first uses
write the same index; and it notices a changed source only in the module of a function, not in those it calls. Here a kernel is
one file, named after all that it depends on and written whole, with a checksum, so a file is right, or removed and compiled
anew.

A file holds machine code and is unpickled, so only folders are read that nobody else can write: the one that NUMBA_CACHE_DIR
names (who sets it vouches for it), the installation's, the user's cache folder, and, where that cannot be written, one in the
folder for temporary files.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from platformdirs import user_cache_path

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError

SUFFIX = ".kernel"
_DIGEST = 32  # bytes of a checksum
_ROOT = __name__.split(".", maxsplit=1)[0]
_OF_KERNELS = tuple(
    f"{_ROOT}.{name}." for name in ("engine", "kernels", "memory", "model")
)  # what kernels and their constants are in


@cache
def cache_folders() -> tuple[Path, ...]:
    """The folders that kernels are looked for in, in this order; `writable_folder` is the first that can be written.

    With NUMBA_CACHE_DIR it is that one alone.
    """
    if config.CACHE_DIR:
        return (Path(config.CACHE_DIR) / "axl-kernels",)
    of_the_user = user_cache_path("axl", appauthor=False) / "kernels"
    folders = [Path(__file__).parent / "__pycache__"]  # as trustworthy as the code beside it; may be filled at installation
    folders += [folder for folder in (of_the_user, _temporary_folder()) if _is_private(folder)]
    return tuple(folders)


@cache
def writable_folder() -> Path | None:
    """Where new kernels are written; None where there is no place for them."""
    for folder in cache_folders():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            return folder
    return None


def _temporary_folder() -> Path:
    user = os.geteuid() if hasattr(os, "geteuid") else "user"
    return Path(tempfile.gettempdir()) / f"axl-kernels-{user}"


def _is_private(folder: Path) -> bool:
    """Make the folder if it is not there, and see that it is a true folder which no other user owns or writes."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return folder.is_dir() and not hasattr(os, "geteuid")
    if not hasattr(os, "geteuid"):
        return True  # on Windows both folders lie in the user's own profile
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


class KernelCache(_Cache):
    """The compiled forms of one function, as Numba's dispatchers ask for them."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = f"{function.__module__.removeprefix(_ROOT + '.')}.{function.__qualname__}"
        self._function, self._enabled = function, True

    @property
    def known_by(self) -> str:
        """How the names of its files begin, for the sources as they are."""
        return f"{self.name}-{source_stamp(self._function.__module__)}"

    @property
    def cache_path(self) -> str | None:
        """The folder that is written."""
        folder = writable_folder()
        return None if folder is None else str(folder)

    def enable(self) -> None:
        """Load and save from now on."""
        self._enabled = True

    def disable(self) -> None:
        """Neither load nor save."""
        self._enabled = False

    def flush(self) -> None:
        """Forget all forms, of every version."""
        for folder in cache_folders():
            for path in folder.glob(f"{self.name}-*{SUFFIX}"):
                path.unlink(missing_ok=True)

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """The compiled form for these argument types, or None. What is damaged is removed."""
        target_context.refresh()
        name = self._file_name(sig, target_context.codegen())
        for folder in cache_folders() if self._enabled else ():
            found = _read(folder / name)
            if found is None:
                continue
            try:
                return CompileResult._rebuild(target_context, *pickle.loads(found))
            except Exception:  # written whole and yet unfit, whatever the reason: compile
                _remove(folder / name)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled form, where there is a place for it."""
        folder = writable_folder()
        if not self._enabled or folder is None or any(not lifted.can_cache for lifted in data.lifted):
            return
        if data.library.has_dynamic_globals:
            return
        content = dumps(data._reduce())
        with contextlib.suppress(AxlError, OSError):  # a full disk costs the next start some seconds, and nothing else
            files.write_bytes(folder / self._file_name(sig, data.codegen), hashlib.sha256(content).digest() + content)

    def _file_name(self, sig: Any, codegen: Any) -> str:
        known = f"{sig} {codegen.magic_tuple()} {config.OPT}"
        return f"{self.known_by}-{hashlib.sha256(known.encode()).hexdigest()[:16]}{SUFFIX}"


def _read(path: Path) -> bytes | None:
    """What a file holds, if it is whole."""
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    content = raw[_DIGEST:]
    if hashlib.sha256(content).digest() != raw[:_DIGEST]:
        _remove(path)
        return None
    return content


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


@cache
def source_stamp(module: str) -> str:
    """A name for the sources that kernels of `module` are made of: its own and all it imports, and the compiler's version."""
    digest = hashlib.sha256(f"{numba.__version__} {sys.version} {getattr(sys, 'abiflags', '')}".encode())
    for name in sorted(_closure(module)):
        digest.update(name.encode() + _source(name))
    return digest.hexdigest()[:16]


def _closure(module: str) -> set[str]:
    """`module` and the modules of kernels and models that it imports, directly or not."""
    known, new = set[str](), {module}
    while new:
        known |= new
        new = {imported for name in new for imported in _imports(name)} - known
    return known


@cache
def _imports(module: str) -> frozenset[str]:
    """The modules of kernels and models that a module imports."""
    nodes = [node for node in ast.walk(ast.parse(_source(module))) if isinstance(node, ast.ImportFrom)]
    return frozenset(node.module for node in nodes if node.module and f"{node.module}.".startswith(_OF_KERNELS))


@cache
def _source(module: str) -> bytes:
    loaded = sys.modules.get(module)
    spec = None if loaded else find_spec(module)
    path = getattr(loaded, "__file__", None) or (spec and spec.origin)
    try:
        return Path(str(path)).read_bytes()
    except OSError:  # an archive, or a prompt: the version must do
        return module.encode()
