"""`axl report`: the curves of runs as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import folder


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Run folders (of axl train).")],
    target: Annotated[
        Path, typer.Option("--out", parser=folder, metavar="FOLDER", help="Where the page and the pictures go.")
    ] = Path("report"),
) -> None:
    """Draw the curves of one or several runs into one self-contained HTML page and PNGs."""
    from multiscale_transformer.training.report import write_report

    for path in write_report(runs, target):
        ui.print_line(path)
