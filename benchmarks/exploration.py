"""What was tried by hand, one run each, before the benchmarks: a table without a measurement."""

from __future__ import annotations

from typing import Literal

from benchmarks.result import Result, Row


class Trial(Row):
    """One run."""

    bits_per_byte: float
    shape: str
    parameters: int
    window: str
    batch: int
    minutes: float
    mb_read: float
    note: str


class ExplorationResult(Result):
    """The trials, in the order of the table."""

    kind: Literal["exploration"] = "exploration"
    exploration: list[Trial]


def table(result: ExplorationResult) -> str:
    """A row for each trial."""
    columns = ("bits per byte", "shape", "parameters", "window", "batch", "minutes", "MB read", "note")
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += [
        f"| {trial.bits_per_byte:.3f} | {trial.shape} | {trial.parameters:,} | {trial.window} | {trial.batch:,} | "
        f"{trial.minutes:g} | {trial.mb_read:.1f} | {trial.note} |"
        for trial in result.exploration
    ]
    return "\n".join(lines) + "\n"


RESULT = ExplorationResult
