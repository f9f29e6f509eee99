"""`axl fix`: search for the edit with which a failing test passes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders
from multiscale_transformer.cli.proposals import Apply, AsJson, Shown, nothing, show
from multiscale_transformer.cli.skill_models import open_gains
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.tasks.fix import Candidate, Focus, Search

LAST_LINES = 5  # of the test's output that are shown where nothing mends it


def fix(
    where: Annotated[
        str | None, typer.Argument(metavar="[FILE[:FUNCTION]]", help="Where to look; all that ran by default.")
    ] = None,
    test: Annotated[
        str, typer.Option(metavar="COMMAND", help="The command that fails, and should end with status 0.")
    ] = "pytest -x",
    project: Annotated[Path, typer.Option(metavar="FOLDER", help="The project that the command is run in.")] = Path(),
    runs: Annotated[int, typer.Option(min=1, metavar="N", help="Most runs of the test.")] = 40,
    minutes: Annotated[float, typer.Option(min=0.01, metavar="X", help="Most minutes.")] = 5.0,
    apply: Apply = False,
    as_json: AsJson = False,
    model: Checkpoint = SHIPPED_FOLDER,
    memory: MemoryFolders = None,
    threads: EngineThreads = None,
) -> None:
    """Search for a small edit with which a failing test passes.

    The test runs in a sandbox, on a copy of the project; which lines ran and what failed decides, together with the model, in
    which order edits are tried. What is printed has passed the test. The project stays as it is unless --apply is given. The
    exit status is 1 where no edit was found.

        axl fix --test "pytest -x tests/test_area.py"
        axl fix src/area.py:circle --test "python -m unittest tests.test_area" --apply
    """
    from multiscale_transformer.cli.targets import words_of
    from multiscale_transformer.sandbox.run import Sandbox
    from multiscale_transformer.tasks.fix import ORDER_FILE, Budget, search
    from multiscale_transformer.tasks.fix_order import load_order
    from multiscale_transformer.tasks.test_runs import LIMITS, Project

    if not project.is_dir():
        raise AxlError(f"{project} is no folder; give the folder that the test runs in with --project")
    focus = _focus(project, where) if where else None
    with Sandbox(LIMITS) as sandbox:
        tested, budget = Project(project, words_of(test), sandbox), Budget(runs, 60 * minutes)
        gains = open_gains(model, memory, threads)
        with ui.bar() as bar:
            task = bar.add_task("running the test", total=runs)

            def on_run(number: int, candidate: Candidate) -> None:
                bar.update(task, completed=number, description=f"trying {candidate.file}:{candidate.edit.line}")

            found = search(tested, load_order(ORDER_FILE), gains, budget, focus=focus, on_run=on_run)
    _report(found, project, test, apply=apply, as_json=as_json)


def _focus(project: Path, where: str) -> Focus:
    """What FILE[:FUNCTION] names. Raises AxlError where there is no such file of the project, or function in it."""
    from multiscale_transformer.cli.targets import open_target, split_target
    from multiscale_transformer.tasks.fix import Focus
    from multiscale_transformer.tasks.source_text import first_line

    name, function = split_target(where)
    path = name.resolve()
    if not path.is_file() or not path.is_relative_to(project.resolve()):
        raise AxlError(f"{name} is no file of {project}; give a file of the project that the test runs in")
    file = path.relative_to(project.resolve()).as_posix()
    if not function:
        return Focus(file)
    (node,) = open_target(where).functions.values()
    first = first_line(node)
    return Focus(file, range(first, (node.end_lineno or node.lineno) + 1))


def _report(found: Search, project: Path, test: str, *, apply: bool, as_json: bool) -> None:
    if found.first.passed:
        raise nothing(f"{test} passes as it is", as_json=as_json, runs=0)
    if found.fix is None:
        what = f"none of {found.runs:,} edits mends it, of {found.candidates:,} that there are"
        if not as_json:
            for line in found.first.output.strip().splitlines()[-LAST_LINES:]:
                ui.errors.print(f"  {line}", markup=False, style="dim", soft_wrap=True)
        raise nothing(what, as_json=as_json, runs=found.runs)
    fix = found.fix
    verified = f"{test} ends with status 0, after {ui.counted(fix.runs, 'run')} (kind of edit: {fix.edit.operator})"
    proposal = Shown(project / fix.file, fix.before, fix.after, fix.diff, verified)
    show(proposal, apply=apply, as_json=as_json, runs=fix.runs)
