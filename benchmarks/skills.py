"""What models reach at the skills, beside rivals without a net: `axl eval task` for each, fix on MBPP, translate on it and
HumanEval-X.

Models that were trained for a skill are found by its name below `--models`; the others are the model in the package. What is in
the result file already is not measured again, so it can be filled over days.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import Field

from benchmarks.command import Results, results_file
from benchmarks.command import main as run_command
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.eval_task import measured
from multiscale_transformer.cli.options import folder
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.bugs import MBPP_LEARN, MBPP_MEASURE, bugs_of, load_mbpp
from multiscale_transformer.tasks.fix import ORDER_FILE
from multiscale_transformer.tasks.fix_measure import Solved, orders, tried
from multiscale_transformer.tasks.fix_order import Gains, load_order
from multiscale_transformer.tasks.ngrams import Ngrams
from multiscale_transformer.tasks.skill import MODULES, Figures
from multiscale_transformer.tasks.translate_measure import Share, measure_humaneval_x, measure_mbpp
from multiscale_transformer.zoo.shipped import shipped_model
from multiscale_transformer.zoo.training_record import read_training

FIX, TRANSLATE = "fix", "translate"
NGRAM_BYTES = 1_500_000


class Measured(Row):
    """A skill with one model: its figures, and how long the model had been trained for the skill."""

    figures: Figures
    model: str
    minutes: float
    bytes_read: int


class SkillsResult(Result):
    """All skills; `fix` are orders of the same edits, `mbpp` and `humaneval_x` what the rules of translate make of those."""

    kind: Literal["skills"] = "skills"
    rows: list[Measured] = Field(default_factory=list)
    fix: list[Solved] = Field(default_factory=list)
    mbpp: dict[str, int] = Field(default_factory=dict)
    humaneval_x: dict[str, int] = Field(default_factory=dict)


def run(
    data: Annotated[Path, typer.Option(metavar="FOLDER", parser=folder, help="The data of the skills.")] = Path("data"),
    models: Annotated[Path, typer.Option(metavar="FOLDER", parser=folder, help="Models that were trained for skills.")] = Path(
        "checkpoints/skills"
    ),
    mbpp: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="MBPP as JSON lines, for fix and translate."),
    ] = None,
    humaneval: Annotated[Path | None, typer.Option(metavar="FILE", help="HumanEval.jsonl.gz, for translate, with ...")] = None,
    humaneval_js: Annotated[Path | None, typer.Option(metavar="FILE", help="... humaneval_js.jsonl.gz of HumanEval-X.")] = None,
    skills: Annotated[list[str] | None, typer.Option(metavar="SKILL", help="Skills by name (default: all with data).")] = None,
    most: Annotated[int, typer.Option(min=1, metavar="N", help="Most examples of a skill, or programs of MBPP.")] = 300,
    results: Results = None,
) -> SkillsResult:
    """What models reach at the skills, beside rivals without a net."""
    place = results or results_file("skills")
    found = SkillsResult.read(place) if place.exists() else SkillsResult(**origin("skills", None).model_dump())
    known = {row.figures.skill for row in found.rows}
    for skill in skills or MODULES:
        if skill in MODULES and skill not in known and (data / skill).is_dir():
            found.rows.append(_measured(skill, models / skill, data / skill, most))
            found.write(place)
    if mbpp is not None and not found.fix and (not skills or FIX in skills):
        found.fix = _fix(mbpp, most)
        found.write(place)
    if mbpp is not None and not found.mbpp and (not skills or TRANSLATE in skills):
        found.mbpp = _mbpp(mbpp)
        found.write(place)
    if (humaneval is None) != (humaneval_js is None):
        raise AxlError("--humaneval and --humaneval-js belong together: HumanEval's solutions, and its tests in JavaScript")
    if humaneval and humaneval_js and not found.humaneval_x and (not skills or TRANSLATE in skills):
        found.humaneval_x = _humaneval_x(humaneval, humaneval_js)
        found.write(place)
    if not (found.rows or found.fix or found.mbpp or found.humaneval_x):
        raise AxlError(f"there is no data of a skill in {data}; make it with axl data make, or name it with --data")
    return found


def _measured(skill: str, model: Path, data: Path, most: int) -> Measured:
    trained = model.is_dir()
    figures = measured(skill, model if trained else shipped_model(), data, most=most, memory=None, seed=0, threads=None)
    if not trained:
        return Measured(figures=figures, model="in the package", minutes=0.0, bytes_read=0)
    record = read_training(model)
    return Measured(figures=figures, model=record.name, minutes=record.seconds / 60, bytes_read=record.bytes)


def _fix(mbpp: Path, most: int) -> list[Solved]:
    """Orders of the edits of one bug of each program of MBPP's test tasks."""
    programs = load_mbpp(mbpp, MBPP_MEASURE)[:most]
    text = "\n\n".join(program.code for program in load_mbpp(mbpp, MBPP_LEARN)).encode()[:NGRAM_BYTES]
    gains = Gains(open_scheduler(shipped_model()).engine)
    with Sandbox() as sandbox:
        everything = tried(sandbox, bugs_of(sandbox, programs, each=1))
    return orders(everything, load_order(ORDER_FILE), gains, Ngrams(text))


