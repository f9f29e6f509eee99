"""Which files of a folder are source text that its owner wrote.

A walk decides for each entry. What git tracks is the owner's, wherever it lies; what .gitignore, .git/info/exclude and the
user's excludes name is not. Hidden folders, dependencies and build output are skipped, symbolic links are not followed: what
they point to is read where it stands, if it stands in the folder. `.axlignore` and the command line have the last word.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from multiscale_transformer.data import dropped as reasons
from multiscale_transformer.data.dropped import Dropped
from multiscale_transformer.data.ignoring import Rules, ruled_out, rules_in_file
from multiscale_transformer.data.names import carried, native
from multiscale_transformer.data.reading import read_plain
from multiscale_transformer.data.repositories import Repository, enclosing_repository, open_repository
from multiscale_transformer.data.selection import Selection
from multiscale_transformer.data.written import written_by_axl
from multiscale_transformer.errors import AxlError

SOURCE_SUFFIXES = frozenset(
    f".{suffix}"
    for line in (
        "adb adoc ads ahk asciidoc asm astro awk bas bash bat bib bzl c c++ cc cfg cjs clj cljc cljs cmake cmd coffee cpp cr",
        "cs cshtml css cts cu cuh cxx cypher d dart dhall ejs el elm erb erl ex exs f f03 f08 f90 f95 feature fish",
        "fs fsi fsx gd gleam glsl go gql gradle graphql groovy h haml handlebars hbs hcl heex hh hlsl hpp hrl hs htm html hxx",
        "idl idr inc ini inl ino ipp ipynb j2 jade java jinja jinja2 jl js json json5 jsonc jsx kt kts less lisp liquid lua m",
        "md mdx mjs mk ml mli mm mts mustache nim nix nu odin org pas php pl pm pony prisma properties proto ps1 psd1 psm1",
        "pug purs pxd pxi py pyi pyx qml r rake razor rb rego rkt rmd rs rst s sass sbt scad scala scm scss sh smk sol sql srt",
        "star sv svelte svh swift tcl tex textile tf tfvars thrift tla toml tpl ts tsx twig txt typ v vala vb vhd vhdl vim vue",
        "wat wgsl wit xml xsd xsl xslt yaml yml zig zsh",
    )
    for suffix in line.split()
)
SOURCE_NAMES = frozenset({
    "BUILD", "CMakeLists.txt", "Containerfile", "Dockerfile", "GNUmakefile", "Gemfile", "Jenkinsfile", "Justfile", "Makefile",
    "Procfile", "Rakefile", "SConscript", "SConstruct", "Snakefile", "Tiltfile", "Vagrantfile", "WORKSPACE", "justfile",
    "makefile",
})  # fmt: skip
DEPENDENCIES = frozenset({"__pycache__", "node_modules", "bower_components", "site-packages", "dist-packages", "venv"})
BUILD_OUTPUT = frozenset({"build", "dist", "target", "htmlcov", "coverage"})
AXLIGNORE_FILE = ".axlignore"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read: its carried `name` in `source` (see `memory.document`) and the native `path` that opens it.

    `real` is the absolute path without links. A file that is `named`, rather than listed, is meant, however long. `changed` is
    when it last did (seconds), `tree` the working tree that it belongs to, where its top lies in the folder that is read.
    With an `indentation` it is read with that instead of its own (`data.mixture`).
    """

    name: str
    source: str
    path: str
    real: str
    named: bool = False
    tracked: bool = False
    changed: float = 0.0
    tree: Repository | None = None
    indentation: str = ""


def list_folder(root: str, selection: Selection, dropped: Dropped, without: Sequence[str] = ()) -> list[SourceFile]:
    """The source files below the (native) absolute path `root`, sorted by name.

    `without` are absolute native paths that are dropped, as what AXL wrote: the output of the command that reads.
    Raises AxlError when `root` cannot be read; what cannot be read below it is added to `dropped`.
    """
    return sorted(_Walk(root, selection, dropped, without).files(), key=lambda file: file.name)


