"""`axl train` for a model that sees: on rendered pages instead of text."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import TextColumn

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.heartbeat import EVERY_SECONDS
from multiscale_transformer.cli.options import CHECKPOINTS
from multiscale_transformer.cli.training_ui import check_place, kept_or_removed
from multiscale_transformer.cli.ui import command, counted, errors, millions, out, print_field
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vision_config import CropConfig
from multiscale_transformer.training.report import duration
from multiscale_transformer.training.resume import has_resume, read_request
from multiscale_transformer.training.run import check_output, free_folder
from multiscale_transformer.training.trainer import Callback, Progress
from multiscale_transformer.vision.initialization import check_init
from multiscale_transformer.vision.training import VisionRequest, resumed_request, train_vision
from multiscale_transformer.zoo.training_record import read_training
from multiscale_transformer.zoo.vision_recipes import VisionRecipe


def is_vision_run(folder: Path) -> bool:
    """Whether the interrupted run in a folder is of a model that sees."""
    return has_resume(folder) and "kind" in read_request(folder).get("config", {})


def train_seeing(
    recipe: VisionRecipe, data: list[str] | None, folder: Path | None, other: dict[str, object], **chosen: Any
) -> None:
    """Train a model that sees. `other` are options that are for models of text, by name; `chosen` are fields of VisionRequest.

    Raises AxlError for one of `other` that is given, or data that are not one folder of pages.
    """
    if wrong := next((name for name, given in other.items() if given), None):
        raise AxlError(f"{wrong} is for models that read text, and {recipe.name} sees; leave it out")
    if not data or len(data) != 1:
        raise AxlError(f"{recipe.name} learns from one folder of pages; make it with axl data make vision, then give --data")
    if folder is not None:
        check_output(folder, resume=False)
    folder = folder or free_folder(CHECKPOINTS, recipe.name.lower())
    check_place(folder)
    defaults = {"minutes": recipe.training.minutes, "optimizer": recipe.training.optimizer}
    given = {name: value for name, value in chosen.items() if value is not None}
    if (init := given.get("init")) is not None:
        check_init(recipe.model, init)
    pages = Path(data[0]).expanduser()
    _run(VisionRequest(recipe.name, recipe.model, pages, folder, **{**defaults, **given}))


def resume_seeing(folder: Path, threads: int | None) -> None:
    """Go on with an interrupted run of a model that sees, with as many threads as before where None are given."""
    request = resumed_request(folder)
    _run(replace(request, threads=threads or request.threads), resume=True)


def _run(request: VisionRequest, *, resume: bool = False) -> None:
    config = request.config
    each = "" if isinstance(config, CropConfig) else f" and {config.namer.flops() / 1e9:.2f} an element"
    print_field(
        "Model", f"{request.name}: {millions(config.parameters())} parameters, {config.flops() / 1e9:.2f} GFLOP a look{each}"
    )
    where = counted(request.threads, "thread")
    print_field("Training", f"{counted(request.minutes, 'minute')} with {request.optimizer} on {where}, seed {request.seed}")
    with ui.bar(TextColumn("{task.fields[now]}"), lines=False) as bar, kept_or_removed(request.out, bar):
        task = bar.add_task("training", total=request.minutes * 60, now="starting")

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.seconds, now=_now(progress))

        train_vision(request, resume=resume, callbacks=[show if errors.is_interactive else _lines()])
    record = read_training(request.out)
    print_field("Trained", f"{counted(record.steps, 'step')} in {duration(record.seconds)}")
    for name, figures in (record.pictures or {}).items():
        rest = ", ".join(f"{figure} {value:.3f}" for figure, value in figures.items() if figure != "pages")
        print_field("Held out", f"{name}, {counted(figures['pages'], 'page')}: {rest}")
    out.print()
    print_field("Checkpoint", str(request.out))
    out.print("\nNext:")
    ui.print_command(command("see", "SCREENSHOT", "--model", request.out))


def _now(progress: Progress) -> str:
    return f"loss {progress.loss:.3f}  {counted(progress.step, 'step')}"


def _lines(clock: Callable[[], float] = time.monotonic) -> Callback:
    """Progress for a log file: a line every ten seconds."""
    said = clock()

    def show(progress: Progress) -> None:
        nonlocal said
        if progress.fraction >= 1.0 or clock() - said >= EVERY_SECONDS:
            said = clock()
            errors.print(f"training {min(1.0, progress.fraction):4.0%}  {_now(progress)}", markup=False, soft_wrap=True)

    return show
