"""`axl index`: make code available to a model without training, in seconds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import console
from multiscale_transformer.cli.console import command, counted, fact, out, size
from multiscale_transformer.cli.options import folder, paths
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.data.documents import Documents
    from multiscale_transformer.memory.index import Index

KEEP = "Keep it up to date"


def index(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH…", callback=paths, help="Folders, repositories, files, .jsonl, globs, or stdlib."),
    ] = None,
    place: Annotated[Path, typer.Option("--out", parser=folder, metavar="FOLDER", help="The folder of the index.")] = Path(
        "axl-index"
    ),
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

    Filters are those of axl train: binary, generated and undecodable files and near-copies are left out, and what .gitignore
    names.

        axl index my_repo/ --out my_index
        axl complete "def main(" --model checkpoints/mine --memory my_index
        axl index my_repo/ --out my_index --update --prune
    """
    from multiscale_transformer.memory.index import build_index, check_index, load_index, merge_index, remove_documents

    begin = time.perf_counter()
    if prune and not update:
        raise AxlError("--prune goes with --update")
    if not sources and not (remove or merge or check):
        raise AxlError("say what to index: axl index PATH --out FOLDER")
    if sources and not update:
        documents = _read(sources)
        with console.busy("sorting"):
            made = build_index(place, documents, sources)
    else:
        made = load_index(place)
        if sources:
            made = _update(made, _read(sources), prune)
    if remove:
        made = remove_documents(made, remove)
    if merge:
        made = merge_index(made)
    if check:
        check_index(made)
    _show(made, time.perf_counter() - begin)


def _read(sources: list[str]) -> Documents:
    from multiscale_transformer.data.corpus import load_originals

    with console.bar() as bar:
        task = bar.add_task("reading", total=1.0)
        documents, left_out = load_originals(
            sources, on_progress=lambda what, done: bar.update(task, description=what, completed=done)
        )
    if left_out:
        fact("Left out", console.left_out(left_out))
    return documents


def _update(old: Index, documents: Documents, prune: bool) -> Index:
    from multiscale_transformer.memory.index import update_index

    with console.busy("sorting"):
        made, changes = update_index(old, documents, prune=prune)
    fact(
        "Changes",
        f"{changes.added:,} added, {changes.replaced:,} replaced, {changes.removed:,} removed, {changes.unchanged:,} unchanged",
    )
    return made


def _show(made: Index, seconds: float) -> None:
    disk = sum(path.stat().st_size for path in made.folder.rglob("*") if path.is_file())
    fact(
        "Index",
        f"{made.folder}: {counted(len(made), 'document')}, {size(made.nbytes)} in {counted(len(made.shards), 'shard')}, "
        f"{size(disk)} on disk, {seconds:.1f} s",
    )
    out.print()
    console.copyable(command("complete", "def main(", "--model", "CHECKPOINT", "--memory", made.folder))
