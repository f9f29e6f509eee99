"""The `axl` command: the table of its commands, and what happens when something is wrong.

A command's module is imported when that command is called, so that `axl --help` and a mistyped word answer at once. Wrong input
ends with one line that says what is wrong and what to do, and exit status 2. A traceback means a defect.
"""

from __future__ import annotations

import contextlib
import errno
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import multiscale_transformer
from multiscale_transformer.cli.endings import ended_by_signals, give_up_output, open_streams, status_of
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from pydantic import ValidationError

WRONG = 2
_OPTIONS = {"learning_rate": "lr", "max_new_tokens": "max_tokens", "skills": "skill"}  # fields whose option has another name
_OF_TRAIN = {"torch": "PyTorch", "rapidfuzz": "rapidfuzz"}  # packages of the extra, as people know them
_OF_THE_SYSTEM = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}

MAKE, USE, EXPORT, MEASURE = "Make a model", "Use it", "Export", "Measure it"
COMMANDS = {  # name: panel of the help, and the first paragraph of the command's own help
    "quickstart": (MAKE, "Train a small model on Python's own library, measure it, and let it write."),
    "train": (MAKE, "Train a model, and measure it on files it never read."),
    "distill": (MAKE, "Train a small model without a memory on what a whole model with its memory would say."),
    "suggest": (MAKE, "Measure this CPU for a moment and propose the size that the time can really train."),
    "zoo": (MAKE, "Train and measure all models by name, over as many days as it takes."),
    "models": (MAKE, "List the shipped models."),
    "data": (MAKE, "Show what training on PATHs would read, or make the data of a skill."),
    "complete": (
        USE,
        "Complete PROMPT, byte by byte, with the model in --model, or else the small one that comes with AXL.",
    ),
    "fix": (USE, "Search for a small edit with which a failing test passes."),
    "chat": (
        USE,
        "Answer questions about Python code: parameters, defaults, exceptions, callees, bases, values, what a thing does.",
    ),
    "explain": (USE, "Follow a call of a function: the lines that run, what each changes, and the value."),
    "refactor": (USE, "Rewrite what a linter finds in functions, where it is shown that they still do the same."),
    "test": (USE, "Write assertions for the functions of a file."),
    "document": (USE, "Write docstrings for the functions of a file."),
    "comment": (USE, "Write comments for the functions of a file."),
    "secure": (USE, "Find unsafe code in the functions of a file, and propose safe code for it."),
    "translate": (USE, "Translate the functions of a Python file into JavaScript."),
    "see": (USE, "List the elements of a screenshot: class, box, states, and the layout of the page."),
    "agent": (
        USE,
        "Do a task in a project: find the tool for each step, run it, show what came of it, and ask before a file is written.",
    ),
    "mcp": (
        USE,
        "Serve the tools of axl agent to other agents, over the Model Context Protocol on standard input and output.",
    ),
    "serve": (
        USE,
        "Serve models to editors and libraries: OpenAI, Anthropic, Ollama and llama.cpp routes, and a playground at /.",
    ),
    "mesh": (USE, "Several servers as one: a registry, gateways, and how it all stands."),
    "service": (USE, "Start a server when you log in."),
    "connect": (USE, "Show the settings with which an editor or agent uses a server of yours, or write them."),
    "index": (USE, "Index code, so that a model completes from it at once: no training."),
    "tune": (
        USE,
        "Measure which linear maps of a checkpoint can do with 4 bits instead of 8, and keep that in its engine.json.",
    ),
    "compile": (USE, "Compile the kernels for this CPU: now, instead of on first use."),
    "export": (EXPORT, "Write a checkpoint for llama.cpp, Ollama, Hugging Face, or as the published .pt."),
    "quantize": (EXPORT, "F16 and Q4_K_M of each checkpoint, and one table at the end."),
    "push": (EXPORT, "Upload an export to the Hugging Face Hub. Log in with hf auth login first, or set HF_TOKEN."),
    "report": (MEASURE, "Draw the curves of one or several runs into one self-contained HTML page and PNGs."),
    "eval": (MEASURE, "Measure a checkpoint."),
}
_CHECKOUT = Path(multiscale_transformer.__file__).resolve().parents[2]
if (_CHECKOUT / "benchmarks" / "__init__.py").is_file():  # which stands beside the package there
    sys.path.append(str(_CHECKOUT))
    COMMANDS["bench"] = (MEASURE, "Compare at equal wall-clock, interleaved, over seeds.")


