"""Where text comes from: folders, git repositories, single files, JSON lines, globs and the interpreter's own library.

Whatever the user points at becomes documents. Names are relative to the path given and use forward slashes, so that the same
files get the same names, and with them the same split, on every machine; the source says where that path lies on this one.
All files are listed before the first is read: a file that several paths reach, and a working tree of a repository whose main
tree is read too, count once.
"""

from __future__ import annotations

import glob
import os
import stat
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from multiscale_transformer.data import dropped as reasons
from multiscale_transformer.data.dropped import Dropped
from multiscale_transformer.data.filters import MAX_BYTES
from multiscale_transformer.data.folders import DEPENDENCIES, SourceFile, list_folder
from multiscale_transformer.data.installed import PYTHON, permissive_packages
from multiscale_transformer.data.mixture import PREFIX as MIXTURE
from multiscale_transformer.data.mixture import Part, indented, list_mixture, read_mixture
from multiscale_transformer.data.named_sources import INSTALLED, NAMED_SOURCES, STDLIB
from multiscale_transformer.data.names import carried, shown
from multiscale_transformer.data.notebooks import MAX_BYTES as MAX_NOTEBOOK
from multiscale_transformer.data.notebooks import SUFFIX, DamagedNotebookError, notebook_text
from multiscale_transformer.data.prompted import PREFIX as PROMPTED
from multiscale_transformer.data.reading import read_plain
from multiscale_transformer.data.records import ENDINGS, read_records
from multiscale_transformer.data.repositories import Repository
from multiscale_transformer.data.selection import EVERYTHING, Selection
from multiscale_transformer.data.written import written_by_axl
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.document import Document

_MAX_NAMED = (1 << 31) - 2  # bytes of one file that is named: what a shard of an index holds


def list_sources(
    paths: Sequence[str | Path],
    selection: Selection = EVERYTHING,
    *,
    dropped: Dropped,
    without: Sequence[str | Path] = (),
) -> list[SourceFile]:
    """All files behind `paths`, path after path and by name; each place once, under its outermost source.

    A path is a folder or git repository (its source files, as `data.folders` picks them; JSON-lines files in it are not
    taken), one file (one document), a `.jsonl` or `.jsonl.gz` file (one document a record, see `record_text`), a glob (the
    files it matches, `**` spans folders, .gitignore does not count), the word `stdlib` (the Python files of the library of the
    interpreter that runs), `installed` (those of smaller packages beside it with permissive licences), or `mixture:FILE` (see
    `data.mixture`). `without` are folders that are dropped in any case: the output of the command that reads.

    Raises AxlError for a path that is missing or holds no source text.
    """
    excluded = [os.path.abspath(os.path.expanduser(path)) for path in without]
    files: list[SourceFile] = []
    for path in map(str, paths):
        before = dropped.counts.total()
        behind = _behind(path, selection, dropped, excluded)
        if not behind:
            why = f" (dropped: {dropped.reasons()})" if dropped.counts.total() > before else ""
            raise AxlError(f"{shown(carried(path))} holds no source text{why}; name a folder, file, .jsonl or glob with some")
        files += behind
    return _once(_without_linked_trees(files, dropped))


def _behind(path: str, selection: Selection, dropped: Dropped, without: Sequence[str]) -> list[SourceFile]:
    if not path.startswith(MIXTURE):
        return _list(path, selection, dropped, without)

    def list_part(part: Part) -> list[SourceFile]:
        files = _list(part.data, part.selection, dropped, without, part.suffixes or PYTHON)
        return [file for file in files if not selection.excludes(file.name, is_folder=False)]

    return list_mixture(read_mixture(path.removeprefix(MIXTURE)), list_part, dropped)


def source_of(path: str) -> str:
    """What documents behind `path` have as their source: a word, or the absolute carried path of a folder.

    For a single file it is the folder that it stands in, for a glob the part before the first wildcard.
    """
    if path in NAMED_SOURCES or path.startswith((MIXTURE, PROMPTED)):
        return path
    place = os.path.abspath(os.path.expanduser(path))
    if os.path.isfile(place):
        place = os.path.dirname(place)
    elif not os.path.exists(place) and glob.has_magic(path):
        place = _glob_root(os.path.expanduser(path))
    return carried(place)


def read_source(file: SourceFile, dropped: Dropped) -> Iterator[Document]:
    """The documents in one file: none where it cannot be read, which `dropped` counts, several where it holds records.

    Raises AxlError for a named file that cannot be read, and for JSON lines that are none.
    """
    if file.name.endswith(ENDINGS):
        # Half a character (a lone surrogate) is legal JSON but no text; it is left to the filters as undecodable.
        for name, _, text in read_records(Path(file.path), file.name):
            yield Document(name, text.encode("utf-8", "surrogatepass"), file.source)
        return
    notebook = file.name.endswith(SUFFIX)
    limit = _MAX_NAMED if file.named else MAX_NOTEBOOK if notebook else MAX_BYTES
    try:
        content = read_plain(file.path, limit, follow=file.named)
        if notebook and len(content) <= limit:
            content = notebook_text(content)
    except DamagedNotebookError:
        dropped.add(file.real, reasons.DAMAGED_NOTEBOOK)
        return
    except OSError as error:
        why = str(error.strerror or error)
        if file.named:
            raise AxlError(f"cannot read {shown(carried(file.path))}: {why}; make it readable or leave it out") from error
        dropped.add(file.real, reasons.UNREADABLE, f"({why})")
        return
    if file.named and len(content) > limit:
        raise AxlError(f"{shown(carried(file.path))} is larger than 2 GiB; split it")
    if file.indentation:
        content = indented(content, file.indentation.encode())
    yield Document(file.name, content, file.source)


