"""`axl quantize`: several checkpoints as GGUF files at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.export import export_name, show_files
from multiscale_transformer.cli.options import CHECKPOINTS, ExportFolder, folder
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.folder import CONFIG_FILE, read_config
from multiscale_transformer.model.vision_config import sees


def quantize(
    models: Annotated[list[str] | None, typer.Argument(metavar="FOLDER…", help="Checkpoint folders.")] = None,
    every: Annotated[bool, typer.Option("--all", metavar="", help="All checkpoints in --root.")] = False,
    root: Annotated[Path, typer.Option(parser=folder, metavar="FOLDER", help="Where --all looks.")] = CHECKPOINTS,
    place: ExportFolder = Path("export"),
) -> None:
    """F16 and Q4_K_M of each checkpoint, and one table at the end.

    axl quantize checkpoints/mine
    axl quantize --all
    """
    from multiscale_transformer.export.gguf import export_gguf

    if bool(models) == every or (models and root != CHECKPOINTS):
        raise AxlError("name checkpoint folders, or give --all for those in --root, not both")
    found = sorted(path.parent for path in root.glob(f"*/{CONFIG_FILE}")) if every else list(map(folder, models or ()))
    seeing = [path for path in found if every and sees(path)]
    folders = [path for path in found if path not in seeing]
    if seeing:
        ui.note(f"llama.cpp has no models like {', '.join(path.name for path in seeing)}, which see")
    if not folders:
        raise AxlError(f"there is no checkpoint of text in {root}; give another --root, or name folders")
    for checkpoint in folders:
        read_config(checkpoint)
    written = []
    for checkpoint in folders:
        with ui.busy(f"quantizing {checkpoint.name}"):
            written += export_gguf(checkpoint, place, export_name(checkpoint), ["F16", "Q4_K_M"])
    show_files(written)
