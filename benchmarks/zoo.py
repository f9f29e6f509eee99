"""All models by name, as `axl zoo train` and `axl zoo eval` made and measured them: the table of docs/zoo.md.

Training takes days at the published sizes, so this module only collects what is measured below a folder; it measures nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.command import main as run_command
from benchmarks.result import Result, origin
from multiscale_transformer.cli.options import folder
from multiscale_transformer.cli.zoo import ROOT
from multiscale_transformer.cli.zoo_measure import ZooModel, read_measured
from multiscale_transformer.errors import AxlError


class ZooResult(Result):
    """A row a model and shape."""

    kind: Literal["zoo"] = "zoo"
    models: list[ZooModel]


def run(
    root: Annotated[Path, typer.Option(metavar="FOLDER", parser=folder, help="Where axl zoo trained and measured.")] = ROOT,
) -> ZooResult:
    """All models by name, as `axl zoo` trained and measured them."""
    measured = read_measured(root)
    if not measured:
        raise AxlError(f"nothing is measured in {root}; axl zoo train and axl zoo eval make and measure the models")
    return ZooResult(**origin("zoo", None).model_dump(), models=[model for _, model in sorted(measured.items())])


def table(result: ZooResult) -> str:
    """What each model is and cost, then what it reaches at its skill beside the best rival without a net."""
    models = sorted(result.models, key=lambda one: (one.skill, one.parameters, one.name))
    lines = [
        "| model | skill | parameters | read | minutes | held-out bits per byte | bytes/s | RAM | Q4_K_M |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in models:
        q4 = "" if one.q4_bytes is None else f"{one.q4_bytes / 1e6:.1f} MB"
        size = f"{one.parameters:,} | {one.bytes_read / 1e6:.1f} MB | {one.minutes:.1f}"
        cost = f"{one.bytes_per_second:,.0f} | {one.ram_bytes / 1e6:,.0f} MB | {q4}"
        lines.append(f"| {one.name} | {one.skill or 'complete'} | {size} | {one.bits_per_byte:.3f} | {cost} |")
    lines += ["", "| model | skill | figure | model | best rival without a net |", "|---|---|---|---:|---:|"]
    for one in (one for one in models if one.figure is not None):
        rival = "" if one.rival_figure is None else f"{one.rival_figure:.3g} ({one.rival})"
        lines.append(f"| {one.name} | {one.skill} | {one.metric} | {one.figure:.3g} | {rival} |")
    return "\n".join([*lines, "", "Each is one run of one seed. Bits per byte are those of its own held-out data.", ""])


RESULT = ZooResult

if __name__ == "__main__":
    run_command("zoo")
