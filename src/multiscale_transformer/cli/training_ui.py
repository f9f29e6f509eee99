"""A run as a person sees it: what is read, what is trained, the live bar, the result, and what to type next."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import typer
from rich.progress import Progress as Bar
from rich.progress import TextColumn

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.compile import ensure_kernels
from multiscale_transformer.cli.endings import status_of
from multiscale_transformer.cli.heartbeat import EVERY_SECONDS
from multiscale_transformer.cli.options import SHIPPED_FOLDER
from multiscale_transformer.cli.ui import command, counted, errors, millions, out, print_field, size
from multiscale_transformer.data.corpus import Corpus
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.compression_baselines import labelled
from multiscale_transformer.locks import writing
from multiscale_transformer.training.device import DeviceName, accelerator_name, choose_device
from multiscale_transformer.training.held_out import measure_run
from multiscale_transformer.training.machine import CPU
from multiscale_transformer.training.report import duration
from multiscale_transformer.training.resume import has_resume
from multiscale_transformer.training.run import RunRequest, train_run
from multiscale_transformer.training.settings import TrainSettings, batch_for, stages_for
from multiscale_transformer.training.suggest import suggest_size
from multiscale_transformer.training.trainer import Callback, Progress
from multiscale_transformer.zoo.recipes import Recipe
from multiscale_transformer.zoo.training_record import read_training

FEW_STEPS = 50
LINES = 10  # of progress at least, where there is no live bar
BYTES_PER_PARAMETER = 28  # on disk: two resume points of weights and two moments, and the weights of the checkpoint
INDEX_BYTES = 8  # on disk, for each byte of text


def best_size(minutes: float, threads: int, *, memory: bool = True, device: torch.device = CPU) -> Recipe:
    """The size that this machine can really train in `minutes`, beside a memory or without."""
    with ui.busy(f"measuring this {accelerator_name(device) or 'CPU'}"):
        return suggest_size(minutes, threads, memory=memory, device=device)


def check_place(folder: Path) -> None:
    """Refuse a folder that cannot be made or written: now, not when the run ends."""
    place = _nearest(folder)
    if not place.is_dir():
        raise AxlError(f"{place} is a file, not a folder; choose another --out")
    if not os.access(place, os.W_OK | os.X_OK):
        raise AxlError(f"cannot write into {place}; choose another --out")


def new_request(
    recipe: Recipe,
    corpus: Corpus,
    folder: Path,
    *,
    memory: bool = True,
    log: str = "csv",
    init: Path | None = None,
    device: DeviceName = "cpu",
    **chosen: Any,
) -> RunRequest:
    """A run of `recipe` on `corpus` into `folder`, with a memory or without, on a device; `chosen` are fields of TrainSettings.

    It begins as the checkpoint `init`, or with random weights.

    Raises AxlError for a corpus smaller than the context, or a disk with too little room.
    """
    config = recipe.model.model_copy(update={"memory": memory})
    if corpus.train.nbytes < config.max_seq_len:
        raise AxlError(
            f"the corpus holds {corpus.train.nbytes:,} bytes to train on but the context is {config.max_seq_len:,}; "
            "add files, or name a --config with a smaller max_seq_len"
        )
    _check_room(folder, BYTES_PER_PARAMETER * config.parameters() + memory * INDEX_BYTES * corpus.train.nbytes)
    derived = {
        "batch_bytes": recipe.training.batch_bytes or batch_for(config),
        "stages": stages_for(config, corpus.train.nbytes),
    }
    settings = TrainSettings(**{**derived, **chosen})
    return RunRequest(
        recipe.name, config, settings, corpus.sources, folder, log, recipe.format, corpus.selection, init=init, device=device
    )


def run(request: RunRequest, corpus: Corpus, *, resume: bool = False, scored: Documents | None = None) -> None:
    """Train, measure and show the result; `scored` are the held-out documents to measure on, by default all."""
    _announce(request)
    ensure_kernels()
    with writing(request.out):  # from here to the figure: another run into this folder would mix with it
        _train(request, corpus, resume)
        measured = corpus if scored is None else replace(corpus, held_out=scored)
        measure(request.out, measured, request.settings.threads, choose_device(request.device))


def measure(folder: Path, corpus: Corpus, threads: int, device: torch.device = CPU) -> None:
    """Score the held-out files and show the result beside the compressors."""
    torch.set_num_threads(threads)
    ensure_kernels()
    record = read_training(folder)
    print_field("Trained", f"{counted(record.steps, 'step')}, {size(record.bytes)} read in {duration(record.seconds)}")
    if record.steps < FEW_STEPS:
        print_field("", f"note: that is little; {command('suggest')} proposes a size that learns more in this time")
    with ui.bar() as bar:
        task = bar.add_task("measuring on the held-out files", total=corpus.held_out.nbytes)

        def advance(count: int) -> None:
            bar.advance(task, count)
            if bar.finished:
                bar.update(task, description="comparing with xz and PPMd")

        try:
            with writing(folder):
                record = measure_run(folder, corpus, device=device, on_bytes=advance)
        except KeyboardInterrupt as interrupt:
            bar.stop()
            interrupted("the checkpoint is whole, its figure is not measured yet", folder, interrupt)
    held_out = record.held_out
    assert held_out is not None  # it has just been measured
    rows = [(record.name, held_out.bits_per_byte), *labelled(held_out.model_dump())]
    title = f"Bits per byte on {size(held_out.bytes)} of files it never read (lower is better)"
    out.print()
    ui.bits_per_byte(title, rows, record.name)


def show_next(folder: Path, *more: str) -> None:
    """Say where the checkpoint is and what to type next; `more` are commands beside the usual ones."""
    out.print()
    print_field("Checkpoint", str(folder))
    out.print("\nNext:")
    commands = [command("complete", "def fibonacci(n):", "--model", folder), *more]
    if find_spec("matplotlib"):
        commands.append(command("report", folder))
    for line in commands:
        ui.print_command(line)


def _announce(request: RunRequest) -> None:
    settings, model = request.settings, request.config
    layers, scales = ("/".join(map(str, numbers)) for numbers in (model.layers, model.downsample_factors))
    stacks = f"at scales {scales}" if len(model.layers) > 1 else "in one stack"
    if model.word_layers:
        stacks = f"at bytes and {model.word_layers} where words end"
    print_field(
        "Model",
        f"{request.name}: {millions(model.parameters())} parameters, width {model.d_model}, "
        f"{layers} layers {stacks}, context {model.max_seq_len:,} bytes"
        + (", with the training files as its memory" if model.memory else ""),
    )
    if request.init is not None:
        print_field("Begins as", "the model in the package" if request.init == SHIPPED_FOLDER else str(request.init))
    device, threads = choose_device(request.device), counted(settings.threads, "thread")
    where = threads if device.type == "cpu" else f"{device.type} ({accelerator_name(device)}) and {threads}"
    print_field("Training", f"{counted(settings.minutes, 'minute')} with {settings.optimizer} on {where}, seed {settings.seed}")


def _train(request: RunRequest, corpus: Corpus, resume: bool) -> None:
    """Run the training under a live bar; a run that fails before its first resume point leaves nothing behind."""
    with ui.bar(TextColumn("{task.fields[now]}"), lines=False) as bar, kept_or_removed(request.out, bar):
        task = bar.add_task("training", total=request.settings.minutes * 60, now="starting")

        def show(progress: Progress) -> None:
            now = _now(progress, request.settings.minutes, brief=errors.width < ui.NARROW)
            bar.update(task, completed=progress.seconds, now=now)

        with _notes():
            train_run(request, corpus, resume=resume, callbacks=(show if errors.is_interactive else _lines(request),))


@contextmanager
def kept_or_removed(folder: Path, bar: Bar) -> Iterator[None]:
    """Around a run: what is interrupted is said to be saved; what fails before its first resume point leaves nothing behind."""
    existed = folder.exists()
    try:
        yield
    except KeyboardInterrupt as interrupt:
        bar.stop()
        interrupted("the run is saved", folder, interrupt)
    except (AxlError, OSError):
        if not existed and not has_resume(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def _notes() -> Iterator[None]:
    """Warnings in the block are for people too: lines instead of places in the code."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: ui.note(str(message))
        yield


