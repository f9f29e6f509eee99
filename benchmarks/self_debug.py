"""Self-debug: bugs in programs of MBPP that are solved within so many runs, by the order in which the same repairs are run.

All orders share what each text gives, so a text is run once. A result file that is there is gone on with. The rivals are the
same candidates in random order, and the order of the skill fix, which is made before the first run and stays.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import Field

from benchmarks.command import Results, results_file
from benchmarks.command import main as run_command
from benchmarks.result import Result, Row, origin
from multiscale_transformer.agents.debug_learn import RUNS, Remembered, learn_order
from multiscale_transformer.agents.self_debug import DEBUG_ORDER_FILE, FIX_SCORE, Choice, Debugging, best_of
from multiscale_transformer.engine.engine import Engine
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.bugs import MBPP_LEARN, MBPP_MEASURE, Bug, bugs_of, load_mbpp
from multiscale_transformer.tasks.fix_order import Gains, Order, load_order, save_order
from multiscale_transformer.tasks.restoring import KINDS
from multiscale_transformer.tasks.source_text import Edit
from multiscale_transformer.zoo.shipped import shipped_model

WITHIN = (1, 5, RUNS)
Pick = Callable[[Sequence[Choice]], Choice]


class Solved(Row):
    """A bug: the kind of edit that made it, its candidates, and after how many runs each order solved it (None: not)."""

    name: str
    operator: str
    candidates: int
    runs: dict[str, int | None]


class SelfDebugResult(Result):
    """All bugs."""

    kind: Literal["self_debug"] = "self_debug"
    model: bool
    rows: list[Solved] = Field(default_factory=list)


def run(
    mbpp: Annotated[Path, typer.Option(metavar="FILE", help="MBPP as JSON lines.")],
    most: Annotated[int, typer.Option(min=1, metavar="N", help="Most bugs, one of a program.")] = 60,
    model: Annotated[bool, typer.Option("--model/--no-model", metavar="", help="Let the shipped model judge edits.")] = True,
    learn: Annotated[bool, typer.Option("--learn", metavar="", help="Learn the weights anew first, without a model.")] = False,
    results: Results = None,
) -> SelfDebugResult:
    """Bugs of MBPP that self-debug solves within so many runs, beside other orders of the same repairs."""
    place = results or results_file("self_debug")
    gains = RememberedGains(open_scheduler(shipped_model()).engine) if model else None
    with Sandbox() as sandbox:
        if learn:
            save_order(learn_order(sandbox, list(bugs_of(sandbox, load_mbpp(mbpp, MBPP_LEARN), each=1))), DEBUG_ORDER_FILE)
        new = SelfDebugResult(**origin("self_debug", None).model_dump(), model=model)
        found = SelfDebugResult.read(place) if place.exists() and not learn else new
        if found.model != model:
            raise AxlError(f"{place} was measured with{'' if found.model else 'out'} a model; name another file with --results")
        programs, known = load_mbpp(mbpp, MBPP_MEASURE), {row.name for row in found.rows}
        if most < len(programs):  # spread over all of them
            programs = [programs[number * len(programs) // most] for number in range(most)]
        for bug in bugs_of(sandbox, [program for program in programs if program.name not in known], each=1):
            found.rows.append(_solved(sandbox, bug, gains))
            found.write(place)
    if not found.rows:
        raise AxlError(f"{mbpp} has no program with a bug that its tests see; give the file of google-research/mbpp")
    return found


class RememberedGains(Gains):
    """What the model finds of the same edits is asked once for all orders."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._of = lru_cache(maxsize=64)(lambda text, edits: super(RememberedGains, self).of(text, edits))

    def of(self, text: str, edits: Sequence[Edit]) -> list[dict[str, float]]:
        """As of the model."""
        return self._of(text, tuple(edits))


def orders(seed: str) -> dict[str, Pick]:
    """What chooses the next repair, by name."""
    rng, learnt, fix = random.Random(seed), load_order(DEBUG_ORDER_FILE), Order(weights={FIX_SCORE: 1.0})
    return {
        "random": rng.choice,
        "the order of fix": lambda choices: best_of([choice for choice in choices if not _restores(choice)] or choices, fix),
        "self-debug, blind": lambda choices: best_of([choice.blind for choice in choices], learnt),
        "self-debug": lambda choices: best_of(choices, learnt),
    }


def _restores(choice: Choice) -> bool:
    return choice.candidate.edit.operator in KINDS


def _solved(sandbox: Sandbox, bug: Bug, gains: Gains | None) -> Solved:
    subject, runs, count = Remembered(sandbox, bug), dict[str, int | None](), 0
    for name, pick in orders(bug.checked.name).items():
        debugging = Debugging(subject, gains, most=RUNS)
        count = len(debugging.choices())
        while not debugging.result.solved and debugging.result.runs < RUNS and (choices := debugging.choices()):
            debugging.try_out(pick(choices))
        runs[name] = debugging.result.runs if debugging.result.solved else None
    return Solved(name=bug.checked.name, operator=bug.operator, candidates=count, runs=runs)


def table(result: SelfDebugResult) -> str:
    """The share of the bugs that each order solves within so many runs, with its standard error."""
    lines = [
        f"| repairs in the order of | {' | '.join(f'within {most}' for most in WITHIN)} |",
        "|---|" + "---:|" * len(WITHIN),
    ]
    count = len(result.rows)
    for name in result.rows[0].runs if result.rows else ():
        shares = [sum((row.runs[name] or RUNS + 1) <= most for row in result.rows) / count for most in WITHIN]
        cells = [f"{share:.1%} ± {(share * (1 - share) / count) ** 0.5:.1%}" for share in shares]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    mean = sum(row.candidates for row in result.rows) / max(1, count)
    judged = "with the shipped model as a judge" if result.model else "without a model"
    return "\n".join(lines) + f"\n\n{count} bugs, {mean:.0f} repairs each on average, {judged}; ± is a standard error.\n"


RESULT = SelfDebugResult

if __name__ == "__main__":
    run_command("self_debug")
