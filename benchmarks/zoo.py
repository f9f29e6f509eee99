"""All models by name, as `axl zoo train` and `axl zoo eval` made and measured them: the table of docs/zoo.md.

Training takes days at the published sizes, so this module only collects what is measured below a folder; it measures nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.command import main as run_command
from benchmarks.result import Result, origin, with_range
from multiscale_transformer.cli.zoo import ROOT
from multiscale_transformer.cli.zoo_measure import ZooModel, read_measured
from multiscale_transformer.errors import AxlError


class ZooResult(Result):
    """A row a model and shape."""

    kind: Literal["zoo"] = "zoo"
    models: list[ZooModel]


def run(
    root: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Where axl zoo trained and measured; one for each seed.")
    ] = None,
) -> ZooResult:
    """All models by name, as `axl zoo` trained and measured them."""
    roots = [one.expanduser() for one in root or [ROOT]]
    models = [model for one in roots for model in read_measured(one).values()]
    twice = [who for who, count in Counter((model.name, model.seed) for model in models).items() if count > 1]
    if twice:
        raise AxlError(f"{twice[0][0]} with seed {twice[0][1]} is in two of these folders; give each seed's once")
    if not models:
        places = ", ".join(map(str, roots))
        raise AxlError(f"nothing is measured in {places}; axl zoo train and axl zoo eval make and measure the models")
    return ZooResult(**origin("zoo", None).model_dump(), models=sorted(models, key=lambda one: (one.name, one.seed)))


def table(result: ZooResult) -> str:
    """What each model is and cost, then what it reaches at its skill beside the best rival without a net.

    Of a model with several seeds, the first one's costs, and of its figures the mean with the lowest and the highest.
    """
    by_name: dict[str, list[ZooModel]] = defaultdict(list)
    for one in result.models:
        by_name[one.name].append(one)
    models = sorted(by_name.values(), key=lambda seeds: (seeds[0].skill, seeds[0].parameters, seeds[0].name))
    lines = [
        "| model | skill | parameters | read | minutes | held-out bits per byte | bytes/s | RAM | Q4_K_M |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for seeds in models:
        one = seeds[0]
        q4 = "" if one.q4_bytes is None else f"{one.q4_bytes / 1e6:.1f} MB"
        size = f"{one.parameters:,} | {one.bytes_read / 1e6:.1f} MB | {one.minutes:.1f}"
        bits = with_range([each.bits_per_byte for each in seeds], ".3f")
        cost = f"{one.bytes_per_second:,.0f} | {one.ram_bytes / 1e6:,.0f} MB | {q4}"
        lines.append(f"| {one.name} | {one.skill or 'complete'} | {size} | {bits} | {cost} |")
    lines += ["", "| model | skill | figure | model | best rival without a net |", "|---|---|---|---:|---:|"]
    for seeds in models:
        one, figures = seeds[0], [each.figure for each in seeds if each.figure is not None]
        if figures:
            rival = "" if one.rival_figure is None else f"{one.rival_figure:.3g} ({one.rival})"
            lines.append(f"| {one.name} | {one.skill} | {one.metric} | {with_range(figures, '.3g')} | {rival} |")
    note = (
        "Bits per byte are those of a model's own held-out data. Where no range stands, it is one run of one seed; of several, "
        "what was read, minutes, speed and RAM are the first one's."
    )
    return "\n".join([*lines, "", note, ""])


RESULT = ZooResult

if __name__ == "__main__":
    run_command("zoo")
