"""`axl zoo`: all models by name, trained and measured one after the other over as many days as it takes, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.data import DATA
from multiscale_transformer.cli.main import COMMANDS
from multiscale_transformer.cli.options import CHECKPOINTS, Threads, above_zero, folder, help_text, seed_number, thread_count
from multiscale_transformer.cli.zoo_measure import MEASURED_FILE, ZooModel, read_measured, zoo_model
from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import write_json
from multiscale_transformer.locks import writing
from multiscale_transformer.zoo.recipes import Recipe, load_recipe, recipe_names
from multiscale_transformer.zoo.training_record import known_training

ROOT = CHECKPOINTS / "zoo"
PUBLISHED: Literal["published"] = "published"
AUTO: Literal["auto"] = "auto"
Place = tuple[Recipe, Literal["published", "auto"], Path]  # a model, its size, and the folder of its checkpoint

app = typer.Typer(help=COMMANDS["zoo"][1], no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME…", help="Models by name; all by default.")]
Root = Annotated[Path, typer.Option(metavar="FOLDER", parser=folder, help="Where the checkpoints and the table are.")]
Size = Annotated[
    Literal["published", "auto", "both"],
    typer.Option(metavar="SHAPE", help="published, auto (the shape of the model in the package, begun as it), or both."),
]


def _chosen(names: list[str] | None) -> list[Recipe]:
    """The recipes of these names, small ones first; by default all that were published."""
    recipes = map(load_recipe, names or recipe_names())
    return sorted((one for one in recipes if names or one.published is not None), key=lambda one: one.model.parameters())


def _places(recipes: list[Recipe], size: str, root: Path) -> list[Place]:
    """Each model in each size, and the folder of its checkpoint."""
    places: list[Place] = []
    for recipe in recipes:
        if size != AUTO:
            places.append((recipe, PUBLISHED, root / recipe.name.lower()))
        if size != PUBLISHED:
            places.append((recipe, AUTO, root / f"{recipe.name.lower()}-auto"))
    return places


def train(
    names: Names = None,
    size: Size = AUTO,
    root: Root = ROOT,
    minutes: Annotated[
        float | None, typer.Option(metavar="M", callback=above_zero, help="Of each (default: the model's own).")
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", callback=seed_number, help="Random seed of each; a --root is for one seed.")
    ] = 0,
    threads: Annotated[
        int | None, typer.Option(metavar="N", callback=thread_count, help="CPU threads (default: all cores, with --ray 1).")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", metavar="", help="All models by name, as without names.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Train them as tasks of a Ray cluster (host:port, auto, or local: this machine)."),
    ] = None,
) -> None:
    """Train models one after the other; what is finished is left alone, and what was interrupted goes on.

    With --ray the models that are not begun yet are trained by the machines of a cluster, several at once, and their
    checkpoints come back to --root.

    axl zoo train
    axl zoo train AXL-Refactor-Lion AXL-Docs-Lion --size both
    axl zoo train --all --ray auto
    """
    from multiscale_transformer.cli.train import train as train_one
    from multiscale_transformer.model.folder import TRAINING_FILE

    if everything and names:
        raise AxlError("give names or --all, not both")
    places = _places(_chosen(names), size, root)
    for _, _, out in places:
        if (known := _seed_of(out)) not in (None, seed):
            raise AxlError(f"{out} was begun with seed {known}; seed {seed} needs a folder of its own, given with --root")
    if ray is not None:
        _train_on(ray, places, minutes, seed, threads)
        places = [place for place in places if _is_interrupted(place[2])]  # what was interrupted here goes on here
    for number, (recipe, one, out) in enumerate(places, 1):
        ui.print_text(f"{number} of {len(places)}: {recipe.name}, {one}")
        if _is_interrupted(out):
            train_one(None, out=out, resume=True, threads=threads)
        elif (out / TRAINING_FILE).exists():
            ui.print_text(f"{out} is trained already")
        else:
            train_one(recipe.name, out=out, size=one, minutes=minutes, seed=seed, threads=threads)


def _is_interrupted(folder: Path) -> bool:
    """Whether a run in a folder has not ended, or has no figure yet."""
    from multiscale_transformer.training.resume import has_resume

    record = known_training(folder)
    return has_resume(folder) or (record is not None and record.held_out is None)


def _seed_of(folder: Path) -> int | None:
    """The seed of the run in a folder, finished or interrupted; None where that is not known."""
    from multiscale_transformer.training.resume import has_resume, read_request

    if has_resume(folder):
        return int(read_request(folder)["settings"]["seed"])
    record = known_training(folder)
    return None if record is None else record.seed


def _train_on(address: str, places: list[Place], minutes: float | None, seed: int, threads: int | None) -> None:
    """Train on a cluster what is not begun here. Raises AxlError when some models could not be trained."""
    from multiscale_transformer.cli.zoo_ray import Job, train_on
    from multiscale_transformer.model.folder import TRAINING_FILE
    from multiscale_transformer.training.resume import has_resume

    jobs = [
        Job(recipe.name, one, out.absolute(), minutes, seed, threads or 1)
        for recipe, one, out in places
        if not (out / TRAINING_FILE).exists() and not has_resume(out)
    ]
    failed = 0
    for number, (job, wrong) in enumerate(train_on(address, jobs), 1):
        ui.print_text(f"{number} of {len(jobs)}: {job.name}, {job.size}: {wrong or 'trained'}")
        failed += bool(wrong)
    if failed:
        raise AxlError(f"{failed} of {len(jobs)} models were not trained; the same command tries them again")


def evaluate(
    names: Names = None,
    size: Size = "both",
    root: Root = ROOT,
    data: Annotated[Path, typer.Option(metavar="FOLDER", parser=folder, help="The data of the skills.")] = DATA,
    most: Annotated[int, typer.Option(metavar="N", min=1, help="Most examples of a skill.")] = 200,
    threads: Threads = None,
) -> None:
    """Measure the models that are trained: their skill, bytes a second, RAM and size; what is measured is left alone.

    axl zoo eval
    """
    from multiscale_transformer.model.folder import TRAINING_FILE

    places = [place for place in _places(_chosen(names), size, root) if (place[2] / TRAINING_FILE).exists()]
    if not places:
        raise AxlError(f"no model is trained in {root}; axl zoo train trains them")
    known = read_measured(root)
    for recipe, _, out in places:
        model = zoo_model(recipe, out, data / recipe.skill, known.get(out.name), most=most, threads=threads)
        with writing(root / MEASURED_FILE, wait=60.0):  # so that what another axl zoo eval adds meanwhile stays
            known = {**read_measured(root), out.name: model}
            write_json(root / MEASURED_FILE, {name: one.model_dump() for name, one in sorted(known.items())})
    _show(list(known.values()))


def table(root: Root = ROOT) -> None:
    """Show the table of what has been measured.

    axl zoo table
    """
    known = read_measured(root)
    if not known:
        raise AxlError(f"nothing is measured in {root}; axl zoo eval measures what is trained")
    _show(list(known.values()))


def _show(models: list[ZooModel]) -> None:
    columns = ["model", "skill", "parameters >", "read >", "minutes >", "bits/byte >", "metric", "model >", "rival", "rival >"]
    shown = ui.new_table(None, [*columns, "bytes/s >", "RAM >", "Q4_K_M >"])
    for model in sorted(models, key=lambda one: (one.skill, one.parameters)):
        row = [model.name, model.skill or "complete", ui.millions(model.parameters), ui.size(model.bytes_read)]
        row += [f"{model.minutes:.1f}", f"{model.bits_per_byte:.3f}", model.metric, _figure(model.figure)]
        row += [model.rival, _figure(model.rival_figure), f"{model.bytes_per_second:,.0f}", ui.size(model.ram_bytes)]
        shown.add_row(*row, ui.size(model.q4_bytes) if model.q4_bytes else "-")
    ui.show_table(shown)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


for _name, _command in (("train", train), ("eval", evaluate), ("table", table)):
    app.command(_name, help=help_text(_command))(_command)
