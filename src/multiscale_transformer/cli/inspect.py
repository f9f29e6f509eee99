"""`axl suggest`, `axl models`, `axl data` and `axl report`: look before and after training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from multiscale_transformer.cli import console
from multiscale_transformer.cli.console import command, copyable, fact, millions, out, size
from multiscale_transformer.cli.options import Exclude, Include, Minutes, Threads, above_zero, folder, paths


def suggest(
    minutes: Minutes = 3.0,
    ram: Annotated[
        float | None, typer.Option(metavar="GB", callback=above_zero, help="Memory to use (default: what is installed).")
    ] = None,
    threads: Threads = None,
) -> None:
    """Measure this CPU for a moment and propose the size that the time can really train."""
    from multiscale_transformer.machine import available_cores, installed_ram
    from multiscale_transformer.training.suggest import suggest as rank_sizes

    with console.busy("measuring this CPU"):
        rows = rank_sizes(minutes, threads or available_cores(), ram if ram is not None else installed_ram() / 1e9)
    table = Table(title=f"What {console.counted(minutes, 'minute')} can train here", box=None, title_justify="left")
    for heading in ("size", "parameters", "KB/s", "reads", "memory", ""):
        table.add_column(heading, justify="left" if heading in ("size", "") else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            millions(row.config.parameters()),
            f"{row.bytes_per_second / 1e3:,.1f}",
            size(row.megabytes * 1e6),
            size(row.ram_gb * 1e9),
            "best for this time" if row.best else "",
            style="bold" if row.best else "",
        )
    console.show_table(table)
    out.print("\nTrain the best one (axl models lists the published ones):")
    copyable(command("train", "--minutes", f"{minutes:g}"))


def models() -> None:
    """List the shipped models."""
    from multiscale_transformer.zoo.recipes import load_recipe, recipe_names

    table = Table(title="Shipped models: axl train NAME", box=None, title_justify="left", expand=out.is_terminal)
    for heading in ("name", "parameters", "optimizer", "minutes"):
        table.add_column(heading, justify="right" if heading in ("parameters", "minutes") else "left", no_wrap=True)
    table.add_column("for", no_wrap=True, ratio=1)
    recipes = sorted(map(load_recipe, recipe_names()), key=lambda recipe: recipe.model.parameters())
    for recipe in recipes:
        training = recipe.training
        table.add_row(
            recipe.name, millions(recipe.model.parameters()), training.optimizer, f"{training.minutes:g}", recipe.description
        )
    console.show_table(table)


def data(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", callback=paths, help="Folders, repositories, files, .jsonl or globs."),
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    left_out: Annotated[
        bool, typer.Option("--left-out", metavar="", help="List what is left out instead: place, tab, reason.")
    ] = False,
) -> None:
    """Show what training on PATHs would read: files kept, held out, and left out by reason.

    Without a PATH it is the Python library of this interpreter. A .axlignore, written as a .gitignore, leaves out for good.

        axl data . --left-out | grep "unknown suffix"
        axl data . --include "*.tpl" --exclude third_party/
    """
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.dropped import Dropped
    from multiscale_transformer.data.names import shown
    from multiscale_transformer.data.selection import Selection
    from multiscale_transformer.data.sources import STDLIB

    told = Dropped(listed=left_out)
    try:
        corpus = read_corpus(sources or [STDLIB], Selection.of(include, exclude), left_out=told, quiet=left_out)
    finally:
        for line in told.lines():  # where nothing is left, they say why
            console.write(f"{line}\n")
    if left_out:
        return
    for part, documents in (("to train on", corpus.train), ("held out", corpus.held_out)):
        largest = sorted(((len(content), name) for name, content in documents), reverse=True)[:3]
        fact("", f"largest {part}: " + ", ".join(f"{shown(name)} ({size(count)})" for count, name in largest))


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Run folders (of axl train).")],
    target: Annotated[
        Path, typer.Option("--out", parser=folder, metavar="FOLDER", help="Where the page and the pictures go.")
    ] = Path("report"),
) -> None:
    """Draw the curves of one or several runs into one self-contained HTML page and PNGs."""
    from multiscale_transformer.training.report import write_report

    for path in write_report(runs, target):
        out.print(str(path), markup=False, soft_wrap=True)
