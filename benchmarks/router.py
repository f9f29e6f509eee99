"""Which tool a request asks for, and with which arguments: the router beside the words alone, on two sets of questions.

The lab's own tools, with phrases and packages that nothing was learnt from; and the Berkeley Function Calling Leaderboard, of
which one half taught the weights and the other is measured. Rivals are the overlap of words, weighted by how few of the tools
have them, and, with `--model`, how likely a model finds the tools behind the request. `--learn` makes the weights anew first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from benchmarks.bfcl import CATEGORIES, CHOICES, Question, questions, right_call
from benchmarks.command import main as run_command
from benchmarks.result import Result, Row, origin
from benchmarks.router_learn import write_learnt
from benchmarks.router_likelihood import measured
from benchmarks.router_requests import is_right, requests
from multiscale_transformer.agents.arguments import arguments_of
from multiscale_transformer.agents.lab_tools import LAB_TOOLS, NONE
from multiscale_transformer.agents.router import choose, features_of
from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.cli.options import folder

LAB = "the lab's tools"
EACH = 3  # requests of a phrase


class Routed(Row):
    """Shares of the questions of a category; null where it has nothing of the kind."""

    category: str
    questions: int
    tools: float
    lexical: float | None = None  # the right tool by the overlap of words
    likely: float | None = None  # by how likely a model finds the tools
    mixed: float | None = None  # by both
    with_model: float | None = None  # by the router's features and how likely a model finds the tools
    ranked: float | None = None  # by the router, where a tool is meant
    decided: float  # by the router, which may say that none is meant
    arguments: float | None = None  # all arguments right, given the right tool
    called: float | None = None  # tool and arguments right


class RouterResult(Result):
    """The figures of all categories."""

    kind: Literal["router"] = "router"
    rows: list[Routed]


def run(
    bfcl: Annotated[
        Path | None, typer.Option(metavar="FOLDER", parser=folder, help="BFCL v4: the unpacked wheel of bfcl-eval.")
    ] = None,
    model: Annotated[Path | None, typer.Option(metavar="FOLDER", parser=folder, help="A model as one more rival.")] = None,
    learn: Annotated[bool, typer.Option("--learn", help="Learn the weights anew first, into the package.")] = False,
) -> RouterResult:
    """Which tool a request asks for, and with which arguments, beside the words alone."""
    if learn:
        if bfcl is None:
            raise typer.BadParameter("--learn needs --bfcl: half of its questions teach the weights")
        write_learnt(bfcl)
    rows = [_lab()]
    if bfcl is not None:
        halves = {category: [one for one in questions(bfcl, category) if not one.validates] for category in CATEGORIES}
        rows += [_leaderboard(category, asked) for category, asked in halves.items()]
    if model is not None and bfcl is not None:
        shares = measured(model, [question for category in CHOICES for question in questions(bfcl, category)])
        for row in rows:
            if row.category in shares:
                row.likely, row.mixed, row.with_model = shares[row.category]
    return RouterResult(**origin("router", None).model_dump(), rows=rows)


def _lab() -> Routed:
    asked = requests("test", each=EACH)
    meant = [one for one in asked if one.tool != NONE.name]
    decided = [_decided(one.request, LAB_TOOLS) for one in asked]
    filled = [is_right(one, _filled(one.request, next(tool for tool in LAB_TOOLS if tool.name == one.tool))) for one in meant]
    right = {id(one): name == one.tool for one, name in zip(asked, decided, strict=True)}
    return Routed(
        category=LAB,
        questions=len(asked),
        tools=len(LAB_TOOLS),
        lexical=_share([_lexical(one.request, LAB_TOOLS) == one.tool for one in asked]),
        ranked=_share([_ranked(one.request, LAB_TOOLS) == one.tool for one in meant]),
        decided=_share(list(right.values())),
        arguments=_share(filled),
        called=_share([right[id(one)] and good for one, good in zip(meant, filled, strict=True)]),
    )


def _leaderboard(category: str, asked: Sequence[Question]) -> Routed:
    decided = [_decided(one.text, one.tools) for one in asked]
    right = [name == (one.right[0] if one.right else NONE.name) for one, name in zip(asked, decided, strict=True)]
    found = Routed(
        category=category,
        questions=len(asked),
        tools=float(np.mean([len(one.tools) for one in asked])),
        decided=_share(right),
    )
    meant = [(one, one.right[0]) for one in asked if one.right]
    if meant:
        filled = [
            right_call(one, name, _filled(one.text, next(tool for tool in one.tools if tool.name == name)))
            for one, name in meant
        ]
        found.arguments = _share(filled)
        found.called = _share([good and chosen for good, chosen in zip(filled, right, strict=True)])
    if category in CHOICES:
        found.lexical = _share([_lexical(one.text, one.tools) == name for one, name in meant])
        found.ranked = _share([_ranked(one.text, one.tools) == name for one, name in meant])
    return found


def _decided(request: str, tools: Sequence[Tool]) -> str:
    tool = choose(request, tools).tool
    return NONE.name if tool is None else tool.name


def _ranked(request: str, tools: Sequence[Tool]) -> str:
    return choose(request, tools).ranked[0].tool.name


def _lexical(request: str, tools: Sequence[Tool]) -> str:
    """The first of the tools with the most overlap of words."""
    scores = [found["all"] for found in features_of(request, tools)]
    return tools[int(np.argmax(scores))].name


def _filled(request: str, tool: Tool) -> dict[str, Any]:
    found = arguments_of(request, tool)
    return {"": None} if found is None else dict(json.loads(found))  # which no answer accepts


def _share(right: Sequence[bool]) -> float:
    return float(np.mean(right)) if right else 0.0


def table(result: RouterResult) -> str:
    """A row for each category."""
    names = (
        "words alone",
        "a model alone",
        "words and model",
        "router",
        "router and model",
        "with “none”",
        "arguments",
        "tool and arguments",
    )
    lines = [f"| questions | n | tools | {' | '.join(names)} |", "|---|" + "---:|" * (2 + len(names))]
    for row in result.rows:
        shares = (row.lexical, row.likely, row.mixed, row.ranked, row.with_model, row.decided, row.arguments, row.called)
        lines.append(f"| {row.category} | {row.questions} | {row.tools:.1f} | {' | '.join(map(_percent, shares))} |")
    return "\n".join(lines) + "\n"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


RESULT = RouterResult

if __name__ == "__main__":
    run_command("router")