def _list(
    path: str, selection: Selection, dropped: Dropped, without: Sequence[str], suffixes: tuple[str, ...] = PYTHON
) -> list[SourceFile]:
    """What is behind a path or a word; `suffixes` are those of installed packages' files."""
    if path == STDLIB:
        return [file for file in _stdlib() if not selection.excludes(file.name, is_folder=False)]
    if path == INSTALLED:
        files = ((name, str(file)) for package in permissive_packages() for name, file in package.files(suffixes))
        return [_of_word(INSTALLED, name, file) for name, file in files if not selection.excludes(name, is_folder=False)]
    place = os.path.abspath(os.path.expanduser(path))
    try:
        mode = os.stat(place).st_mode
    except (OSError, ValueError) as error:
        if glob.has_magic(path):
            return _glob(os.path.expanduser(path), selection, dropped, without)
        if isinstance(error, PermissionError):
            raise AxlError(f"cannot read {path}: {error.strerror}; make it readable or leave it out") from error
        raise AxlError(f"{shown(carried(path))} does not exist; check the path") from error
    if stat.S_ISDIR(mode):
        return list_folder(place, selection, dropped, without)
    if stat.S_ISREG(mode):
        folder, name = os.path.split(place)
        return [SourceFile(carried(name), carried(folder), place, carried(os.path.realpath(place)), named=True)]
    raise AxlError(f"{shown(carried(path))} is neither a file nor a folder; name one of those")


def _glob(pattern: str, selection: Selection, dropped: Dropped, without: Sequence[str]) -> list[SourceFile]:
    parts = Path(pattern).parts
    root = _glob_root(pattern)
    source, top = carried(root), Path(root).resolve()
    written: dict[str, set[str]] = {}
    files = []
    for path in sorted(Path(os.path.abspath(match)) for match in glob.glob(pattern, recursive=True)):
        name = path.relative_to(root)
        # As in a folder: links are not followed, and dependencies are not read unless the pattern names them.
        if not path.is_file() or DEPENDENCIES & set(name.parts) - set(parts):
            continue
        carried_name, real = carried(name.as_posix()), carried(str(top / name))
        if path.resolve() != top / name:
            dropped.add(f"{source}/{carried_name}", reasons.LINK)
        elif _is_output(path, root, written, without):
            dropped.add(f"{source}/{carried_name}", reasons.AXL)
        elif selection.excludes(carried_name, is_folder=False):
            dropped.add(f"{source}/{carried_name}", reasons.EXCLUDED)
        else:
            files.append(SourceFile(carried_name, source, str(path), real, changed=path.stat().st_mtime))
    if not files:
        raise AxlError(f"no file matches {shown(carried(pattern))}; quote the pattern, and use ** to reach into folders")
    return files


def _glob_root(pattern: str) -> str:
    """The absolute folder before the first wildcard."""
    parts = Path(pattern).parts
    return os.path.abspath(Path(*parts[: next(number for number, part in enumerate(parts) if glob.has_magic(part))]))


def _is_output(path: Path, root: str, written: dict[str, set[str]], without: Sequence[str]) -> bool:
    """Whether `path`, or a folder between it and `root`, is what AXL wrote; `written` keeps the answers by folder."""
    for entry in (path, *path.parents):
        if str(entry) == root:
            return False
        folder = str(entry.parent)
        if folder not in written:
            try:
                written[folder] = written_by_axl(folder, set(os.listdir(folder)))
            except OSError:
                written[folder] = set()
        if entry.name in written[folder] or str(entry) in without:
            return True
    return False


def _stdlib() -> Iterator[SourceFile]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(set(subfolders) - DEPENDENCIES)
        for name in sorted(files):
            path = Path(folder, name)
            if name.endswith(".py") and not path.is_symlink():
                yield _of_word(STDLIB, path.relative_to(root).as_posix(), str(path))


def _of_word(word: str, name: str, path: str) -> SourceFile:
    return SourceFile(carried(name), word, path, carried(os.path.realpath(path)))


def _once(files: list[SourceFile]) -> list[SourceFile]:
    """Each place once, under the outermost of the sources that reach it; named where one of them named it."""
    by_place: dict[str, SourceFile] = {}
    for file in files:
        other = by_place.get(file.real)
        if other is None:
            by_place[file.real] = file
        else:
            outer = min(other, file, key=lambda candidate: (len(candidate.source), candidate.source))
            by_place[file.real] = replace(outer, named=other.named or file.named, tracked=other.tracked or file.tracked)
    return list(by_place.values())


def _without_linked_trees(files: list[SourceFile], dropped: Dropped) -> list[SourceFile]:
    """The files without those of working trees of a repository that another of its trees stands for."""
    trees: dict[str, dict[str, Repository]] = {}
    for file in files:
        if file.tree is not None:
            trees.setdefault(file.tree.common, {})[file.tree.top] = file.tree
    duplicates: set[str] = set()
    for tops in trees.values():
        main = min(tops.values(), key=lambda tree: (tree.linked, -tree.changed, tree.top))
        for top in sorted(set(tops) - {main.top}):
            dropped.add(top, reasons.WORKTREE, f"of the repository in {main.top}")
            duplicates.add(top)
    return [file for file in files if file.tree is None or file.tree.top not in duplicates]
