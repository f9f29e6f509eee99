"""The `axl` command: its parts, and what happens when something is wrong.

Wrong input ends with one line that says what is wrong and what to do, and exit status 2. A traceback means a defect.
"""

from __future__ import annotations

import contextlib
import errno
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

import multiscale_transformer
from multiscale_transformer.cli import (
    compiling,
    complete,
    evaluate,
    export,
    index,
    inspect,
    quickstart,
    serve,
    train,
    tune,
)
from multiscale_transformer.cli.console import errors, out
from multiscale_transformer.cli.endings import ended_by_signals, give_up_output, open_streams, status_of
from multiscale_transformer.cli.options import help_text
from multiscale_transformer.errors import AxlError

WRONG = 2
_OPTIONS = {"learning_rate": "lr", "max_new_tokens": "max_tokens"}  # fields whose option has another name
_OF_THE_SYSTEM = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
for panel, name, command in (
    ("Make a model", "quickstart", quickstart.quickstart),
    ("Make a model", "train", train.train),
    ("Make a model", "distill", export.distill),
    ("Make a model", "suggest", inspect.suggest),
    ("Make a model", "models", inspect.models),
    ("Make a model", "data", inspect.data),
    ("Use it", "complete", complete.complete),
    ("Use it", "serve", serve.serve),
    ("Use it", "index", index.index),
    ("Use it", "tune", tune.tune),
    ("Use it", "compile", compiling.compile_now),
    ("Hand it on", "quantize", export.quantize),
    ("Hand it on", "push", export.push),
    ("Measure it", "report", inspect.report),
):
    app.command(name, help=help_text(command), rich_help_panel=panel)(command)
app.add_typer(export.app, name="export", rich_help_panel="Hand it on")
app.add_typer(evaluate.app, name="eval", rich_help_panel="Measure it")
with contextlib.suppress(ModuleNotFoundError):  # in a checkout, where `benchmarks/` stands beside the package
    sys.path.append(str(Path(multiscale_transformer.__file__).resolve().parents[2]))
    from multiscale_transformer.cli import bench

    app.add_typer(bench.app, name="bench", rich_help_panel="Measure it")


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"axl {multiscale_transformer.__version__}")
        raise typer.Exit


@app.callback(no_args_is_help=True, epilog="Begin with: axl quickstart")
def _axl(
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """A lab for code models on ordinary CPUs: train on your own code, know how good it is, complete with it."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the `axl` script: runs `arguments` (default: the command line's) and returns the exit status."""
    open_streams()
    try:
        with ended_by_signals() as signals:
            status = app(arguments, prog_name="axl", standalone_mode=False) or 0
            sys.stdout.flush()  # now, while a full device can still be told
            return 128 + signals[0] if signals else status  # Typer makes 130 of every interrupt
    except typer.Abort as error:
        return _aborted(error)
    except KeyboardInterrupt as interrupt:
        return status_of(interrupt)
    except (AxlError, ValidationError, typer.TyperException, OSError) as error:
        return _fail(_line_of(error))


def _line_of(error: Exception) -> str:
    """What is wrong and what to do; an OSError that is not the system's fault is raised again."""
    if isinstance(error, ValidationError):
        return _refusal(error)
    if isinstance(error, typer.TyperException):
        return _explained(error)
    if not isinstance(error, OSError):
        return str(error)
    if error.errno not in _OF_THE_SYSTEM:
        raise error
    if error.filename is None:  # files are written by `files.py`, which names them
        give_up_output()
        return f"standard output: {error.strerror}; free some space, or write elsewhere"
    return f"{error.filename}: {error.strerror}; free some space, or choose another place"


def _aborted(error: typer.Abort) -> int:
    """An EOFError, which Typer turns into Abort, is a defect here: no command asks for an answer."""
    if isinstance(error.__cause__, EOFError):
        raise error.__cause__
    return WRONG


def _refusal(error: ValidationError) -> str:
    """What a model of pydantic refuses, under the name of its option."""
    first = error.errors()[0]
    name = "-".join(map(str, first["loc"]))
    return f"--{_OPTIONS.get(name, name).replace('_', '-')}: {first['msg']}, got {first['input']!r}"


def _fail(line: str) -> int:
    if line:
        with contextlib.suppress(OSError):  # standard error may be full or gone: the status tells
            errors.print(f"axl: {' '.join(line.split())}", markup=False, soft_wrap=True)
    return WRONG


def _explained(error: typer.TyperException) -> str:
    """Typer's refusal in a line; nothing where it has printed the help instead."""
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    where = getattr(error, "ctx", None)
    command = where.command_path if where else "axl"
    return f"{message[:1].lower()}{message[1:]}; see {command} --help" if message else ""
