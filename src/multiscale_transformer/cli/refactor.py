"""`axl refactor`: edits of a few lines that a linter asks for, and that still do the same."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders
from multiscale_transformer.cli.proposals import Apply, AsJson, Shown, nothing, show
from multiscale_transformer.cli.skill_models import open_writer
from multiscale_transformer.cli.targets import open_target, words_of
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.sandbox.run import Sandbox
    from multiscale_transformer.tasks.refactor_file import Refactored, Tests


def refactor(
    where: Annotated[
        str, typer.Argument(metavar="FILE[:FUNCTION]", help="What to refactor; default: all functions of the file.")
    ],
    test: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="A command that has to end with status 0 after every edit.")
    ] = None,
    project: Annotated[Path, typer.Option(metavar="FOLDER", help="The project that the command is run in.")] = Path(),
    rules_alone: Annotated[
        bool, typer.Option("--rules-alone", metavar="", help="Leave out what the model would propose.")
    ] = False,
    apply: Apply = False,
    as_json: AsJson = False,
    model: Checkpoint = SHIPPED_FOLDER,
    memory: MemoryFolders = None,
    threads: EngineThreads = None,
) -> None:
    """Rewrite what a linter finds in functions, where it is shown that they still do the same.

    ruff finds, and proposes where it has a fix; then a memory of edits proposes, and a model that was trained for it. Kept is
    what parses, loses a finding and brings no new one. Beside fixes that ruff calls safe, an edit needs a witness: the --test
    passes, or calls of the function give in the sandbox what they gave before. The exit status is 1 where nothing is to be
    proposed.

        axl refactor src/area.py
        axl refactor src/area.py:Circle.area --test "pytest -x tests/test_area.py" --apply
    """
    from multiscale_transformer.tasks.module_driver import module_at
    from multiscale_transformer.tasks.refactor import TASK
    from multiscale_transformer.tasks.refactor_file import FileRefactoring
    from multiscale_transformer.tasks.source_text import unified_diff
    from multiscale_transformer.zoo.training_record import trained_skills

    if test is None and project != Path():
        raise AxlError("--project goes with --test")
    target = open_target(where)
    with ExitStack() as stack:
        sandbox = _sandbox(stack, needed=test is not None)
        tests = _tests(project, test, target.path, sandbox) if test is not None and sandbox else None
        asked = not rules_alone and sandbox is not None and TASK in trained_skills(model)
        writer = open_writer(model, memory, threads) if asked else None
        bar = stack.enter_context(ui.bar())
        task = bar.add_task("looking", total=None)
        refactoring = FileRefactoring(module_at(target.path), writer, sandbox, tests)
        found = refactoring.run(
            list(target.functions),
            lambda finding: bar.update(task, description=f"line {finding.line}: {finding.message}"[:60]),
        )
    if not found.edits:
        raise nothing(_left(found) or "nothing is found that an edit would mend", as_json=as_json, edits=[])
    after = found.text
    witnesses = Counter(f"{edit.rule} by {edit.by}: {edit.verified}" for edit in found.edits)
    lines = [f"{text} ({count} times)" if count > 1 else text for text, count in witnesses.items()]
    verified = f"{ui.counted(len(found.edits), 'finding')} gone, none new; " + "; ".join(lines)
    diff = unified_diff(target.source.text, after, target.path.as_posix())
    proposal = Shown(target.path, target.source.text, after, diff, verified)
    show(proposal, apply=apply, as_json=as_json, edits=[vars(edit) for edit in found.edits], unverified=dict(found.unverified))
    if not as_json and _left(found):
        ui.note(_left(found))


def _left(found: Refactored) -> str:
    count = sum(found.unverified.values())
    if not count:
        return ""
    return f"for {ui.counted(count, 'finding')} no edit could be verified ({', '.join(sorted(found.unverified))})"


def _sandbox(stack: ExitStack, *, needed: bool) -> Sandbox | None:
    """The sandbox; None on a system without one, where only safe fixes are kept."""
    from multiscale_transformer.sandbox.run import Sandbox
    from multiscale_transformer.tasks.test_runs import LIMITS

    try:
        return stack.enter_context(Sandbox(LIMITS))
    except AxlError as error:
        if needed:
            raise
        ui.note(f"only fixes that ruff calls safe are shown: {error}")
        return None


def _tests(project: Path, command: str, path: Path, sandbox: Sandbox) -> Tests:
    """Whether the test passes with another text of a file. Raises AxlError where it fails as it is."""
    from multiscale_transformer.tasks.test_runs import Project

    if not project.is_dir() or not path.resolve().is_relative_to(project.resolve()):
        raise AxlError(f"{path} is no file of {project}; give the folder that the test runs in with --project")
    tested = Project(project, words_of(command), sandbox)
    file = path.resolve().relative_to(project.resolve()).as_posix()
    if not tested.run().passed:
        raise AxlError(f"{command} fails before anything is changed; axl fix looks for an edit that mends it")
    return lambda text: tested.run({file: text}).passed
