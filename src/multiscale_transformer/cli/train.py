"""`axl train`: a model by name, from a file, or in the size that the budget can really train."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from multiscale_transformer.cli.options import (
    CHECKPOINTS,
    SHIPPED_FOLDER,
    Data,
    Exclude,
    Include,
    Threads,
    above_zero,
    folder,
    seed_number,
    setting,
)
from multiscale_transformer.errors import AxlError
from multiscale_transformer.training.device import DeviceName
from multiscale_transformer.training.settings import DEFAULT_SETTINGS, FINE_TUNING, TrainSettings
from multiscale_transformer.zoo.recipes import OptimizerName, Recipe, load_recipe
from multiscale_transformer.zoo.shipped import SHIPPED
from multiscale_transformer.zoo.vision_recipes import VisionRecipe, find_vision_recipe

TRAINING, OUTPUT = "Training", "Output"
NO_INIT = "none"
PUBLISHED: Literal["published"] = "published"


def train(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A shipped model (axl models lists them). Left out: the best size.")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="A YAML file instead of a name.")] = None,
    data: Data = None,
    include: Include = None,
    exclude: Exclude = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="M",
            callback=above_zero,
            help=f"Time to train for (default: the model's own, or {DEFAULT_SETTINGS.minutes:g}).",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", parser=folder, help="Checkpoint folder (default: checkpoints/NAME).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", metavar="", help="Go on with an interrupted run.")] = False,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Weights to begin with: shipped (the model in the package), a checkpoint, or none (default: shipped for "
            "--data alone, and for a NAME whose shape can say what that says).",
        ),
    ] = None,
    size: Annotated[
        Literal["published", "auto"],
        typer.Option(
            metavar="SHAPE",
            help="Of a model by name: published keeps its shape; auto is that of the model in the package, and begins as it.",
        ),
    ] = PUBLISHED,
    optimizer: Annotated[
        OptimizerName | None, typer.Option(rich_help_panel=TRAINING, help="The update rule (default: the model's own).")
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            metavar="X", callback=above_zero, rich_help_panel=TRAINING, help="Peak learning rate (default: our best for it)."
        ),
    ] = None,
    fim_rate: Annotated[
        float, setting(TrainSettings, "fim_rate", "X", "Share of windows that train fill-in-the-middle.", TRAINING)
    ] = DEFAULT_SETTINGS.fim_rate,
    interpolation: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            callback=above_zero,
            max=1.0,
            rich_help_panel=TRAINING,
            help=f"Share of the way from the first weights kept (default: {FINE_TUNING.interpolation:g} for --data alone "
            "and with --init, else 1).",
        ),
    ] = None,
    grow: Annotated[
        bool, typer.Option("--grow", metavar="", rich_help_panel=TRAINING, help="Start shallow and deepen on the way.")
    ] = False,
    memory: Annotated[
        bool,
        typer.Option(
            "--memory/--no-memory", metavar="", rich_help_panel=TRAINING, help="Index the training files and learn to look up."
        ),
    ] = True,
    seed: Annotated[
        int,
        typer.Option(metavar="N", callback=seed_number, rich_help_panel=TRAINING, help="Decides weights and data order."),
    ] = DEFAULT_SETTINGS.seed,
    device: Annotated[
        DeviceName | None,
        typer.Option(
            rich_help_panel=TRAINING, help="What computes (default: auto, an accelerator where one is there, else the CPU)."
        ),
    ] = None,
    threads: Threads = None,
    log: Annotated[Literal["csv", "tensorboard"], typer.Option(help="Where the curve is recorded.")] = "csv",
    nodes: Annotated[
        str | None,
        typer.Option(
            metavar="HOST,HOST…",
            rich_help_panel=TRAINING,
            help="Train on several machines together: prints what each has to run, and runs this machine's part.",
        ),
    ] = None,
) -> None:
    """Train a model, and measure it on files it never read.

    With --data alone the model in the package is fine-tuned on it. With --init none a model is trained from nothing, of the
    size that this machine can really train in --minutes. Without --data the Python library of this interpreter is read, or, by
    a model that is named for a skill, the examples of that skill, which are made first where they are missing (axl data make).

    Near-duplicates are dropped first, then every 20th file is held out. The training files become the model's memory, an index
    in its folder that it looks things up in; --no-memory trains the net alone.

    --include and --exclude choose among the files of --data; axl data --dropped lists what is not read and why. They are kept
    with the run.

    Ctrl-C is safe, and so is a crash: --resume goes on with the settings of the interrupted run, on another --device or with
    other --threads if they are given.

        axl train --data ~/my_project --minutes 10
        axl train --data ~/my_project --minutes 60 --init none
        axl train AXL-Micro --out checkpoints/micro
        axl train AXL-Refactor-Lion --size auto
        axl train AXL-Vision-v2 --data pages --init checkpoints/axl-vision-0.8m
        axl train --resume --out checkpoints/micro
    """
    from multiscale_transformer.cli import training_ui
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.named_sources import STDLIB
    from multiscale_transformer.data.selection import Selection
    from multiscale_transformer.machine import available_cores
    from multiscale_transformer.training.device import choose_device
    from multiscale_transformer.training.initialization import tuned
    from multiscale_transformer.training.run import check_output, free_folder

    apart: dict[str, object] = {"--include": include, "--exclude": exclude, "--size": size != PUBLISHED}
    apart |= {"--interpolation": interpolation, "--log": log != "csv"}
    flags = {"--grow": grow, "--no-memory": not memory}
    if nodes is not None:
        options = {"--out": out, "--minutes": minutes, "--optimizer": optimizer, "--lr": lr, "--seed": seed}
        options |= {"--threads": threads, "--fim-rate": fim_rate}
        apart = {"--init": init, "--device": device, **apart}
        _on_nodes(nodes, name, config, data or [], options, {**flags, "--resume": resume}, apart)
        return
    seeing = _seeing(name, config)
    changed: dict[str, object] = {**apart, **flags, "--fim-rate": fim_rate != DEFAULT_SETTINGS.fim_rate}
    if resume:
        own = {"--config": config, "--data": data, "--init": init, "--minutes": minutes, "--optimizer": optimizer, "--lr": lr}
        _refuse("--resume goes on with the settings of the run", {**own, **changed, "--seed": seed != DEFAULT_SETTINGS.seed})
        _resume(out or _interrupted(seeing.name if seeing else name), threads, device)
        return
    threads = threads or available_cores()
    if seeing is not None:
        from multiscale_transformer.cli.train_vision import train_seeing

        other = {**changed, "--device": device not in (None, "auto", "cpu")}
        chosen: dict[str, object] = {
            "init": _base(init),
            "minutes": minutes,
            "optimizer": optimizer,
            "learning_rate": lr,
            "seed": seed,
            "threads": threads,
        }
        train_seeing(seeing, data, out, other, **chosen)
        return
    place = choose_device(device or "auto")  # one that is not there is refused before anything is read
    recipe, base, share = _beginning(
        _named(name, config), named=name is not None, init=init, size=size, data=data, memory=memory, grow=grow
    )
    if base is None and interpolation not in (None, 1.0):
        raise AxlError("--interpolation is a share of the way from a trained model; name one with --init, or leave it out")
    if out is not None:
        check_output(out, resume=False)
        training_ui.check_place(out)
    if data is None and recipe is not None and recipe.skill:
        data = [_skill_data(recipe.skill)]
    corpus = read_corpus(data or [STDLIB], Selection.of(include, exclude), without=[out] if out else [])
    if recipe is None:
        wanted = minutes or DEFAULT_SETTINGS.minutes
        recipe = tuned(base, wanted) if base else training_ui.best_size(wanted, threads, memory=memory, device=place)
    out = out or free_folder(CHECKPOINTS, recipe.name.lower())
    training_ui.check_place(out)
    request = training_ui.new_request(
        recipe,
        corpus,
        out,
        memory=memory,
        log=log,
        device=device or "auto",
        minutes=minutes or recipe.training.minutes,
        init=base,
        optimizer=optimizer or recipe.training.optimizer,
        learning_rate=lr or _rate_for(base, optimizer or recipe.training.optimizer),
        interpolation=interpolation or share,
        seed=seed,
        threads=threads,
        fim_rate=fim_rate,
        grow=grow,
    )
    training_ui.run(request, corpus)
    training_ui.show_next(out)


def _beginning(
    recipe: Recipe | None, *, named: bool, init: str | None, size: str, data: list[str] | None, memory: bool, grow: bool
) -> tuple[Recipe | None, Path | None, float]:
    """The shape (None: that of the base, or the best size), the base, and the share of the way from it that is kept.

    Raises AxlError where the base and other options contradict each other, or the shape cannot begin as it.
    """
    from multiscale_transformer.training.initialization import check_init, sized

    chosen = recipe is None or init is not None  # fine-tuning; a named model learns all that it can from its base
    if size != PUBLISHED:
        if recipe is None or init not in (None, SHIPPED) or not memory:
            raise AxlError("--size auto is for a model by name, which begins as the model in the package with its memory")
        recipe, init, chosen = sized(recipe), SHIPPED, False
    base = _base(_default_init(recipe, named, data, memory, grow) if init is None else init)
    if base is not None and grow:
        raise AxlError("--grow begins with few layers, and --init with all of a trained model's; give one of them")
    if base is not None and recipe is not None:
        recipe = beginning_as(base, recipe, memory=memory)
        check_init(recipe.model, base)
    return recipe, base, FINE_TUNING.interpolation if base is not None and chosen else 1.0


def _default_init(recipe: Recipe | None, named: bool, data: list[str] | None, memory: bool, grow: bool) -> str:
    """Own code begins as the model in the package, and so does a named model whose shape can say what that says."""
    from multiscale_transformer.model.folder import read_config
    from multiscale_transformer.training.widen import why_not

    if not memory or (recipe is None and not data):
        return NO_INIT
    if recipe is None:
        return SHIPPED
    reason = why_not(read_config(SHIPPED_FOLDER), beginning_as(SHIPPED_FOLDER, recipe).model)
    return SHIPPED if named and not grow and reason is None else NO_INIT


def beginning_as(base: Path, recipe: Recipe, *, memory: bool = True) -> Recipe:
    """The recipe of a model that begins as `base`: it mixes as many earlier bytes, where its shape says nothing of them."""
    from multiscale_transformer.model.folder import read_config

    said = "conv_taps" in recipe.model.model_fields_set
    taps = recipe.model.conv_taps if said else read_config(base).conv_taps
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"memory": memory, "conv_taps": taps})})


def _rate_for(base: Path | None, optimizer: OptimizerName) -> float | None:
    """The rate of fine-tuning is Muon's; other optimizers, and random weights, learn at the optimizer's own."""
    return FINE_TUNING.learning_rate if base is not None and optimizer == "muon" else None


def _on_nodes(
    nodes: str,
    name: str | None,
    config: Path | None,
    data: list[str],
    options: Mapping[str, object],
    flags: Mapping[str, bool],
    apart: dict[str, object],
) -> None:
    from multiscale_transformer.cli.nodes import hosts_of, start_together
    from multiscale_transformer.cli.reading import absolute
    from multiscale_transformer.data.named_sources import STDLIB

    _refuse("--nodes trains a model from nothing on all of --data, on CPUs", apart)
    recipe = _named(name, config)
    if recipe is None:
        raise AxlError("--nodes needs a NAME or --config: the best size of this machine is not that of several")
    if (recipe.skill and not data) or any(not Path(path).is_absolute() and path != STDLIB for path in absolute(data)):
        raise AxlError("--nodes reads folders and stdlib, which every machine has; give --data FOLDER")
    model = str(_file(config)) if config is not None else recipe.name
    given = {"--out": CHECKPOINTS / recipe.name.lower(), **{key: value for key, value in options.items() if value is not None}}
    words = [word for key, value in given.items() for word in (key, str(value))]
    chosen = [flag for flag, on in flags.items() if on]
    start_together(hosts_of(nodes), [model, *words, *chosen, *(word for path in data for word in ("--data", path))])


def _refuse(why: str, options: dict[str, object]) -> None:
    """Raise AxlError where one of the options, which would change nothing, is given."""
    if given := [name for name, value in options.items() if value]:
        raise AxlError(f"{why}; leave out {', '.join(given)}")


def _file(config: Path) -> Path:
    """`--config mine` is mine.yaml. Raises AxlError where it is a folder or empty."""
    if not config.name:
        raise AxlError("--config needs a file")
    return config.with_suffix(config.suffix or ".yaml")


def _seeing(name: str | None, config: Path | None) -> VisionRecipe | None:
    """The recipe of a model that sees, where it is one that is meant; `_named` refuses both a name and a file."""
    return None if name and config else find_vision_recipe(_file(config) if config else name or "")


def _named(name: str | None, config: Path | None) -> Recipe | None:
    if name is not None and config is not None:
        raise AxlError("give a model's name or --config, not both")
    if config is not None:
        return load_recipe(_file(config))
    return load_recipe(name) if name is not None else None


def _skill_data(skill: str) -> str:
    """The data of a skill as a source, made first where it is missing."""
    from multiscale_transformer.cli.data import DATA, make_one
    from multiscale_transformer.data.prompted import PREFIX

    place = (DATA / skill).absolute()
    if not place.exists():
        make_one(skill, place)
    return f"{PREFIX}{place}"


def _base(init: str | None) -> Path | None:
    return None if init in (None, NO_INIT) else SHIPPED_FOLDER if init == SHIPPED else Path(init).expanduser()


def _resume(folder: Path, threads: int | None, device: DeviceName | None) -> None:
    """Go on with the run in `folder`, or only measure it where just that is missing, where it was or on `device`."""
    from multiscale_transformer.cli import training_ui
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.cli.train_vision import is_vision_run, resume_seeing
    from multiscale_transformer.machine import available_cores
    from multiscale_transformer.model.folder import TRAINING_FILE
    from multiscale_transformer.training.device import choose_device
    from multiscale_transformer.training.held_out import needs_measuring, run_data
    from multiscale_transformer.training.resume import FOLDER
    from multiscale_transformer.training.run import resumed_request
    from multiscale_transformer.zoo.training_record import read_training

    if is_vision_run(folder):
        _refuse("models that see train on the CPU", {"--device": device not in (None, "auto", "cpu")})
        resume_seeing(folder, threads)
        return
    if (folder / TRAINING_FILE).is_file() and read_training(folder).distilled is not None:
        raise AxlError(f"{folder} was distilled, so there is nothing to resume; axl eval bpb --model measures it")
    if needs_measuring(folder):
        place = choose_device(device or "auto")
        corpus = read_corpus(*run_data(folder), without=[folder])
        training_ui.measure(folder, corpus, threads or available_cores(), place)
        shutil.rmtree(folder / FOLDER, ignore_errors=True)  # the run was killed before it removed its resume points
    else:
        request = resumed_request(folder)
        settings = request.settings.model_copy(update={"threads": threads or request.settings.threads})
        request = replace(request, settings=settings, device=device or request.device)
        choose_device(request.device)
        training_ui.run(request, read_corpus(request.sources, request.selection, without=[folder]), resume=True)
    training_ui.show_next(folder)


def _interrupted(name: str | None) -> Path:
    """The only interrupted run below `checkpoints/`, of the model `name` where one is given."""
    from multiscale_transformer.training.resume import has_resume

    wanted = ".*"
    if name is not None:
        wanted = re.escape((find_vision_recipe(name) or load_recipe(name)).name.lower()) + r"(-auto)?(-\d+)?"
    found = [path for path in sorted(CHECKPOINTS.glob("*")) if re.fullmatch(wanted, path.name) and has_resume(path)]
    if not found:
        raise AxlError(f"no interrupted run in {CHECKPOINTS}; say where it is with --out, or leave out --resume to start one")
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise AxlError(f"several runs were interrupted ({names}); say which one with --out")
    return found[0]
