"""`axl eval`: how good a checkpoint is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer

from multiscale_transformer.benchmarks.held_out import evaluate_bpb
from multiscale_transformer.cli.console import byte_bar, megabytes, out
from multiscale_transformer.training.machine import default_threads

app = typer.Typer(help="Measure a checkpoint.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `bpb` a command of its own."""


@app.command("bpb")
def bpb(
    model: Annotated[Path, typer.Option(help="Checkpoint folder.")],
    data: Annotated[list[str] | None, typer.Option(help="Text to score instead of the run's own held-out files.")] = None,
    context: Annotated[int | None, typer.Option(min=16, help="Window in bytes (default: the model's context).")] = None,
    peers: Annotated[bool, typer.Option("--peers", help="Also xz, PPMd, and PPMd primed with the training files.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all cores).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bits per byte over every byte of the held-out files (or of --data), with the context a user would have."""
    torch.set_num_threads(threads or default_threads())
    with byte_bar() as bar:
        task = bar.add_task("reading", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, description="scoring", completed=done, total=total)

        figures = evaluate_bpb(model, data, context=context, with_peers=peers, on_bytes=advance)
    if as_json:
        out.print(json.dumps(figures), markup=False, soft_wrap=True)
        return
    out.print(
        f"[bold]{figures['bits_per_byte']:.4f}[/] bits per byte over {megabytes(figures['bytes'])} "
        f"in {figures['documents']:,} files ({figures['data']}, context {figures['context']:,} bytes)"
    )
    for name, label in (("xz", "xz -9e"), ("ppmd", "PPMd, order 8"), ("ppmd_primed", "PPMd primed with the training files")):
        if name in figures:
            out.print(f"{figures[name]:.4f} {label}")
