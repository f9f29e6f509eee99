"""Muon, AdamW, Lion, GaLore and SGD on the same model: what each reaches in the same time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.command import LIBRARY, Data, Results, Seeds, main, results_file
from benchmarks.comparison import (
    LOSS_MARK,
    THREE_SCALES,
    Candidate,
    Columns,
    Comparison,
    Run,
    bits_of,
    compare,
    comparison_table,
    corpus_of,
    mean_of,
    settings_for,
)
from multiscale_transformer.cli.options import Minutes, Threads
from multiscale_transformer.training.optimizers import LEARNING_RATES

SWEEP_FILE = Path("runs/bench-optimizers-sweep.json")
SWEEP = (1 / 3, 1.0, 3.0)  # times the default learning rate
SCORE_EVERY = 8  # held-out files


class OptimizersResult(Comparison):
    """The runs; no compressors, as not all held-out files are scored."""

    kind: Literal["optimizers"] = "optimizers"


def run(
    minutes: Minutes = 3.0,
    seeds: Seeds = 3,
    data: Data = None,
    threads: Threads = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", metavar="", help="One seed at several learning rates around each default.")
    ] = False,
    results: Results = None,
) -> OptimizersResult:
    """Muon, AdamW, Lion, GaLore and SGD on the same model, each at its own best learning rate."""
    corpus = corpus_of(data or LIBRARY)
    base = settings_for(THREE_SCALES, minutes, threads, corpus)
    candidates = [
        Candidate(
            name=f"{name} at {rate * factor:.2g}" if sweep else name,
            config=THREE_SCALES,
            settings=base.model_copy(update={"optimizer": name, "learning_rate": rate * factor}),
        )
        for name, rate in LEARNING_RATES.items()
        for factor in (SWEEP if sweep else (1.0,))
    ]
    path = results or (SWEEP_FILE if sweep else results_file("optimizers"))
    return compare(OptimizersResult, candidates, corpus, range(1 if sweep else seeds), path, score_every=SCORE_EVERY)


def _steps_to_mark(runs: Sequence[Run]) -> str:
    reached = [run.steps_to_mark for run in runs if run.steps_to_mark is not None]
    return f"{sum(reached) / len(reached):,.0f}" if len(reached) == len(runs) else "never"


_COLUMNS: Columns = {
    "held-out bits per byte": bits_of,
    "learning rate": lambda runs: f"{runs[0].learning_rate:.2g}",
    "steps": lambda runs: f"{mean_of(runs, 'steps'):,.0f}",
    f"steps to {LOSS_MARK} bits in training": _steps_to_mark,
    "state, bytes a parameter": lambda runs: f"{runs[0].optimizer_state_bytes / runs[0].parameters:.1f}",
}


def table(result: OptimizersResult) -> str:
    """A row for each optimizer."""
    return comparison_table(result, _COLUMNS)


RESULT = OptimizersResult

if __name__ == "__main__":
    main("optimizers")
