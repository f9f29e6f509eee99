"""`axl chat`: questions about a project, answered with facts that stand in its code, and where."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders, paths
from multiscale_transformer.cli.proposals import NOTHING, AsJson
from multiscale_transformer.cli.skill_models import open_likelihood

if TYPE_CHECKING:
    from multiscale_transformer.tasks.chat import Answer

SHOWN = 3  # answers: the first, and what else it may have been
LEAVE = ("exit", "quit")


def chat(
    question: Annotated[
        str | None, typer.Argument(metavar="[QUESTION]", help="What you want to know; left out: one question a line.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", callback=paths, help="The code that is asked about (default: this folder)."),
    ] = None,
    as_json: AsJson = False,
    model: Checkpoint = SHIPPED_FOLDER,
    memory: MemoryFolders = None,
    threads: EngineThreads = None,
) -> None:
    """Answer questions about Python code: parameters, defaults, exceptions, callees, bases, values, what a thing does.

    The model chooses among facts that inspection of the code tells, so an answer may miss the question, but it is never made
    up; beside it stands where to look. Name what you ask about as the code does. The exit status is 1 where nothing is found.

        axl chat "What does parse_fim raise?" --data src
        axl chat
    """
    from multiscale_transformer.data.corpus import stream_documents
    from multiscale_transformer.tasks.chat import WEIGHTS_FILE, Facts
    from multiscale_transformer.tasks.facts import subjects_in
    from multiscale_transformer.tasks.fix_order import load_order

    with ui.busy("reading the code"):
        documents = stream_documents(data or ["."])
        facts = Facts(
            subject
            for document in documents
            if document.name.endswith((".py", ".pyi"))
            for subject in subjects_in(document.content.decode(errors="replace"), document.name)
        )
    likelihood, order = open_likelihood(model, memory, threads), load_order(WEIGHTS_FILE)
    if question is not None:
        answers = facts.answers(question, order, likelihood)
        _say(answers, as_json=as_json)
        if not answers:
            raise typer.Exit(NOTHING)
        return
    ui.note(f"{len(facts.sentences):,} facts; one question a line, {LEAVE[0]} ends")
    for line in sys.stdin:
        asked = line.strip()
        if asked in LEAVE:
            break
        if asked:
            _say(facts.answers(asked, order, likelihood), as_json=as_json)


def _say(answers: list[Answer], *, as_json: bool) -> None:
    shown = answers[:SHOWN]
    if as_json:
        ui.print_line(json.dumps([{**answer.fact.model_dump(), "score": round(answer.score, 3)} for answer in shown]))
    elif not shown:
        ui.print_text("nothing in this code is about that; name a function, class or constant as the code does")
    else:
        ui.print_text(shown[0].fact.sentence)
        ui.print_field("Source", shown[0].fact.source)
        for other in shown[1:]:
            ui.print_field("Or", f"{other.fact.sentence} ({other.fact.source})")
