"""`axl see`: what is on a screenshot, as a table, as JSON, drawn on it, and as a page of HTML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import CHECKPOINTS, above_zero
from multiscale_transformer.errors import AxlError
from multiscale_transformer.vision.maps import MIN_SCORE

SEER = CHECKPOINTS / "axl-vision-v2"
LIBRARY = "bootstrap"
OUTPUT = "Output"


def see(
    screenshot: Annotated[Path, typer.Argument(metavar="SCREENSHOT", help="PNG, JPEG, WebP, GIF or BMP.")],
    model: Annotated[Path, typer.Option(metavar="FOLDER", help="A checkpoint of a model that sees.")] = SEER,
    min_score: Annotated[
        float,
        typer.Option(
            metavar="X", callback=above_zero, max=0.99, help="How sure the model must be that something is an element."
        ),
    ] = MIN_SCORE,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print JSON instead of a table.")] = False,
    draw: Annotated[
        Path | None,
        typer.Option(metavar="PNG", rich_help_panel=OUTPUT, help="Write the screenshot with its elements outlined."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", rich_help_panel=OUTPUT, help="Write the page as HTML of one library.")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="PNG", rich_help_panel=OUTPUT, help="Write that page, drawn by Chromium, beside the screenshot."),
    ] = None,
    library: Annotated[
        str, typer.Option(metavar="NAME", rich_help_panel=OUTPUT, help="The library of CSS of the page.")
    ] = LIBRARY,
    libraries: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", rich_help_panel=OUTPUT, help="Where npm installed it: needed for --html and --compare."),
    ] = None,
) -> None:
    """List the elements of a screenshot: class, box, states, and the layout of the page.

    AXL-Vision-v2 finds elements and writes their layout; AXL-Vision-0.8M names what stands out and writes none. Pages are
    written with words that fit, for no model here reads text on pictures.

        axl see shot.png --draw seen.png
        axl see shot.png --json
        axl see shot.png --html page.html --compare beside.png --libraries node_modules
    """
    from multiscale_transformer.vision.picture import read_picture
    from multiscale_transformer.vision.seer import open_seer

    if (html or compare) and libraries is None:
        raise AxlError("--html and --compare need --libraries, a folder in which npm installed the library of CSS")
    if not (html or compare) and (libraries is not None or library != LIBRARY):
        raise AxlError("--library and --libraries go with --html and --compare")
    picture = read_picture(screenshot)
    seen = open_seer(model).see(picture, min_score)
    if (html or compare) and not seen.layout:
        raise AxlError(
            f"{model} wrote no layout for {screenshot}, so there is no page to write; leave out --html and --compare"
        )
    if as_json:
        ui.write(json.dumps(seen.as_json()) + "\n")
    else:
        table = ui.new_table(f"{screenshot.name}: {seen.width} x {seen.height} pixels", ("class", "box", "states", "score >"))
        for one in seen.found:
            table.add_row(
                one.element.kind, " ".join(map(str, one.element.box)), ", ".join(one.element.states), f"{one.score:.2f}"
            )
        ui.show_table(table)
        if seen.layout:
            ui.print_field("Layout", seen.layout)
    if draw:
        from multiscale_transformer.vision.redraw import outlined, write_png

        write_png(draw, outlined(picture, seen))
    if libraries is not None and (html or compare):
        from multiscale_transformer.files import write_text
        from multiscale_transformer.vision.grounds import page_colour
        from multiscale_transformer.vision.redraw import beside, drawn_again, page_of, write_png

        page = page_of(seen, page_colour(picture), library, libraries)
        if html:
            write_text(html, page.html)
        if compare:
            write_png(compare, beside(picture, drawn_again(page, max(seen.width, seen.height))))
