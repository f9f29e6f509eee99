"""`axl eval`: how good a checkpoint is, in bits per byte, in what a person keeps of its completions, and by running them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.compile import ensure_kernels
from multiscale_transformer.cli.eval_code import humaneval, humaneval_x, infilling, mbpp
from multiscale_transformer.cli.eval_codebleu import codebleu
from multiscale_transformer.cli.eval_task import task
from multiscale_transformer.cli.main import COMMANDS
from multiscale_transformer.cli.memory_args import index_folders
from multiscale_transformer.cli.options import (
    SHIPPED_FOLDER,
    Checkpoint,
    EngineThreads,
    MemoryFolders,
    Threads,
    help_text,
    paths,
    seed_number,
)
from multiscale_transformer.cli.renamed import renamed
from multiscale_transformer.cli.ui import counted, size

if TYPE_CHECKING:
    from multiscale_transformer.evaluation.editing import EditingScore

app = typer.Typer(help=COMMANDS["eval"][1], no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


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


def lines(
    model: Checkpoint = SHIPPED_FOLDER,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", callback=paths, help="A project to complete in, instead of the run's own held-out files."),
    ] = None,
    places: Annotated[int, typer.Option(metavar="N", min=1, help="Places of each kind.")] = 50,
    memory: MemoryFolders = None,
    compare: Annotated[
        bool, typer.Option("--compare", metavar="", help="Also without an index, and as the model ends by itself.")
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", callback=seed_number, help="Decides the places.")] = 0,
    threads: EngineThreads = None,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print one line of JSON.")] = False,
) -> None:
    """What one keeps of completions: the next line, the rest of a line, and gaps of a part of a line, a line and a block.

    Exact match, edit similarity (percent), bytes until the first error, the share that ends by itself in the right line, the
    share that runs into blanks or repeats a line, and the time to the first byte. Completions are greedy and end as they do in
    an editor. Of a project a quarter of the files is held out, and the others are the index.

        axl eval lines --data ~/my_project
        axl eval lines --model checkpoints/mine --compare
    """
    from multiscale_transformer.engine.session import open_scheduler
    from multiscale_transformer.evaluation.editing import KINDS, MODES, completer, draw_places, score_places
    from multiscale_transformer.training.editing_data import editing_data

    ensure_kernels()
    folders = index_folders(memory) if memory else None
    with ui.busy("reading"):
        documents, corpus_memory, what = editing_data(model, data, folders)
    drawn = [place for kind in KINDS for place in draw_places(documents, places, kind, seed)]
    indexes = {"index": corpus_memory, "no index": None} if compare and corpus_memory else {"index": corpus_memory}
    runs = [(index, mode) for index in indexes for mode in (MODES if compare else MODES[:1])]
    scores: dict[str, dict[str, EditingScore]] = {}
    with ui.bar() as bar:
        task = bar.add_task("completing", total=len(runs) * len(drawn))
        for index, mode in runs:
            scheduler = open_scheduler(model, threads=threads)  # another one knows no prompt of the last
            complete = completer(scheduler, indexes[index], mode)
            scores[_label(index, mode)] = score_places(drawn, complete, lambda: bar.advance(task))
    if as_json:
        ui.print_line(json.dumps({"data": what, "seed": seed, "scores": {run: _plain(of) for run, of in scores.items()}}))
        return
    for run, by_group in scores.items():
        _show_editing(f"{what}, {run}" if run else what, by_group)


def _label(index: str, mode: str) -> str:
    return ", ".join(filter(None, ("" if index == "index" else index, "" if mode == "editor" else "no stop rules")))


def _plain(scores: dict[str, EditingScore]) -> dict[str, dict[str, float]]:
    return {group: asdict(score) for group, score in scores.items()}


def _show_editing(title: str, scores: dict[str, EditingScore]) -> None:
    columns = ["", "places >", "exact >", "similar >", "bytes kept >", "ends right >", "runs on >", "first byte >"]
    table = ui.new_table(title, columns)
    for group, score in scores.items():
        shares = [f"{share:.0%}" for share in (score.exact, score.similarity)]
        ends = [f"{share:.0%}" for share in (score.ends_right, score.runs_on)]
        first = f"{1000 * score.first_seconds:.0f} ms, 95 %: {1000 * score.first_seconds_95:.0f}"
        table.add_row(group, str(score.places), *shares, f"{score.accepted:.1f}", *ends, first)
    ui.show_table(table)


for _command in (bpb, lines, task, humaneval, mbpp, infilling, humaneval_x, codebleu):
    app.command(_command.__name__.replace("_", "-"), help=help_text(_command))(_command)
