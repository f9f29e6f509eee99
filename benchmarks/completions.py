"""What one keeps of the completions of the model in the package, in projects that neither it nor its index has read.

A quarter of each project's files is held out and the others are the index, as in `axl eval lines`, whose figures these are.
"""

from __future__ import annotations

import statistics
from typing import Annotated, Literal

import typer

from benchmarks.command import main
from benchmarks.memory import unseen_packages
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.options import Checkpoint, Threads
from multiscale_transformer.data.corpus import split
from multiscale_transformer.data.installed import UNSEEN_PROJECTS
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.evaluation.editing import KINDS, WITHOUT_SUFFIX, EditingScore, completer, draw_places, score_places
from multiscale_transformer.machine import available_cores
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.training.editing_data import HOLD_OUT_EVERY
from multiscale_transformer.zoo.shipped import shipped_model

ONE_LINE = tuple(kind for kind in KINDS if kind not in WITHOUT_SUFFIX and kind != "block")


class Scored(Row):
    """One project and kind of place."""

    project: str
    kind: str
    score: EditingScore


class CompletionsResult(Result):
    """All projects and kinds."""

    kind: Literal["completions"] = "completions"
    rows: list[Scored]


def run(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    places: Annotated[int, typer.Option(min=1, metavar="N", help="Places of each kind in each project.")] = 40,
    threads: Threads = None,
) -> CompletionsResult:
    """What one keeps of the completions of the model in the package, in three unseen projects."""
    threads = threads or available_cores()
    rows = []
    for project, documents in unseen_packages(UNSEEN_PROJECTS.values()).items():
        corpus = split(documents, HOLD_OUT_EVERY)
        memory = CorpusMemory([build_shard(corpus.train.documents())[0]], threads=threads)
        complete = completer(open_scheduler(model, threads=threads), memory)
        drawn = [place for kind in KINDS for place in draw_places(corpus.held_out, places, kind)]
        scores = score_places(drawn, complete)
        rows += [Scored(project=project, kind=kind, score=scores[kind]) for kind in KINDS]
    return CompletionsResult(**origin("completions", threads).model_dump(), rows=rows)


def table(result: CompletionsResult) -> str:
    """By kind: means over projects, of the time the worst; then exact and ends by project."""
    projects = list(dict.fromkeys(row.project for row in result.rows))
    lines = [
        "| index of the project's other files | exact | similar | bytes until an error | ends right | runs on "
        "| first byte, median | 95 % |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    groups: dict[str, tuple[str, ...]] = {kind: (kind,) for kind in KINDS}
    groups["one-line gaps together"] = ONE_LINE
    for name, kinds in groups.items():
        rows = [row for row in result.rows if row.kind in kinds]
        shares = (_percent(rows, field) for field in ("exact", "similarity"))
        cells = [
            *shares,
            f"{statistics.fmean(row.score.accepted for row in rows):.1f}",
            _percent(rows, "ends_right"),
            _percent(rows, "runs_on", 1),
            f"{max(row.score.first_seconds for row in rows):.2f} s",
            f"{max(row.score.first_seconds_95 for row in rows):.2f} s",
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    by_project = []
    for project in projects:
        rows = [row for row in result.rows if row.project == project and row.kind in ONE_LINE]
        by_project.append(f"{project} {_percent(rows, 'exact')} and {_percent(rows, 'ends_right')}")
    places = sum(row.score.places for row in result.rows)
    return (
        "\n".join(lines) + f"\n\nOne-line gaps exact and ended right: {', '.join(by_project)}. {places:,} places, "
        f"{result.machine.threads} threads; times are the worst of the projects.\n"
    )


def _percent(rows: list[Scored], field: str, digits: int = 0) -> str:
    return f"{statistics.fmean(getattr(row.score, field) for row in rows):.{digits}%}"


RESULT = CompletionsResult

if __name__ == "__main__":
    main("completions")