class LazyCommands(TyperGroup):
    """Lists the commands from the table, and imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (panel, text) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=text, rich_help_panel=panel, rich_markup_mode=self.rich_markup_mode))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The name, the command itself, and what is left of the words."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load(name) if listed and name else listed, rest


def load(name: str) -> Any:
    """The command `name`: `app` of the module `cli.NAME` where it has commands of its own, else its function NAME."""
    from multiscale_transformer.cli.options import help_text

    module = import_module(f"multiscale_transformer.cli.{name}")
    if hasattr(module, "app"):
        return typer.main.get_command(module.app)
    function = getattr(module, name)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command(name, help=help_text(function))(function)
    return typer.main.get_command(alone)


def _version(wanted: bool) -> None:
    if wanted:
        from multiscale_transformer.cli.ui import out

        out.print(f"axl {multiscale_transformer.__version__}")
        raise typer.Exit


app = typer.Typer(cls=LazyCommands, add_completion=False, pretty_exceptions_enable=False)


@app.callback(no_args_is_help=True, epilog="Begin with: axl quickstart")
def _axl(
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """A lab for code models on ordinary CPUs: train on your own code, know how good it is, complete with it."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the `axl` script: runs `arguments` (default: the command line's) and returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    open_streams()
    try:
        with ended_by_signals() as signals:
            status = app(words, prog_name="axl", standalone_mode=False) or 0
            sys.stdout.flush()  # now, while a full device can still be told
            return 128 + signals[0] if signals else status  # Typer makes 130 of every interrupt
    except typer.Abort as error:
        return _aborted(error)
    except KeyboardInterrupt as interrupt:
        return status_of(interrupt)
    except ModuleNotFoundError as error:
        missing = _OF_TRAIN.get((error.name or "").partition(".")[0])
        if missing is None:
            raise
        return _fail(f"axl {words[0]} needs {missing}: pip install 'axl[train]'")
    except (ValueError, typer.TyperException, OSError) as error:  # AxlError and pydantic's ValidationError are ValueErrors
        return _fail(_line_of(error))


def _line_of(error: Exception) -> str:
    """What is wrong and what to do; an error that is no fault of the input or the system is raised again."""
    if isinstance(error, AxlError):
        return str(error)
    if isinstance(error, typer.TyperException):
        return _usage(error)
    if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
        if error.filename is not None:
            return f"{error.filename}: {error.strerror}; free some space, or choose another place"
        give_up_output()  # files are written by `files.py`, which names them
        return f"standard output: {error.strerror}; free some space, or write elsewhere"
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return _refusal(error)
    raise error


def _aborted(error: typer.Abort) -> int:
    """An EOFError, which Typer turns into Abort, is a defect here: no command asks for an answer."""
    if isinstance(error.__cause__, EOFError):
        raise error.__cause__
    return WRONG


def _refusal(error: ValidationError) -> str:
    """What a model of pydantic refuses, under the name of its option."""
    first = error.errors()[0]
    name = "-".join(part for part in first["loc"] if isinstance(part, str))  # without the place in a list
    return f"--{_OPTIONS.get(name, name).replace('_', '-')}: {first['msg']}, got {first['input']!r}"


def _fail(line: str) -> int:
    if line:
        from multiscale_transformer.cli.ui import errors

        with contextlib.suppress(OSError):  # standard error may be full or gone: the status tells
            errors.print(f"axl: {' '.join(line.split())}", markup=False, soft_wrap=True)
    return WRONG


def _usage(error: typer.TyperException) -> str:
    """Typer's refusal in a line; nothing where it has printed the help instead."""
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    where = getattr(error, "ctx", None)
    command = where.command_path if where else "axl"
    return f"{message[:1].lower()}{message[1:]}; see {command} --help" if message else ""
