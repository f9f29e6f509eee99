"""`axl push`: an export to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import folder


def push(
    place: Annotated[Path, typer.Argument(parser=folder, metavar="FOLDER", help="What axl export wrote.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Where it goes; made if it is not there.")],
    private: Annotated[bool, typer.Option("--private", metavar="", help="A new repository is seen by you alone.")] = False,
) -> None:
    """Upload an export to the Hugging Face Hub. Log in with hf auth login first, or set HF_TOKEN.

    axl push export/hf me/axl-mine --private
    """
    from multiscale_transformer.export.push import push as upload

    with ui.busy("uploading"):
        address = upload(place, repository, private=private)
    ui.print_line(address)
