"""Options that several commands share: named, explained and refused alike.

This module, like the head of every command's module, imports nothing that imports torch: `axl NAME --help` and a mistyped
option answer at once, and the two seconds for torch are paid by what needs it, inside the commands.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from multiscale_transformer.zoo.shipped import SHIPPED, shipped_model

if TYPE_CHECKING:
    from pydantic import BaseModel

SHIPPED_FOLDER = shipped_model()
CHECKPOINTS = Path("checkpoints")  # where runs go
LARGEST_SEED = 2**63 - 1
MAX_THREADS = 1024  # OpenMP dies of many more, without a word


def help_text(command: Callable[..., None]) -> str:
    """The docstring of a command for Typer, which wraps lines but does not join them; indented ones are examples to type."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(_examples(text) if text.startswith(" ") else text.replace("\n", " ") for text in paragraphs)


def above_zero(value: float | None) -> float | None:
    """Refuse what is not a finite number above zero."""
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"it must be a number above 0, got {value:g}")
    return value


def seed_number(value: int | None) -> int | None:
    """Refuse a seed that the random number generators do not take."""
    if value is not None and not 0 <= value <= LARGEST_SEED:
        raise typer.BadParameter(f"it must be a whole number from 0 to {LARGEST_SEED}, got {value}")
    return value


def thread_count(value: int | None) -> int | None:
    """Refuse a number of threads that no machine has."""
    if value is not None and not 1 <= value <= MAX_THREADS:
        raise typer.BadParameter(f"it must be a whole number from 1 to {MAX_THREADS}, got {value}")
    return value


def paths(values: list[str] | None) -> list[str] | None:
    """Refuse an empty path, which would read as the current folder (an unset shell variable, most likely)."""
    if any(not value.strip() for value in values or ()):
        raise typer.BadParameter("the path is empty (. is the current folder)")
    return values


def folder(value: str | Path) -> Path:
    """A folder by its path (or a default, as it is), which must not be empty."""
    if not str(value).strip():
        raise typer.BadParameter("the path is empty (. is the current folder)")
    return Path(value).expanduser()


def checkpoint(value: str | Path) -> Path:
    """A checkpoint by its folder, or the one that comes with AXL by its name."""
    return SHIPPED_FOLDER if value == SHIPPED else folder(value)


def setting(model: type[BaseModel], field: str, metavar: str, text: str, panel: str | None = None) -> Any:
    """An option whose smallest and largest value are those of a field of a settings model."""
    metadata = model.model_fields[field].metadata
    smallest = next((bound.ge for bound in metadata if hasattr(bound, "ge")), None)
    largest = next((bound.le for bound in metadata if hasattr(bound, "le")), None)
    return typer.Option(metavar=metavar, min=smallest, max=largest, rich_help_panel=panel, help=text)


NO_MEMORY = "none"
MemoryFolders = Annotated[
    list[str] | None,
    typer.Option(
        "--memory",
        metavar="INDEX",
        callback=paths,
        help="Indexes to look up in instead of the checkpoint's own: folders, stdlib (Python's library), installed (packages "
        "beside it), or none. May be given several times.",
    ),
]
Minutes = Annotated[float, typer.Option(metavar="M", callback=above_zero, help="Time to train for.")]
_THREADS = {"metavar": "N", "callback": thread_count}
Threads = Annotated[int | None, typer.Option(**_THREADS, help="CPU threads (default: all cores this process may use).")]
EngineThreads = Annotated[
    int | None, typer.Option(**_THREADS, help="CPU threads (default: 1, the reference in PyTorch all cores).")
]
Data = Annotated[
    list[str] | None,
    typer.Option(metavar="PATH", callback=paths, help="Folder, repository, file, .jsonl or glob; may be given several times."),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        callback=paths,
        help="Also read files that are dropped for their suffix, folder or .gitignore: '*.dat', target/ or a/b.py. "
        "May be given several times.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB", callback=paths, help="Drop files or folders: '*_test.go' or docs/. May be given several times."
    ),
]
ExportFolder = Annotated[Path, typer.Option("--out", parser=folder, metavar="FOLDER", help="Where it goes.")]
DistillData = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="PATH", callback=paths, help="What it learns on (default: the run's data)."),
]
Checkpoint = Annotated[
    Path,
    typer.Option("--model", parser=checkpoint, metavar="FOLDER", help="Checkpoint folder; shipped is the one in the package."),
]


def _examples(text: str) -> str:
    return "\n".join(f"$ {line.strip()}" for line in text.splitlines())
