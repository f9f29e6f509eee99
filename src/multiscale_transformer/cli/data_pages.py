"""`axl data make vision`: rendered pages with labels, and two test sets from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import folder
from multiscale_transformer.errors import AxlError

PAGE_SETS = ("vision", "vision-documentation", "vision-windows")
Libraries = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", parser=folder, help="Of vision: the folder that npm installed libraries of CSS in."),
]
Html = Annotated[
    Path | None, typer.Option(metavar="FOLDER", parser=folder, help="Of vision-documentation: a folder of HTML pages.")
]
Pages = Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="Of vision: how many pages there are to be.")]


def make_page_set(name: str, place: Path, count: int, seed: int, *, libraries: Path | None, html: Path | None) -> None:
    """Make one of PAGE_SETS, or go on with it, and say what is there. Raises AxlError where what it is made from is missing."""
    from multiscale_transformer.vision.other_domains import make_documentation, make_windows

    if name == "vision":
        made = _pages(place, libraries, count, seed)
    elif name == "vision-windows":
        made = make_windows(place, count, seed)
    elif html is None:
        raise AxlError(f"{name} is made from HTML pages; name a folder of them with --html")
    else:
        made = make_documentation(place, html, count, seed)
    ui.print_field("Pages", f"{made:,} in {place}")


def _pages(place: Path, libraries: Path | None, count: int, seed: int) -> int:
    from multiscale_transformer.vision.dataset import numbers
    from multiscale_transformer.vision.libraries import LIBRARIES
    from multiscale_transformer.vision.make import make_pages

    if libraries is None:
        packages = " ".join(library.package for library in LIBRARIES.values())
        raise AxlError(
            f"name a folder with --libraries; make one with: npm install --ignore-scripts --prefix FOLDER {packages}"
        )
    with ui.bar() as bar:
        task = bar.add_task("rendering", total=count)
        made = make_pages(place, libraries, count, seed, lambda number: bar.update(task, advance=1))
        bar.update(task, completed=count)
    here = len(numbers(place))
    ui.print_field("Rendered", f"{made:,} now")
    return here