def _now(progress: Progress, minutes: float, *, brief: bool = False) -> str:
    left = max(0, round(minutes * 60 - progress.seconds))
    speed = f"{progress.bytes_per_second / 1e3:.1f} KB/s"
    parts = (f"{progress.train_bpb:.3f} bits/byte", speed, f"{size(progress.bytes)} read", f"{_clock(left)} left")
    return "  ".join(parts[::3] if brief else parts)


def _clock(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _lines(request: RunRequest, clock: Callable[[], float] = time.monotonic) -> Callback:
    """Progress for a log file: a line every ten seconds, and one for each tenth of the time."""
    shown, said = 0, clock()

    def show(progress: Progress) -> None:
        nonlocal shown, said
        if int(progress.fraction * LINES) > shown or clock() - said >= EVERY_SECONDS:
            shown, said = int(progress.fraction * LINES), clock()
            now = _now(progress, request.settings.minutes)
            errors.print(f"training {min(1.0, progress.fraction):4.0%}  {now}", markup=False, soft_wrap=True)

    return show


def interrupted(state: str, folder: Path, interrupt: KeyboardInterrupt) -> None:
    """Say how to go on with what was interrupted, and end with the status of its signal."""
    with suppress(OSError):  # a terminal that was closed hears nothing
        errors.print(f"Interrupted; {state}. To go on:", markup=False, soft_wrap=True)
        errors.print(f"  {command('train', '--resume', '--out', folder)}", markup=False, soft_wrap=True)
    raise typer.Exit(status_of(interrupt)) from None


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _check_room(folder: Path, needed: int) -> None:
    place = _nearest(folder)
    free = shutil.disk_usage(place).free
    if free < needed:
        raise AxlError(
            f"the disk is full: {place} has {size(free)} free and this run needs {size(needed)}; "
            "free some space, or choose another --out"
        )
