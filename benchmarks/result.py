"""What every benchmark leaves behind: its figures with where they come from, as `runs/*.json`.

A benchmark is a module with `run(...)`, which measures and returns a `Result`, and `table(result)`, which puts the figures into
Markdown. `kind` is the name of the module, so a result file says who made it and who can show it.
"""

from __future__ import annotations

import importlib
import json
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.machine import available_cores

BENCHMARKS = (
    "train",
    "memory",
    "index",
    "optimizers",
    "decode",
    "shipped",
    "serve",
    "export",
    "mfu",
    "busy",
    "growth",
    "finetune",
    "completions",
    "kinds",
    "skills",
    "proposals",
    "human_edits",
    "router",
    "bpe",
    "self_debug",
    "repairs",
    "code",
    "project",
    "sandbox",
    "zoo",
    "mesh",
    "local_sgd",
    "random_bytes",
    "vision",
)
KINDS = (*BENCHMARKS, "exploration")  # what was tried by hand has a table and no run
ROOT = Path(__file__).resolve().parents[1]


class Row(BaseModel):
    """Figures that belong together, checked when they are made and when they are read."""

    model_config = ConfigDict(extra="forbid")


class Machine(Row):
    """Where a result was measured; what a file from before this was recorded does not say is null."""

    cpu: str | None = None
    cores: int | None = None
    threads: int | None = None


class Origin(Row):
    """Who made a result, where and when."""

    machine: Machine
    commit: str | None = None
    date: str | None = None
    command: str | None = None


class Result(Origin):
    """The figures of one benchmark; each has a `kind` of its own and its rows."""

    kind: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """The result in a file. Raises AxlError when there is none, or one of another form."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise AxlError(f"cannot read {path} ({error}); run the benchmark that writes it") from error

    def write(self, path: Path) -> None:
        """Into a file, whole or not at all."""
        files.write_json(path, self.model_dump(mode="json"))


def origin(kind: str, threads: int | None) -> Origin:
    """This machine, commit, time and command line."""
    from multiscale_transformer.training.machine import processor  # imports PyTorch, which a measured child does without

    words = sys.argv[1:]
    words = words[words.index(kind) + 1 :] if kind in words else words  # axl bench KIND, or python -m benchmarks.KIND
    return Origin(
        machine=Machine(cpu=processor(), cores=available_cores(), threads=threads),
        commit=_commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        command=shlex.join(["python", "-m", f"benchmarks.{kind}", *words]),
    )


def _commit() -> str | None:
    """The commit that is checked out, marked where files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def module_of(kind: str) -> ModuleType:
    """The module of a benchmark."""
    return importlib.import_module(f"benchmarks.{kind}")


def table_of(path: Path) -> str:
    """The Markdown table of a result file. Raises AxlError when it cannot be read or is of no known kind."""
    try:
        kind = json.loads(path.read_bytes())["kind"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AxlError(f"cannot read {path} ({error}); run the benchmark that writes it") from error
    if kind not in KINDS:
        raise AxlError(f"{path} is of the unknown kind {kind!r}; there are {', '.join(KINDS)}")
    module = module_of(kind)
    return str(module.table(module.RESULT.read(path)))


def with_range(values: Sequence[float], form: str) -> str:
    """The mean of a figure over seeds, with the lowest and the highest where there are several."""
    spread = f" ({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{spread}"
