"""`axl index`: make code available to a model without training, in seconds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import Exclude, Include, folder, paths
from multiscale_transformer.cli.ui import command, counted, out, print_field, size
from multiscale_transformer.data.dropped import UNREADABLE, Dropped
from multiscale_transformer.data.named_sources import NAMED_SOURCES
from multiscale_transformer.data.sources import source_of
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multiscale_transformer.memory.document import Document
    from multiscale_transformer.memory.index import Index
    from multiscale_transformer.memory.update import Changes

KEEP = "Keep it up to date"


def index(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH…", callback=paths, help="Folders, repositories, files, .jsonl, globs, or stdlib."),
    ] = None,
    place: Annotated[Path, typer.Option("--out", parser=folder, metavar="FOLDER", help="The folder of the index.")] = Path(
        "axl-index"
    ),
    include: Include = None,
    exclude: Exclude = None,
    update: Annotated[
        bool,
        typer.Option("--update", metavar="", rich_help_panel=KEEP, help="Add what is new in PATH and replace what changed."),
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", metavar="", rich_help_panel=KEEP, help="With --update: remove what is gone from PATH.")
    ] = False,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="NAME", rich_help_panel=KEEP, help="Remove a document by its name.")
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", metavar="", rich_help_panel=KEEP, help="Make one shard of all that updates left.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", metavar="", rich_help_panel=KEEP, help="Read every byte and compare the checksums.")
    ] = False,
) -> None:
    """Index code, so that a model completes from it at once: no training.

    Filters are those of axl train: binary, generated and undecodable files are dropped, and what .gitignore names. Of exact
    copies one is indexed; near-duplicates are wanted.

        axl index my_repo/ --out my_index
        axl complete "def main(" --model checkpoints/mine --memory my_index
        axl index my_repo/ --out my_index --update --prune
    """
    from multiscale_transformer.cli.reading import print_dropped, stream
    from multiscale_transformer.data.names import carried
    from multiscale_transformer.data.selection import Selection
    from multiscale_transformer.memory.index import (
        build_index,
        check_index,
        load_index,
        merge_index,
        remove_documents,
        update_index,
    )

    begin = time.perf_counter()
    if prune and not update:
        raise AxlError("--prune goes with --update")
    if not sources and not (remove or merge or check):
        raise AxlError("say what to index: axl index PATH --out FOLDER")
    if not sources and (update or include or exclude):
        raise AxlError("--update, --include and --exclude go with a PATH")
    if prune:
        _check_prunable(sources or [])
    made: Index | None = load_index(place) if update or not sources else None
    if sources:
        dropped, changes = Dropped(), None
        with ui.bar() as bar:
            found = stream(sources, Selection.of(include, exclude), without=[place], dropped=dropped, bar=bar)
            if prune:
                found = _all_readable(found, dropped)
            if made is None:
                made = build_index(place, found, list(dict.fromkeys(map(source_of, sources))))
            else:
                made, changes = update_index(made, found, list(map(source_of, sources)), prune=prune)
        if changes is not None:
            _say_changes(changes)
        print_dropped(dropped)
    assert made is not None  # it was loaded, or built from sources
    if remove:
        made = remove_documents(made, map(carried, remove))
    if merge:
        made = merge_index(made)
    if check:
        check_index(made)
    _show(made, time.perf_counter() - begin)


def _check_prunable(sources: list[str]) -> None:
    """Refuse to prune by a file or a glob: the rest of its folder, indexed otherwise, would count as gone."""
    for path in sources:
        if path not in NAMED_SOURCES and not Path(path).expanduser().is_dir():
            raise AxlError(f"--prune goes with folders, and {path} is none: what is gone from it cannot be told")


def _all_readable(documents: Iterator[Document], dropped: Dropped) -> Iterator[Document]:
    """The same documents. Raises AxlError at the end where some could not be read: they are not gone from PATH."""
    yield from documents
    unread = dropped.counts[UNREADABLE]
    if unread:
        raise AxlError(
            f"{unread:,} files or folders could not be read, and --prune would remove them from the index; "
            "make them readable, or update without --prune"
        )


def _say_changes(changes: Changes) -> None:
    print_field(
        "Changes",
        f"{changes.added:,} added, {changes.replaced:,} replaced, {changes.removed:,} removed, {changes.unchanged:,} unchanged"
        + (f", {changes.copies:,} copies of what it holds" if changes.copies else ""),
    )


def _show(made: Index, seconds: float) -> None:
    disk = sum(path.stat().st_size for path in made.folder.rglob("*") if path.is_file())
    print_field(
        "Index",
        f"{made.folder}: {counted(len(made), 'document')}, {size(made.nbytes)} in {counted(len(made.shards), 'shard')}, "
        f"{size(disk)} on disk, {seconds:.1f} s",
    )
    if made.needs_merge:
        print_field(
            "", f"many shards make looking up slower; {command('index', '--merge', '--out', made.folder)} makes few of them"
        )
    out.print()
    ui.print_command(command("complete", "def main(", "--model", "CHECKPOINT", "--memory", made.folder))
