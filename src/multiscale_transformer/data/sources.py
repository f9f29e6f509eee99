"""Where text comes from: folders, git repositories, single files, JSON lines, globs and the interpreter's own library.

Whatever the user points at becomes (name, content) pairs. Names are relative to the path given and use forward slashes, so
that the same files get the same names, and with them the same split, on every machine.
"""

from __future__ import annotations

import glob
import gzip
import json
import os
import sysconfig
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from multiscale_transformer.data.folders import DEPENDENCIES, list_folder
from multiscale_transformer.data.installed import permissive_packages
from multiscale_transformer.errors import AxlError

STDLIB = "stdlib"
INSTALLED = "installed"
TEXT_FIELDS = ("text", "content", "code")

_JSONL_ENDINGS = (".jsonl", ".jsonl.gz")


def read_sources(paths: Sequence[str | Path]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) for every document behind `paths`, in a fixed order.

    A path is a folder or git repository (its source files, as `data.folders` picks them; JSON-lines files in it are not
    taken), one file (one document), a `.jsonl` or `.jsonl.gz` file (one document a record, see `record_text`), a glob (the
    files it matches, `**` spans folders, .gitignore does not count), the word `stdlib` (the Python files of the library
    of the interpreter that runs), or `installed` (those of smaller packages beside it with permissive licences).

    Raises AxlError for a path that is missing, cannot be read or yields nothing.
    """
    for path in map(str, paths):
        empty = True
        for item in _read_source(path):
            empty = False
            yield item
        if empty:
            raise AxlError(f"{path} holds no source text; name a folder, file, .jsonl or glob with some")


def record_text(record: object) -> str | None:
    """The document in one JSON record, or None when it has none of the known fields.

    Known are `text`, `content` or `code`; `prompt` with `canonical_solution`, joined; and `source_code` with `target_code`,
    laid out as the published Translate models were prompted.
    """
    if not isinstance(record, dict):
        return None
    fields = {name: value for name, value in record.items() if isinstance(value, str)}
    for name in TEXT_FIELDS:
        if name in fields:
            return fields[name]
    if "source_code" in fields and "target_code" in fields:
        return f"Translate:\n{fields['source_code']}\nResult:\n{fields['target_code']}\n"
    if "prompt" in fields and "canonical_solution" in fields:
        return fields["prompt"] + fields["canonical_solution"]
    return None


def read_records(path: Path, name: str) -> Iterator[tuple[str, bytes, str]]:
    """Yield (name with line number, the record's line, its text) for every record of a JSON-lines file.

    Raises AxlError for a line that is not JSON or that `record_text` does not know.
    """
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            text = record_text(json.loads(line))
        except ValueError as error:
            raise AxlError(f"{path} line {number} is not JSON; every line must be one record") from error
        if text is None:
            raise AxlError(
                f"{path} line {number} has no text; a record needs one of {', '.join(TEXT_FIELDS)}, "
                "or prompt and canonical_solution, or source_code and target_code"
            )
        yield f"{name}:{number}", line, text


def _read_source(path: str) -> Iterator[tuple[str, bytes]]:
    place = Path(path).expanduser()
    if path == STDLIB:
        yield from _stdlib()
    elif path == INSTALLED:
        packages = permissive_packages()
        yield from ((name, _content(file)) for package in packages for name, file in package.files())
    elif place.is_dir():
        yield from ((name, _content(place / name)) for name in list_folder(place))
    elif place.is_file():
        yield from _read_file(place, place.name)
    elif glob.has_magic(path):
        yield from _glob(str(place))
    elif place.exists():
        raise AxlError(f"{path} is neither a file nor a folder; name one of those")
    else:
        raise AxlError(f"{path} does not exist; check the path")


def _read_file(path: Path, name: str) -> Iterator[tuple[str, bytes]]:
    if path.name.endswith(_JSONL_ENDINGS):
        # Half a character (a lone surrogate) is legal JSON but no text; it is left to the filters as undecodable.
        yield from ((name, text.encode("utf-8", "surrogatepass")) for name, _, text in read_records(path, name))
    else:
        yield name, _content(path)


def _glob(pattern: str) -> Iterator[tuple[str, bytes]]:
    parts = Path(pattern).parts
    root = Path(*parts[: next(number for number, part in enumerate(parts) if glob.has_magic(part))])
    top = root.resolve()
    found = False
    for path in sorted(map(Path, glob.glob(pattern, recursive=True))):
        name = path.relative_to(root)
        # As in a folder: links are not followed, and dependencies are not read unless the pattern names them.
        if path.resolve() == top / name and path.is_file() and not DEPENDENCIES & set(name.parts) - set(parts):
            found = True
            yield from _read_file(path, name.as_posix())
    if not found:
        raise AxlError(f"no file matches {pattern}; quote the pattern, and use ** to reach into folders")


def _stdlib() -> Iterator[tuple[str, bytes]]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(set(subfolders) - DEPENDENCIES)
        for name in sorted(files):
            path = Path(folder, name)
            if name.endswith(".py") and not path.is_symlink():
                yield path.relative_to(root).as_posix(), _content(path)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AxlError(f"cannot read {path}: {error.strerror or error}; make it readable or leave it out") from error


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
            yield from stream
    except (OSError, EOFError, zlib.error) as error:
        raise AxlError(f"cannot read {path}: {error}; make it readable or leave it out") from error
