"""`axl agent`: do a task in a project step by step, asking before anything is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.syntax import Syntax

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders
from multiscale_transformer.cli.proposals import NOTHING, AsJson
from multiscale_transformer.cli.skill_models import models_for
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.agents.agent import Call, Step
    from multiscale_transformer.agents.journal import Journal
    from multiscale_transformer.agents.self_debug import Attempt

YES = {"y", "yes"}
MAX_ARGUMENT = 60  # characters of an argument that are shown


def agent(
    task: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="What is to be done; several steps are divided by 'then'.")
    ] = None,
    project: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The project; nothing outside it is read or written.")
    ] = Path(),
    yes: Annotated[bool, typer.Option("--yes", metavar="", help="Write verified changes without asking.")] = False,
    undo: Annotated[bool, typer.Option("--undo", metavar="", help="Take back what the last run changed.")] = False,
    as_json: AsJson = False,
    model: Checkpoint = SHIPPED_FOLDER,
    memory: MemoryFolders = None,
    threads: EngineThreads = None,
) -> None:
    """Do a task in a project: find the tool for each step, run it, show what came of it, and ask before a file is written.

    Tools read, search, list, edit, run tests or Python in a sandbox on a copy, explain errors, refactor, translate, document
    and complete. "make tests/test_area.py pass" runs the tests, tries the likeliest edits, and learns from each failed run
    which to try next. Changes are verified before they are shown; --undo brings every file back as it was, unless somebody
    has changed it since. The exit status is 1 where nothing was done.

        axl agent "make tests/test_area.py pass"
        axl agent "refactor src/area.py then run the tests" --yes
        axl agent --undo
    """
    from multiscale_transformer.agents.journal import Journal
    from multiscale_transformer.agents.project import ProjectFolder

    folder = ProjectFolder(project)
    if undo == (task is not None):
        raise AxlError('give either a task, as in axl agent "make tests/test_area.py pass", or --undo')
    journal = Journal(folder)
    if task is None:
        _undo(journal, as_json=as_json)
        return
    steps = _run(task, folder, journal, yes=yes, as_json=as_json, models=(model, memory, threads))
    if as_json:
        ui.print_line(json.dumps({"task": task, "steps": [_as_json(step) for step in steps]}))
    elif any(step.written for step in steps):
        ui.print_field("Undo", ui.command("agent", "--undo", *([] if project == Path() else ["--project", str(project)])))
    if not any(step.done for step in steps):
        raise typer.Exit(NOTHING)


def _run(
    task: str, folder: Any, journal: Journal, *, yes: bool, as_json: bool, models: tuple[Path, list[str] | None, int | None]
) -> list[Step]:
    from multiscale_transformer.agents.agent import run_task
    from multiscale_transformer.agents.tools import LabTools

    def consent(step: Step) -> bool:
        if as_json:
            return yes
        _show(step)
        return yes or _asked()

    steps = []
    with LabTools(folder, models_for(*models, on_run=_show_attempt)) as tools:
        for step in run_task(
            task, tools, journal.begin(task), consent, on_call=lambda *call: None if as_json else _announce(*call)
        ):
            steps.append(step)
            if as_json:
                continue
            if not step.result.changes:
                _show(step)
            elif step.written:
                ui.print_field("Written", ", ".join(change.name for change in step.result.changes))
            else:
                ui.print_field("Not written", ", ".join(change.name for change in step.result.changes))
    return steps


def _announce(request: str, call: Call | None) -> None:
    """The step that begins: what was asked for, and the tool that is called for it."""
    ui.print_field("Step", request)
    if call is not None:
        name, arguments = call
        shown = ", ".join(f"{key}={str(value)[:MAX_ARGUMENT]!r}" for key, value in arguments.items())
        ui.print_field("Tool", f"{name}({shown})")


def _show(step: Step) -> None:
    """What a step says and what it would change."""
    ui.write(f"{step.result.text}\n")
    if not step.result.changes:
        return
    if ui.out.is_terminal:
        ui.out.print(Syntax(step.result.diff.rstrip("\n"), "diff", background_color="default", word_wrap=False))
    else:
        ui.write(step.result.diff)
    ui.print_field("Verified", step.result.verified)


def _show_attempt(attempt: Attempt) -> None:
    """A run of self-debug, on standard error."""
    count = len(attempt.seen.failing)
    if attempt.repair is None:
        ui.print_error_line(f"  run 0: {ui.counted(count, 'test')} failing")
        return
    where, kind = f"{attempt.repair.file}:{attempt.repair.edit.line}", attempt.repair.edit.operator
    ui.print_error_line(f"  run {attempt.number}: {where}, {kind}: {ui.counted(count, 'test')} failing ({attempt.effect})")


def _asked() -> bool:
    """Whether a person agrees; where nobody can be asked, nobody does."""
    if not sys.stdin.isatty():
        ui.note("nobody can be asked here, so nothing is written; --yes writes what is verified")
        return False
    ui.errors.print("Write this? [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in YES


def _undo(journal: Journal, *, as_json: bool) -> None:
    names = journal.undo()
    if as_json:
        ui.print_line(json.dumps({"undone": names}))
    else:
        ui.print_field("Taken back", ", ".join(names))


def _as_json(step: Step) -> dict[str, Any]:
    name, arguments = step.call or (None, {})
    result = step.result
    return {
        "request": step.request, "tool": name, "arguments": arguments, "ok": result.ok, "text": result.text,
        "diff": result.diff or None, "verified": result.verified or None, "written": step.written,
    }  # fmt: skip