def _mbpp(mbpp: Path) -> dict[str, int]:
    with Sandbox() as sandbox:
        return _counts(measure_mbpp(sandbox, load_mbpp(mbpp, MBPP_MEASURE)))


def _humaneval_x(humaneval: Path, humaneval_js: Path) -> dict[str, int]:
    with Sandbox() as sandbox:
        return _counts(measure_humaneval_x(sandbox, humaneval, humaneval_js))


def _counts(share: Share) -> dict[str, int]:
    return {"programs": share.tasks, "translated": share.translated, "right": share.right, "wrong": len(share.wrong)}


def table(result: SkillsResult) -> str:
    """A row for each figure of each skill with its best rival, then the orders of fix and the rules of translate."""
    lines = ["| skill | figure | this model | best without a net | trained for | test |", "|---|---|---:|---:|---:|---:|"]
    for row in sorted(result.rows, key=lambda one: one.figures.skill):
        of = row.figures
        minutes = f"{row.minutes:.0f} min, {row.bytes_read / 1e6:.1f} MB" if row.minutes else "–"
        test = f"{of.examples} of {of.packages} packages"
        lines += [
            f"| {of.skill} | {name} | {value:.3g} | {_best_rival(of, name)} | {minutes} | {test} |"
            for name, value in of.figures.items()
        ]
    return (
        "\n".join([*lines, "", *_orders(result.fix), *_rules("MBPP", result.mbpp), *_rules("HumanEval-X", result.humaneval_x)])
        + "\n"
    )


def _best_rival(figures: Figures, name: str) -> str:
    rivals = {rival: of[name] for rival, of in figures.rivals.items() if name in of and rival not in figures.teachers}
    pick = min if name.startswith("false") else max
    best = pick(rivals, key=lambda rival: rivals[rival], default=None)
    return "" if best is None else f"{rivals[best]:.3g} ({best})"


def _orders(fix: list[Solved]) -> list[str]:
    if not fix:
        return []
    within = sorted(fix[0].within)
    head = " | ".join(f"within {most}" for most in within)
    lines = [f"| fix: bugs solved, by the order of the edits | {head} |", "|---|" + "---:|" * len(within)]
    lines += [f"| {one.order} | {' | '.join(f'{one.within[most]:.1%}' for most in within)} |" for one in fix]
    return [*lines, "", f"{fix[0].bugs} bugs, {fix[0].candidates:.0f} edits each on average.", ""]


def _rules(name: str, counts: dict[str, int]) -> list[str]:
    """A paragraph on functions that the rules of translate had before them."""
    if not counts:
        return []
    unjudged = counts["translated"] - counts["right"] - counts["wrong"]
    return [
        f"translate: of {counts['programs']} functions of {name} {counts['translated']} are translated by rules, "
        f"{counts['right']} give equal results in node, {counts['wrong']} other ones, {unjudged} could not be judged.",
        "",
    ]


RESULT = SkillsResult

if __name__ == "__main__":
    run_command("skills")
