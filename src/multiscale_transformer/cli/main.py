"""The `axl` command: its parts, and what happens when something is wrong.

Wrong input ends with one line that says what is wrong and what to do, and exit status 2. A traceback means a defect.
"""

from __future__ import annotations

import sys

import typer
from pydantic import ValidationError

from multiscale_transformer.cli import bench, complete, evaluate, inspect, quickstart, train
from multiscale_transformer.cli.console import errors
from multiscale_transformer.errors import AxlError

app = typer.Typer(
    name="axl",
    help="A lab for code models on ordinary CPUs: train on your own code, know how good it is, complete with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("quickstart")(quickstart.quickstart)
app.command("train")(train.train)
app.command("complete")(complete.complete)
app.command("suggest")(inspect.suggest)
app.command("models")(inspect.models)
app.command("data")(inspect.data)
app.command("report")(inspect.report)
app.add_typer(evaluate.app, name="eval")
app.add_typer(bench.app, name="bench")


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the `axl` script; Typer itself ends with status 2 for options that do not exist or do not fit."""
    try:
        app(arguments)
    except AxlError as error:
        _fail(str(error))
    except ValidationError as error:
        first = error.errors()[0]
        option = "-".join(map(str, first["loc"])).replace("_", "-")
        _fail(f"--{option}: {first['msg'].removeprefix('Value error, ')}")


def _fail(line: str) -> None:
    errors.print(f"axl: {line}", markup=False, soft_wrap=True)
    sys.exit(2)
