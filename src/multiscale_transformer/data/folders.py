"""Which files of a folder are source text that its owner wrote.

In a git repository git itself says what is ignored. Elsewhere, and where git is not installed, the .gitignore files are
read with pathspec. What no project writes by hand (hidden folders, dependencies, build output) is skipped in either case.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from multiscale_transformer.errors import AxlError

SOURCE_SUFFIXES = frozenset(
    f".{suffix}"
    for line in (
        "adb ads asm astro awk bas bash bat bib c cc cfg cjs clj cljs cmake cmd cpp cr cs css cu cuh cxx d dart el elm erl",
        "ex exs f f90 f95 fish fs fsx glsl go gradle graphql groovy h hcl hh hpp hrl hs htm html hxx ini java jl js json",
        "jsx kt kts less lisp lua m md mjs mk ml mli mm nim nix pas php pl pm proto ps1 pxd py pyi pyx r rb rkt rs rst s",
        "sass scala scm scss sh sol sql sv svelte swift tcl tex tf toml ts tsx txt v vb vhd vhdl vim vue wat xml yaml yml",
        "zig zsh",
    )
    for suffix in line.split()
)
SOURCE_NAMES = frozenset({"Dockerfile", "Makefile", "GNUmakefile", "CMakeLists.txt", "Rakefile", "Gemfile", "Jenkinsfile"})
DEPENDENCIES = frozenset({"__pycache__", "node_modules", "bower_components", "site-packages", "dist-packages", "venv"})
BUILD_OUTPUT = frozenset({"build", "dist", "target", "htmlcov", "coverage"})

_Ignore = tuple[Path, GitIgnoreSpec]


def list_folder(root: Path) -> list[str]:
    """Names of the source files below `root`, relative to it with forward slashes, sorted.

    Symbolic links are not followed: what they point to is read where it stands, if it stands in the folder.
    Raises AxlError when `root` cannot be read.
    """
    listed = _listed_by_git(root)
    names = _walk(root, _ignores_above(root)) if listed is None else _expand(root, listed)
    return sorted(name for name in names if _is_source(PurePosixPath(name)))


def _is_source(path: PurePosixPath) -> bool:
    return path.suffix.lower() in SOURCE_SUFFIXES or path.name in SOURCE_NAMES


def _foreign(folder: str) -> bool:
    """Whether a folder of that name holds what tools or other people put there."""
    return folder.startswith(".") or folder in DEPENDENCIES


def _listed_by_git(root: Path) -> list[str] | None:
    """What git tracks or would track below `root`; None where git does not answer for this folder."""
    command = ["git", "-C", str(root)]
    try:
        # A folder that its repository ignores was named on purpose, so the ignoring does not count.
        if subprocess.run([*command, "check-ignore", "-q", "."], check=False, capture_output=True).returncode != 1:
            return None
        listing = [*command, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        answer = subprocess.run(listing, check=False, capture_output=True)
    except OSError:
        return None
    if answer.returncode != 0:
        return None
    return [os.fsdecode(name) for name in dict.fromkeys(answer.stdout.split(b"\0")) if name]


def _expand(root: Path, listed: list[str]) -> Iterator[str]:
    """The plain files among `listed`; a folder in the list is a repository inside the repository."""
    for name in listed:
        path = root / name
        folders = PurePosixPath(name).parts[: None if name.endswith("/") else -1]
        if path.is_symlink() or any(map(_foreign, folders)):
            continue
        if path.is_file():
            yield name
        elif path.is_dir():
            yield from (f"{name.rstrip('/')}/{inner}" for inner in list_folder(path))


def _walk(root: Path, ignores: list[_Ignore]) -> Iterator[str]:
    """The plain files below `root` that no .gitignore rules out."""

    def fail(error: OSError) -> None:
        raise AxlError(f"cannot read {error.filename}: {error.strerror}; make it readable or leave it out") from error

    rules: dict[str, list[_Ignore]] = {str(root): ignores}
    for folder, subfolders, files in os.walk(root, onerror=fail):
        here = rules.pop(folder) + _ignores_in(Path(folder))
        subfolders[:] = sorted(
            name
            for name in subfolders
            if not (_foreign(name) or name in BUILD_OUTPUT or _ignored(Path(folder, name), here, is_folder=True))
        )
        rules |= {os.path.join(folder, name): here for name in subfolders}
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink() and path.is_file() and not _ignored(path, here, is_folder=False):
                yield path.relative_to(root).as_posix()


def _ignores_above(root: Path) -> list[_Ignore]:
    """The .gitignore files between the top of the repository that holds `root` and `root` itself, outermost first."""
    parents = list(root.resolve().parents)
    tops = [number for number, parent in enumerate(parents) if (parent / ".git").exists()]
    if not tops or (root / ".git").exists():
        return []
    above = [ignore for parent in reversed(parents[: tops[0] + 1]) for ignore in _ignores_in(parent)]
    # As with git: a folder that is itself ignored was named on purpose.
    return [] if _ignored(root.resolve(), above, is_folder=True) else above


def _ignores_in(folder: Path) -> list[_Ignore]:
    try:
        lines = (folder / ".gitignore").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [(folder.resolve(), GitIgnoreSpec.from_lines(lines))]


def _ignored(path: Path, ignores: list[_Ignore], *, is_folder: bool) -> bool:
    """The verdict of the innermost .gitignore that has one."""
    if not ignores:
        return False
    path = path.parent.resolve() / path.name
    for folder, spec in reversed(ignores):
        verdict = spec.check_file(path.relative_to(folder).as_posix() + "/" * is_folder).include
        if verdict is not None:
            return verdict
    return False
