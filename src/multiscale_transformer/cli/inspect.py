"""`axl suggest`, `axl models`, `axl data` and `axl report`: look before and after training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from multiscale_transformer.benchmarks.report import write_report
from multiscale_transformer.cli.console import errors, megabytes, millions, out
from multiscale_transformer.cli.train import read_corpus
from multiscale_transformer.data.sources import STDLIB
from multiscale_transformer.model.config import load_recipe, recipe_names
from multiscale_transformer.training.machine import default_threads, installed_memory
from multiscale_transformer.training.suggest import suggest as rank_sizes


def suggest(
    minutes: Annotated[float, typer.Option(help="The time you will train for.")] = 3.0,
    ram: Annotated[float | None, typer.Option(help="Memory in GB (default: what is installed).")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all cores).")] = None,
) -> None:
    """Measure this CPU for a moment and propose the size that the budget can really train."""
    with errors.status("measuring this CPU"):
        rows = rank_sizes(minutes, threads or default_threads(), ram if ram is not None else installed_memory() / 1e9)
    table = Table(title=f"What {minutes:g} minutes can train here")
    for heading in ("size", "parameters", "KB/s", "text it would read", "memory", ""):
        table.add_column(heading, justify="left" if heading in ("size", "") else "right")
    for row in rows:
        table.add_row(
            row.name,
            millions(row.config.parameters()),
            f"{row.bytes_per_second / 1e3:,.1f}",
            f"{row.megabytes:,.1f} MB",
            f"{row.memory_gb:.1f} GB",
            "[bold]best for this budget[/]" if row.best else "",
        )
    out.print(table)
    out.print(f"Train it: axl train --minutes {minutes:g}   (the published models: axl models)")


def models() -> None:
    """List the shipped models."""
    table = Table(title="Shipped models: axl train NAME")
    for heading in ("name", "parameters", "optimizer", "minutes", "for"):
        table.add_column(heading, justify="right" if heading in ("parameters", "minutes") else "left")
    for recipe in map(load_recipe, recipe_names()):
        training = recipe.training
        table.add_row(
            recipe.name, millions(recipe.model.parameters()), training.optimizer, f"{training.minutes:g}", recipe.description
        )
    out.print(table)


def data(
    paths: Annotated[list[str] | None, typer.Argument(help="Folders, repositories, files, .jsonl or globs.")] = None,
) -> None:
    """Show what training on PATHS would read: files kept, held out, and left out by reason."""
    corpus = read_corpus(paths or [STDLIB])
    for title, documents in (("training", corpus.train), ("held out", corpus.held_out)):
        sizes = sorted(((len(content), name) for name, content in documents), reverse=True)
        out.print(f"Largest of {title}: " + ", ".join(f"{name} ({megabytes(size)})" for size, name in sizes[:3]))


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders (of axl train).")],
    folder: Annotated[Path, typer.Option("--out", help="Where the page and the pictures go.")] = Path("report"),
) -> None:
    """Draw the curves of one or several runs into one self-contained HTML page and PNGs."""
    for path in write_report(runs, folder):
        out.print(str(path), markup=False, soft_wrap=True)
