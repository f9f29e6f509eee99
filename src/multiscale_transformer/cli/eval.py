"""`axl eval`: how good a checkpoint is."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.compile import ensure_kernels
from multiscale_transformer.cli.main import COMMANDS
from multiscale_transformer.cli.memory_args import index_folders
from multiscale_transformer.cli.options import Checkpoint, MemoryFolders, Threads, help_text, paths
from multiscale_transformer.cli.renamed import renamed
from multiscale_transformer.cli.ui import counted, size

app = typer.Typer(help=COMMANDS["eval"][1], no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `bpb` a command of its own."""


@renamed(peers="baselines")
def bpb(
    model: Checkpoint,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", callback=paths, help="Text to score instead of the run's own held-out files."),
    ] = None,
    context: Annotated[
        int | None, typer.Option(metavar="N", min=16, help="Window in bytes (default: the model's context).")
    ] = None,
    memory: MemoryFolders = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", metavar="", help="Also xz, PPMd and zpaq, alone and primed with the training files.")
    ] = False,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print one line of JSON.")] = False,
) -> None:
    """Bits per byte over every byte of the held-out files, with the context a user would have.

    A window takes up to --context bytes, and every byte but the first ones of a file sees at least half of that before it.

        axl eval bpb --model checkpoints/mine --baselines
        axl eval bpb --model checkpoints/mine --data other_project/
        axl eval bpb --model checkpoints/mine --memory none
    """
    import torch

    from multiscale_transformer.evaluation.compression_baselines import NEEDS_ZPAQ, has_zpaq, labelled
    from multiscale_transformer.machine import available_cores
    from multiscale_transformer.training.held_out import evaluate_bpb

    torch.set_num_threads(threads or available_cores())
    if baselines and not has_zpaq():
        ui.note(NEEDS_ZPAQ)
    ensure_kernels()
    folders = index_folders(memory) if memory else None
    with ui.bar() as bar:
        task = bar.add_task("reading", total=None)

        def advance(done: int, total: int) -> None:
            doing = "scoring" if done < total or not baselines else "comparing with compressors"
            bar.update(task, description=doing, completed=done, total=total)

        figures = evaluate_bpb(model, data, context=context, memory=folders, with_baselines=baselines, on_bytes=advance)
    if as_json:
        ui.print_line(json.dumps(figures))
        return
    title = (
        f"{figures['bits_per_byte']:.3f} bits per byte on {size(figures['bytes'])} {figures['data']} "
        f"({counted(figures['documents'], 'file')}, context {figures['context']:,} bytes)"
    )
    if not baselines:
        ui.print_text(title)
        return
    rows = [("this model", figures["bits_per_byte"]), *labelled(figures)]
    ui.bits_per_byte(title, rows, "this model")


app.command("bpb", help=help_text(bpb))(bpb)
