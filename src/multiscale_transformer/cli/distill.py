"""`axl distill`: a small model that learns from a whole one; `axl export --distill` does the same in passing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import (
    CHECKPOINTS,
    Checkpoint,
    DistillData,
    ExportFolder,
    Minutes,
    Threads,
    above_zero,
    setting,
)
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.folder import CONFIG_FILE
from multiscale_transformer.training.settings import DEFAULT_DISTILLATION, DistillSettings

if TYPE_CHECKING:
    from multiscale_transformer.training.distill import DistillationTrainer


def distill(
    model: Checkpoint,
    place: ExportFolder = CHECKPOINTS / "distilled",
    minutes: Minutes = DEFAULT_DISTILLATION.minutes,
    student: Annotated[
        str | None, typer.Option(metavar="NAME", help="A model by name or YAML file (default: the teacher's own fine stack).")
    ] = None,
    data: DistillData = None,
    temperature: Annotated[
        float, typer.Option(metavar="T", callback=above_zero, help="Softens both distributions.")
    ] = DEFAULT_DISTILLATION.temperature,
    alpha: Annotated[
        float, setting(DistillSettings, "alpha", "A", "The teacher's share of the loss.")
    ] = DEFAULT_DISTILLATION.alpha,
    threads: Threads = None,
) -> None:
    """Train a small model without a memory on what a whole model with its memory would say.

    axl distill --model checkpoints/mine --minutes 10 --out checkpoints/mine-plain
    """
    from multiscale_transformer.cli.endings import status_of
    from multiscale_transformer.training.distill import DistillationTrainer
    from multiscale_transformer.zoo.recipes import load_recipe

    config = None if student is None else load_recipe(student).model
    trainer = DistillationTrainer(model, config, temperature, alpha)
    try:
        train_student(trainer, data, minutes, place, threads)
    except KeyboardInterrupt as interrupt:
        if not (place / CONFIG_FILE).exists():
            raise
        ui.print_error_line(f"Interrupted; the student as it is by now: {place}")
        raise typer.Exit(status_of(interrupt)) from None
    ui.print_line(place)


def train_student(
    trainer: DistillationTrainer, data: list[str] | None, minutes: float, place: Path, threads: int | None
) -> None:
    """Train the student of `trainer` into `place` on `data`, or else on what the teacher was trained on, under a bar."""
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.selection import EVERYTHING
    from multiscale_transformer.training.held_out import run_data

    if place.exists():
        raise AxlError(f"{place} already exists; choose another --out, or delete it")
    teacher = trainer.teacher_path
    paths, selection = (data, EVERYTHING) if data else run_data(teacher)
    corpus = read_corpus(paths, selection, without=[place])
    with ui.bar() as bar:
        task = bar.add_task("distilling", total=60 * minutes)
        show = [lambda progress: bar.update(task, completed=progress.seconds)]
        trainer.train(corpus, 60 * minutes, place, threads=threads, callbacks=show)