def is_source(path: PurePosixPath) -> bool:
    """Whether a file of that name is source text."""
    return path.suffix.lower() in SOURCE_SUFFIXES or path.name in SOURCE_NAMES


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder to be entered: its name relative to the root (empty for the root), and what holds in it."""

    name: str
    repository: Repository | None = None
    inside: bool = False  # whether the repository's top lies in the root
    ignoring: tuple[Rules, ...] = ()
    axlignoring: tuple[Rules, ...] = ()
    skipped: str = ""  # the reason why only what is tracked or included by name counts here


class _Walk:
    def __init__(self, root: str, selection: Selection, dropped: Dropped, without: Sequence[str]) -> None:
        self._root, self._selection, self._dropped = root, selection, dropped
        self._base = carried(os.path.realpath(root)).rstrip("/")  # what rules and repositories are relative to
        real = {carried(os.path.realpath(path)) for path in without}
        # A root that is itself the output, or lies in it, was named on purpose.
        self._without = {path for path in real if path.startswith(f"{self._base}/")}

    def files(self) -> Iterator[SourceFile]:
        places = [self._first()]
        while places:
            place = places.pop()
            try:
                entries = sorted(os.scandir(self._native(place.name)), key=lambda entry: entry.name)
            except OSError as error:
                if not place.name:
                    why = error.strerror or error
                    raise AxlError(f"cannot read {self._root}: {why}; make it readable or leave it out") from error
                self._drop(place.name, reasons.UNREADABLE, f"({error.strerror})")
                continue
            place = self._entered(place, entries)
            written = written_by_axl(self._native(place.name), {entry.name for entry in entries})
            for entry in entries:
                name = f"{place.name}/{carried(entry.name)}".lstrip("/") if place.name else carried(entry.name)
                if entry.name == ".git":
                    continue
                if entry.name in written or self._absolute(name) in self._without:
                    self._drop(name, reasons.AXL)
                elif entry.is_symlink():
                    self._drop(name, reasons.LINK)
                elif entry.is_dir(follow_symlinks=False):
                    places.extend(self._folder(place, name))
                else:
                    yield from self._file(place, name, entry)

    def _first(self) -> _Place:
        """The root, with the rules of the folders above it that its repository has."""
        repository = enclosing_repository(self._base, self._dropped)
        if repository is None or repository.top == self._base:
            return _Place("")
        chain, axlignoring, folder = list(repository.rules), list[Rules](), repository.top
        for part in ("", *self._base[len(repository.top) + 1 :].split("/")[:-1]):
            folder = f"{folder}/{part}" if part else folder
            chain += self._rules(folder, ".gitignore")
            axlignoring += self._rules(folder, AXLIGNORE_FILE)
        # As with git: a folder that is itself ignored was named on purpose.
        if ruled_out(chain, self._base, is_folder=True):
            return _Place("", axlignoring=tuple(axlignoring))
        return _Place("", repository, False, tuple(chain), tuple(axlignoring))

    def _entered(self, place: _Place, entries: Sequence[os.DirEntry[str]]) -> _Place:
        """The place with the rules and the repository that begin in it."""
        names = {entry.name for entry in entries}
        folder = self._absolute(place.name)
        if ".git" in names:
            repository = open_repository(folder, self._dropped)
            if repository is not None:
                submodule = place.skipped and self._tracked_folder(place, place.name)
                skipped = "" if submodule else place.skipped
                place = replace(place, repository=repository, inside=True, ignoring=repository.rules, skipped=skipped)
        return replace(
            place,
            ignoring=(*place.ignoring, *(self._rules(folder, ".gitignore") if ".gitignore" in names else ())),
            axlignoring=(*place.axlignoring, *(self._rules(folder, AXLIGNORE_FILE) if AXLIGNORE_FILE in names else ())),
        )

    def _folder(self, place: _Place, name: str) -> Iterator[_Place]:
        """The folder `name`, if it is to be entered."""
        own, path = name.rpartition("/")[2], self._absolute(name)
        named = self._selection.names_folder(name)
        if self._selection.excludes(name, is_folder=True):
            self._drop(name, reasons.EXCLUDED)
            return
        if not named and ruled_out(place.axlignoring, path, is_folder=True):
            self._drop(name, reasons.AXLIGNORED)
            return
        skipped = place.skipped
        foreign = own.startswith(".") or own in DEPENDENCIES or (own in BUILD_OUTPUT and place.repository is None)
        if foreign:
            skipped = reasons.SKIPPED_FOLDER
        elif not skipped and ruled_out(place.ignoring, path, is_folder=True):
            skipped = reasons.IGNORED
        included = self._selection.includes(name, is_folder=True)
        onward = named or (place.skipped and not foreign and self._selection.include)
        if skipped and not (included or onward or self._tracked_folder(place, name)):
            self._drop(name, skipped)
            return
        yield replace(place, name=name, skipped=skipped)

    def _file(self, place: _Place, name: str, entry: os.DirEntry[str]) -> Iterator[SourceFile]:
        """The file `name`, if it is to be read."""
        included = self._selection.includes(name, is_folder=False)
        tracked = self._tracked(place, name)
        reason = None
        try:
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                reason = reasons.NO_FILE
            elif self._selection.excludes(name, is_folder=False):
                reason = reasons.EXCLUDED
            elif not included:
                reason = self._reason_to_drop(place, name, tracked)
        except OSError as error:
            self._drop(name, reasons.UNREADABLE, f"({error.strerror})")
            return
        if reason is None:
            tree = place.repository if place.inside else None
            path, real = self._native(name), self._absolute(name)
            yield SourceFile(name, carried(self._root), path, real, tracked=tracked, changed=status.st_mtime, tree=tree)
        else:
            self._drop(name, reason)

    def _reason_to_drop(self, place: _Place, name: str, tracked: bool) -> str | None:
        """The reason to drop a file that nobody included by name."""
        path = self._absolute(name)
        if ruled_out(place.axlignoring, path, is_folder=False):
            return reasons.AXLIGNORED
        if not tracked and place.skipped:
            return place.skipped
        if not tracked and ruled_out(place.ignoring, path, is_folder=False):
            return reasons.IGNORED
        suffix = PurePosixPath(name).suffix
        if is_source(PurePosixPath(name)) or (not suffix and read_plain(self._native(name), 2).startswith(b"#!")):
            return None
        return reasons.UNKNOWN_SUFFIX

    def _tracked(self, place: _Place, name: str) -> bool:
        repository = place.repository
        return repository is not None and self._absolute(name)[len(repository.top) + 1 :] in repository.tracked

    def _tracked_folder(self, place: _Place, name: str) -> bool:
        repository = place.repository
        return repository is not None and self._absolute(name)[len(repository.top) + 1 :] in repository.folders

    def _rules(self, folder: str, name: str) -> tuple[Rules, ...]:
        rules = rules_in_file(folder, f"{folder}/{name}")
        return () if rules is None else (rules,)

    def _absolute(self, name: str) -> str:
        return f"{self._base}/{name}" if name else self._base

    def _native(self, name: str) -> str:
        return os.path.join(self._root, native(name)) if name else self._root

    def _drop(self, name: str, reason: str, detail: str = "") -> None:
        self._dropped.add(f"{carried(self._root)}/{name}", reason, detail)
