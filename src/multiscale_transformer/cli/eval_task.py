"""`axl eval task`: how good a model is at a skill, on examples of packages that no model here was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.data import DATA
from multiscale_transformer.cli.memory_args import memory_for
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders, seed_number

if TYPE_CHECKING:
    from multiscale_transformer.tasks.skill import Figures

MOST = 400  # examples of the test, unless more are asked for


def task(
    skill: Annotated[str, typer.Argument(metavar="SKILL", help="A skill by name.")],
    model: Checkpoint = SHIPPED_FOLDER,
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Its examples (default: data/SKILL, as axl data make writes them).")
    ] = None,
    most: Annotated[int, typer.Option(metavar="N", min=1, help="Most examples.")] = MOST,
    memory: MemoryFolders = None,
    seed: Annotated[int, typer.Option(metavar="N", callback=seed_number, help="Decides what is drawn.")] = 0,
    threads: EngineThreads = None,
    as_json: Annotated[bool, typer.Option("--json", metavar="", help="Print one line of JSON.")] = False,
) -> None:
    """How good a model is at a skill, beside its rivals without a net.

    Measured is what the skill's command shows, and what the model writes before it is verified, on examples of packages that no
    model was trained on. Tools that made the examples are right about them by construction; they are listed as what they are.

        axl eval task refactor --model checkpoints/axl-refactor-lion-auto
    """
    figures = measured(skill, model, data or DATA / skill, most=most, memory=memory, seed=seed, threads=threads)
    if as_json:
        ui.print_line(figures.model_dump_json())
    else:
        show_figures(figures)


def measured(
    skill: str, model: Path, data: Path, *, most: int, memory: list[str] | None, seed: int, threads: int | None
) -> Figures:
    """The figures of a model at a skill. Raises AxlError where there is no such skill, or no data of it."""
    from multiscale_transformer.cli.compile import ensure_kernels
    from multiscale_transformer.engine.session import open_scheduler
    from multiscale_transformer.model.folder import read_config
    from multiscale_transformer.tasks.skill import Measurement, load_skill

    found = load_skill(skill)
    corpus_memory = memory_for(read_config(model), model, memory)
    ensure_kernels()
    measurement = Measurement(open_scheduler(model, threads=threads, on_note=ui.note), corpus_memory, data, most, seed)
    measurement.examples("test")  # what is missing is said before anything is measured
    with ui.busy(f"measuring {skill}"):
        return found.measure(measurement)


def show_figures(figures: Figures) -> None:
    """A table: the model's figures, and those of the rivals that have them."""
    names = list(figures.figures)
    title = f"{figures.skill}: {ui.counted(figures.examples, 'example')} of {ui.counted(figures.packages, 'package')}"
    table = ui.new_table(title, ["", "this model >", *(f"{rival} >" for rival in figures.rivals)])
    for name in names:
        rivals = [f"{values[name]:.3g}" if name in values else "" for values in figures.rivals.values()]
        table.add_row(name, f"{figures.figures[name]:.3g}", *rivals)
    ui.show_table(table)
    for note in figures.notes:
        ui.print_text(note)
