"""What a run in the sandbox may use, how it ended, and the ladder of what holds it.

The ladder is what machines offer: on Linux user namespaces and Landlock, on old or locked-down ones less. `Rung` names its
steps; code that nobody trusts is refused below `TRUSTED_FROM`, and every claim of a rung is tried before it is believed
(`sandbox.probe`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["ok", "failed", "timeout", "output"]


class Rung(IntEnum):
    """How well untrusted code is held, worst first."""

    NOTHING = 0  # no limits at all: systems other than Linux
    LIMITS = 1  # CPU, memory, files and processes are counted; files and the network are open
    LANDLOCK = 2  # files outside the scratch folder, sockets and signals are closed: Landlock and seccomp
    NAMESPACES = 3  # and the network, processes and shared memory of the machine are not there at all


TRUSTED_FROM = Rung.LANDLOCK


class Limits(BaseModel):
    """What one run may use. Beyond `seconds` or `output_bytes` it is killed; beyond the others its calls fail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(5.0, gt=0)  # of wall-clock
    cpu_seconds: int = Field(5, ge=1)  # of each process
    memory_mb: int = Field(512, ge=32)  # of writable memory of each process
    output_bytes: int = Field(1 << 16, ge=1)  # of standard output and of standard error, each
    file_mb: int = Field(16, ge=1)  # of one file
    open_files: int = Field(64, ge=16)
    processes: int = Field(16, ge=1)  # at the same time, threads included


class Outcome(BaseModel):
    """How a run ended: `status` is ok for exit status 0, failed for another one or a signal, else what it ran into."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status
    exit_status: int  # minus the signal's number for a process that a signal ended
    stdout: str
    stderr: str
    seconds: float
    files: dict[str, str] = Field(default_factory=dict)  # those of `Program.results` that the program wrote

    @property
    def ok(self) -> bool:
        """Whether the program ended by itself with status 0."""
        return self.status == "ok"


class Program(BaseModel):
    """What is run: files that are put into the scratch folder, and either a Python file among them or a command.

    A Python file runs in a process that is forked off a warm interpreter, as `python FILE ARGUMENTS` would; a command is
    started as it is. `readable` are further folders that the program may read and start programs from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: dict[str, str] = Field(default_factory=dict)
    python: str | None = None
    arguments: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    stdin: str = ""
    readable: tuple[str, ...] = ()
    reserves_memory: bool = False  # far more than it uses, as node does: then only what is written is limited
    environment: dict[str, str] = Field(default_factory=dict)
    results: tuple[str, ...] = ()  # files of the scratch folder that are read afterwards
