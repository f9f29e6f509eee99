"""A benchmark as a command: `python -m benchmarks.NAME`, or `axl bench NAME` in a checkout.

The options are the parameters of the benchmark's `run`. The result goes to `--results` (default: runs/bench-NAME.json), its
table to standard output.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.result import ROOT, module_of
from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import paths
from multiscale_transformer.data.mixture import PREFIX as MIXTURE
from multiscale_transformer.data.named_sources import STDLIB

Results = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Where the figures go; runs of a comparison that are in it are not repeated."),
]
Data = Annotated[list[str] | None, typer.Option(metavar="PATH", callback=paths, help="Data instead of the Python library.")]
Seeds = Annotated[int, typer.Option(min=1, metavar="N", help="Number of seeds.")]
Rounds = Annotated[int, typer.Option(min=1, metavar="N", help="Rounds; medians are quoted.")]
LIBRARY: Sequence[str] = (STDLIB,)
BASE_DATA: Sequence[str] = (f"{MIXTURE}{ROOT / 'examples' / 'base_mixture.yaml'}",)  # what the model in the package reads


def results_file(kind: str) -> Path:
    """Where the result of a benchmark goes by default; documents name the files, so one keeps an older name."""
    return Path(f"runs/bench-{'utilisation' if kind == 'mfu' else kind}.json")


def command_of(kind: str) -> Callable[..., None]:
    """`run` of a benchmark as a function for Typer: with the option `--results`, which comparisons have already."""
    module = module_of(kind)
    signature = inspect.signature(module.run, eval_str=True)
    parameters = dict(signature.parameters)
    resumes = "results" in parameters  # it writes after each of its runs, and goes on where it stopped
    if not resumes:
        parameters["results"] = inspect.Parameter("results", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Results)

    def command(**options: Any) -> None:
        results = options["results"] if resumes else options.pop("results")
        with ui.busy(f"measuring: {kind}"):
            result = module.run(**options)
        if not resumes:
            result.write(results or results_file(kind))
        ui.out.print(module.table(result), markup=False, soft_wrap=True)

    command.__signature__ = signature.replace(parameters=list(parameters.values()), return_annotation=None)  # type: ignore[attr-defined]
    command.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    command.__doc__ = module.run.__doc__
    return command


def main(kind: str) -> None:
    """The command line of `python -m benchmarks.KIND`: the same as `axl bench KIND`."""
    from multiscale_transformer.cli.main import main as axl

    raise SystemExit(axl(["bench", kind, *sys.argv[1:]]))
