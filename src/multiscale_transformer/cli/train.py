"""`axl train`: a model by name, from a file, or in the size that the budget can really train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from multiscale_transformer.benchmarks.held_out import measure_run
from multiscale_transformer.cli.console import byte_bar, errors, megabytes, millions, out
from multiscale_transformer.data.corpus import Corpus, load_corpus
from multiscale_transformer.data.sources import STDLIB
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import Recipe, load_recipe
from multiscale_transformer.training import trainer
from multiscale_transformer.training.machine import default_threads
from multiscale_transformer.training.run import RunRequest, check_output, free_folder, resumed_request, train_run
from multiscale_transformer.training.settings import TrainSettings, batch_for, stages_for
from multiscale_transformer.training.suggest import suggest_size

INTERRUPTED = 130  # the shell's status for Ctrl-C


def train(
    name: Annotated[str | None, typer.Argument(help="A shipped model (axl models lists them). None: the best size.")] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file instead of a name.")] = None,
    data: Annotated[
        list[str] | None, typer.Option(help="Folder, repository, file, .jsonl or glob; may be given several times.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Time to train for (default: the model's own, else 3).")] = None,
    optimizer: Annotated[str | None, typer.Option(help="muon, adamw, lion, sgd or galore.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate (default: the optimizer's measured best).")] = None,
    seed: Annotated[int, typer.Option(help="Weights, data order and held-out probes follow it.")] = 0,
    folder: Annotated[Path | None, typer.Option("--out", help="Checkpoint folder (default: checkpoints/NAME).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the interrupted run in --out.")] = False,
    grow: Annotated[bool, typer.Option("--grow", help="Start shallow and deepen while training.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all cores).")] = None,
    fim_rate: Annotated[float, typer.Option(help="Share of windows rearranged for fill-in-the-middle.")] = 0.1,
    log: Annotated[str, typer.Option(help="csv or tensorboard.")] = "csv",
) -> None:
    """Train a model and measure it on files it never read.

    Without a name the size that this machine can really train in --minutes is chosen. Without --data the Python library of
    this interpreter is used. Every 20th file is held out, near-copies are removed first. Ctrl-C is safe: add --resume to the
    same command to go on.
    """
    threads = threads or default_threads()
    if resume:
        request = resumed_request(folder or _last_interrupted(name))
        corpus = read_corpus(list(request.sources))
    else:
        recipe = _recipe(name, config, minutes or 3.0, threads)
        folder = folder or free_folder(Path("checkpoints"), recipe.name.lower())
        check_output(folder, resume=False)
        corpus = read_corpus(data or [STDLIB])
        chosen: dict[str, Any] = {
            "minutes": minutes if minutes is not None else recipe.training.minutes,
            "optimizer": optimizer or recipe.training.optimizer,
            "learning_rate": lr,
            "seed": seed,
            "threads": threads,
            "fim_rate": fim_rate,
            "grow": grow,
            "batch_bytes": batch_for(recipe.model),
            "stages": stages_for(recipe.model, corpus.train.nbytes),
        }
        request = RunRequest(
            recipe.name, recipe.model, TrainSettings.model_validate(chosen), corpus.sources, folder, log_backend=log
        )
    _announce(request, corpus)
    train_with_bar(request, corpus, resume=resume)
    measure_with_bar(request.out, corpus, threads)
    out.print(f"\nCheckpoint: [bold]{request.out}[/]\nNext:")
    out.print(f'  axl complete "def fibonacci(n):" --model {request.out}')
    out.print(f"  axl report {request.out}", markup=False)


def read_corpus(sources: list[str]) -> Corpus:
    """Load the data with a bar, and say in one line what was kept and what was left out."""
    with byte_bar() as bar:
        task = bar.add_task("reading", total=1.0)
        corpus = load_corpus(sources, on_progress=lambda what, done: bar.update(task, description=what, completed=done))
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(corpus.left_out.items()))
    out.print(
        f"Data: {len(corpus.train):,} files ({megabytes(corpus.train.nbytes)}) to train on, {len(corpus.held_out):,} "
        f"({megabytes(corpus.held_out.nbytes)}) held out" + (f"; left out: {left_out}" if left_out else "")
    )
    if corpus.note:
        out.print(f"Note: {corpus.note}")
    return corpus


def train_with_bar(request: RunRequest, corpus: Corpus, *, resume: bool = False) -> None:
    """Run the training with a live bar: bits per byte, speed and the time that is left."""
    columns = (TextColumn("training"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[now]}"))
    limit = request.settings.minutes * 60
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task("training", total=limit, now="")

        def show(progress: trainer.Progress) -> None:
            left = max(0.0, limit - progress.seconds)
            now = (
                f"{progress.train_bpb:.3f} bits/byte  {progress.bytes_per_second / 1e3:.1f} KB/s  "
                f"{megabytes(progress.bytes)} read  {int(left) // 60}:{int(left) % 60:02d} left"
            )
            bar.update(task, completed=progress.seconds, now=now)

        try:
            train_run(request, corpus, resume=resume, callbacks=(show,))
        except KeyboardInterrupt:
            bar.stop()
            out.print(f"Interrupted and saved. Go on with: axl train --resume --out {request.out}")
            raise typer.Exit(INTERRUPTED) from None


def measure_with_bar(folder: Path, corpus: Corpus, threads: int) -> None:
    """Score the held-out files and print the result beside the compressors."""
    torch.set_num_threads(threads)
    with byte_bar() as bar:
        task = bar.add_task("measuring on the held-out files", total=corpus.held_out.nbytes)
        facts = measure_run(folder, corpus, on_bytes=lambda count: bar.advance(task, count))
    held_out = facts["held_out"]
    table = Table(title=f"Bits per byte on {megabytes(held_out['bytes'])} of files it never read (lower is better)")
    table.add_column("", style="bold")
    table.add_column("bits/byte", justify="right")
    table.add_row(f"{facts['name']} after {facts['seconds'] / 60:.1f} minutes", f"[bold]{held_out['bits_per_byte']:.3f}[/]")
    table.add_row("xz -9e", f"{held_out['xz']:.3f}")
    table.add_row("PPMd, order 8", f"{held_out['ppmd']:.3f}")
    out.print(table)


def _recipe(name: str | None, config: Path | None, minutes: float, threads: int) -> Recipe:
    if name is not None and config is not None:
        raise AxlError("give a model's name or --config, not both")
    if config is not None:
        return load_recipe(config.with_suffix(config.suffix or ".yaml"))
    if name is not None:
        return load_recipe(name)
    with errors.status("measuring this CPU"):
        return suggest_size(minutes, threads)


def _last_interrupted(name: str | None) -> Path:
    if name is None:
        raise AxlError("say which run to resume: axl train --resume --out FOLDER")
    return Path("checkpoints") / load_recipe(name).name.lower()


def _announce(request: RunRequest, corpus: Corpus) -> None:
    settings, model = request.settings, request.config
    out.print(
        f"Model: [bold]{request.name}[/], {millions(model.parameters())} parameters, layers {'/'.join(map(str, model.layers))} "
        f"at {'/'.join(map(str, model.downsample_factors))} bytes, width {model.d_model}, context {model.max_seq_len:,} bytes"
    )
    out.print(
        f"Training: {settings.minutes:g} minutes on {settings.threads} threads with {settings.optimizer}, seed {settings.seed}"
    )
