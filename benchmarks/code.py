"""Benchmarks that run what a model writes: HumanEval, MBPP, infilling and HumanEval-X, a row for each model and way to ask.

Each row is `axl eval ... --json` as anyone can type it, and holds its command. Completions are kept in a folder, so what was
interrupted goes on, and a second model is added to the rows of the first.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import Field

from benchmarks.command import Results, results_file
from benchmarks.command import main as run_command
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.main import main as axl
from multiscale_transformer.cli.options import SHIPPED_FOLDER, folder
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.pass_at_k import Rate
from multiscale_transformer.tasks.code_benchmarks.measure import CodeFigures, Score

Words = tuple[str, ...]
SHIPPED = "in the package"
OWN = "this model"  # its column in what `axl eval` prints
ASKED: dict[str, tuple[str, str, Words]] = {  # a row's name: the command, its file, and how it asks
    "HumanEval": ("humaneval", "HumanEval.jsonl.gz", ()),
    "HumanEval, drawn": ("humaneval", "HumanEval.jsonl.gz", ("--each", "10", "--no-rivals")),
    "MBPP": ("mbpp", "mbpp.jsonl", ()),
    "MBPP, drawn": ("mbpp", "mbpp.jsonl", ("--each", "10", "--no-rivals")),
    "infilling, a line": ("infilling", "HumanEval-SingleLineInfilling.jsonl.gz", ()),
    "infilling, a span": ("infilling", "HumanEval-RandomSpanInfillingLight.jsonl.gz", ()),
    "HumanEval-X, JavaScript": ("humaneval-x", "humaneval_js.jsonl.gz", ()),
    "HumanEval-X, Rust": ("humaneval-x", "humaneval_rust.jsonl.gz", ()),
}


class Asked(Row):
    """How a model did on a benchmark."""

    model: str
    name: str
    command: str
    figures: CodeFigures


class CodeResult(Result):
    """All models and benchmarks that were asked for so far."""

    kind: Literal["code"] = "code"
    rows: list[Asked] = Field(default_factory=list)


def run(
    data: Annotated[Path, typer.Option(metavar="FOLDER", parser=folder, help="Where the benchmarks' files lie.")],
    samples: Annotated[Path, typer.Option(metavar="FOLDER", parser=folder, help="Where completions are kept.")],
    model: Annotated[Path, typer.Option(metavar="FOLDER", parser=folder, help="The model.")] = SHIPPED_FOLDER,
    names: Annotated[list[str] | None, typer.Option("--name", metavar="NAME", help="Rows by name (default: all).")] = None,
    most: Annotated[int | None, typer.Option(metavar="N", min=1, help="Most problems of a benchmark.")] = None,
    results: Results = None,
) -> CodeResult:
    """HumanEval, MBPP, infilling and HumanEval-X, a row for each model and way to ask."""
    place = results or results_file("code")
    found = CodeResult.read(place) if place.exists() else CodeResult(**origin("code", None).model_dump())
    who = SHIPPED if model == SHIPPED_FOLDER else model.name
    for name in names or ASKED:
        if name not in ASKED:
            raise AxlError(f"there is no row {name!r}; there are {', '.join(ASKED)}")
        command, file, how = ASKED[name]
        how = (*how, *(("--most", str(most)) if most is not None else ()))
        words = ["eval", command, "--model", str(model), "--data", str(_found(data, file)), *how]
        kept = samples / f"{who}-{name}.jsonl".replace(" ", "-").replace(",", "")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            status = axl([*words, "--samples", str(kept), "--json"])
        if status != 0:
            raise AxlError(f"axl {' '.join(words)} ended with status {status}")
        figures = CodeFigures.model_validate_json(said.getvalue().strip().splitlines()[-1])
        shown = " ".join(["axl eval", command, "--data", file, *how])
        found.rows = [row for row in found.rows if (row.model, row.name) != (who, name)]
        found.rows.append(Asked(model=who, name=name, command=shown, figures=figures))
        found.write(place)
    return found


def _found(data: Path, file: str) -> Path:
    places = sorted(data.rglob(file))
    if not places:
        raise AxlError(f"{data} has no {file}; give the folder with the published files of the benchmarks")
    return places[0]


def table(result: CodeResult) -> str:
    """A row for each model and way to ask: pass@1, the most that was drawn, the best rival, what parses, and bits."""
    lines = [
        "| model | benchmark | problems | pass@1 (95 %) | pass@10 (95 %) | best rival, pass@1 | parses | bits per byte |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in result.rows:
        figures, own = row.figures, row.figures.scores[OWN]
        rivals = {name: score for name, score in figures.scores.items() if name != OWN}
        cells = [
            row.model,
            row.name,
            f"{figures.problems:,}",
            _rate(own, 1),
            _rate(own, 10),
            _best(rivals),
            f"{own.parses:.0%}",
        ]
        lines.append(f"| {' | '.join(cells)} | {'' if own.bits_per_byte is None else f'{own.bits_per_byte:.3f}'} |")
    return "\n".join(lines) + "\n\nGreedy where nothing else is said; drawn: ten completions at temperature 0.8.\n"


def _rate(score: Score, k: int) -> str:
    return _percent(score.passes[k]) if k in score.passes else ""


def _percent(rate: Rate) -> str:
    return (
        f"{100 * rate.mean:.1f} ({100 * rate.low:.1f} to {100 * rate.high:.1f})"
        if rate.mean
        else f"0 (≤ {100 * rate.high:.1f})"
    )


def _best(rivals: dict[str, Score]) -> str:
    if not rivals:
        return ""
    name = max(rivals, key=lambda one: rivals[one].passes[1].mean)
    return f"{100 * rivals[name].passes[1].mean:.1f} ({name})"


RESULT = CodeResult

if __name__ == "__main__":
    run_command("code")
