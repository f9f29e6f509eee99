"""`axl quickstart`: the whole story in one command, for the first five minutes with AXL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from multiscale_transformer.cli.complete import complete
from multiscale_transformer.cli.console import out
from multiscale_transformer.cli.train import train
from multiscale_transformer.training.run import free_folder

PROMPT = "def read_lines(path):\n"


def quickstart(
    minutes: Annotated[float, typer.Option(help="Time to train for.")] = 3.0,
    root: Annotated[Path, typer.Option(help="Where checkpoints go.")] = Path("checkpoints"),
) -> None:
    """Train on the Python library in the size this machine can train in --minutes, measure, and complete a prompt."""
    folder = free_folder(root, "quickstart")
    train(minutes=minutes, folder=folder)
    out.print("\nA completion of its own, as it comes (a model this small knows the look of code, not its meaning):\n")
    complete(PROMPT, model=folder, max_tokens=240, seed=0)
