"""`axl test`: assertions for a function, with calls that the model proposes and values that the sandbox fills in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders
from multiscale_transformer.cli.proposals import Apply, AsJson, Shown, nothing, show
from multiscale_transformer.cli.skill_models import open_writer
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    import ast

    from multiscale_transformer.tasks.module_driver import Module


def test(
    where: Annotated[str, typer.Argument(metavar="FILE[:FUNCTION]", help="What to test; default: every function of the file.")],
    into: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the tests go; default: test_NAME.py beside the file.")
    ] = None,
    apply: Apply = False,
    as_json: AsJson = False,
    model: Checkpoint = SHIPPED_FOLDER,
    memory: MemoryFolders = None,
    threads: EngineThreads = None,
) -> None:
    """Write assertions for the functions of a file.

    The model proposes calls, and beside them stand those in the code and random ones; the sandbox runs them, and those are
    kept, five at most, that fail on the most small changes of the function. What is written down is what the function does now:
    read it before you keep it. The exit status is 1 where no call gives a value that can be written down.

        axl test src/area.py:circle
        axl test src/area.py --into tests/test_area.py --apply
    """
    from multiscale_transformer.cli.targets import target_text
    from multiscale_transformer.sandbox.run import Sandbox
    from multiscale_transformer.tasks.calls import LIMITS
    from multiscale_transformer.tasks.source_text import parses, unified_diff
    from multiscale_transformer.tasks.write_tests import propose_calls, with_tests, write_tests

    path, module, functions = _functions(where)
    target = into or path.with_name(f"test_{path.stem}.py")
    before = target_text(target)
    if not parses(before):
        raise AxlError(f"{target} cannot be read as Python; mend it, or name another file with --into")
    writer, tested = open_writer(model, memory, threads), []
    with Sandbox(LIMITS) as sandbox, ui.bar() as bar:
        for function in bar.track(functions, description="running calls"):
            calls = propose_calls(module, function, writer, [before])
            found = write_tests(sandbox, module, function, calls)
            tested += [found] if found.asserts else []
    if not tested:
        raise nothing("no call gives a value that can be written down", as_json=as_json)
    after = with_tests(before, module.name, tested)
    seen, mutants = sum(found.killed for found in tested), sum(found.mutants for found in tested)
    verified = f"each assertion held twice; together they fail on {seen} of {mutants} small changes of the code"
    if after == before:
        raise nothing(f"{target} has tests of these functions already", as_json=as_json)
    proposal = Shown(target, before, after, unified_diff(before, after, target.as_posix()), verified)
    show(proposal, apply=apply, as_json=as_json, killed=seen, mutants=mutants)


def _functions(where: str) -> tuple[Path, Module, list[ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The functions at the top of a file, or the one that is named. Raises AxlError where there is none."""
    from multiscale_transformer.cli.targets import open_target, split_target
    from multiscale_transformer.tasks.module_driver import module_at

    _, wanted = split_target(where)
    target = open_target(where)
    top = {name: node for name, node in target.functions.items() if "." not in name and not name.startswith("test_")}
    functions = list(top.values()) if wanted else [node for name, node in top.items() if name[0] != "_"]
    if not functions and wanted:
        raise AxlError(f"{wanted} is a method or a function in another one; only those at the top of a file are called")
    if not functions:
        raise AxlError(f"{target.path} has no public function at its top; name one, as in {target.path}:function")
    return target.path, module_at(target.path), functions
