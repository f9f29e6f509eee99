"""`axl translate`: JavaScript for the functions of a Python file, verified in node."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders
from multiscale_transformer.cli.proposals import AsJson, Shown, nothing, write_change
from multiscale_transformer.cli.skill_models import open_writer
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.tasks.translate import Translation


def translate(
    where: Annotated[
        str,
        typer.Argument(metavar="FILE[:FUNCTION]", help="What to translate; default: every function at the top of the file."),
    ],
    to: Annotated[Literal["javascript"], typer.Option("--to", help="The other language.")] = "javascript",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where --apply writes, a new file; default: NAME.js beside the first.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", metavar="", help="Write the JavaScript into a file.")] = False,
    as_json: AsJson = False,
    model: Checkpoint = SHIPPED_FOLDER,
    memory: MemoryFolders = None,
    threads: EngineThreads = None,
) -> None:
    """Translate the functions of a Python file into JavaScript.

    Rules translate what they know, a model that was trained for it proposes for the rest, and node decides: printed is what
    gives the same results as Python on calls from the code and on varied or random ones. Integers beyond 2^53, and what Python
    raises for a missing key or index, are not held. The exit status is 1 where nothing passes.

        axl translate src/area.py:circle
        axl translate src/area.py --apply
    """
    from multiscale_transformer.cli.targets import open_target, split_target, target_text
    from multiscale_transformer.sandbox.run import Sandbox
    from multiscale_transformer.tasks.calls import LIMITS
    from multiscale_transformer.tasks.javascript import node_path
    from multiscale_transformer.tasks.module_driver import module_at
    from multiscale_transformer.tasks.source_text import unified_diff
    from multiscale_transformer.tasks.translate import TASK, merged
    from multiscale_transformer.tasks.translate import translate as translated
    from multiscale_transformer.zoo.training_record import trained_skills

    target = open_target(where)
    path = out or target.path.with_suffix(".js")
    before = target_text(path)
    if apply and before:
        raise AxlError(f"{path} exists and would be replaced; give another --out, or delete it")
    node_path()
    named = split_target(where)[1]
    functions = [node for name, node in target.functions.items() if "." not in name and (named or name[0] != "_")]
    if not functions:
        raise AxlError(f"{where} has no function at its top that could be translated; methods are not")
    module = module_at(target.path)
    writer = cache(lambda: open_writer(model, memory, threads)) if TASK in trained_skills(model) else None
    with Sandbox(LIMITS) as sandbox, ui.bar() as bar:
        tracked = bar.track(functions, description="running calls")
        tried = {node.name: translated(sandbox, module, node, writer) for node in tracked if isinstance(node, ast.FunctionDef)}
    found = {name: one for name, one in tried.items() if one is not None}
    left = [node.name for node in functions if node.name not in found]
    if not found:
        raise nothing("no translation gives the same results as Python", as_json=as_json, language=to, functions=left)
    after = merged(found.values())
    verified = "; ".join(f"{name}: {_verified(one)}" for name, one in found.items())
    change = Shown(path, before, after, unified_diff(before, after, path.as_posix()), verified)
    if apply:
        write_change(change)
    _show(found, left, change, applied=apply, as_json=as_json)


def _verified(translation: Translation) -> str:
    return f"the same results as Python on {translation.calls} of {translation.calls} calls"


def _show(found: dict[str, Translation], left: list[str], change: Shown, *, applied: bool, as_json: bool) -> None:
    if as_json:
        functions = [
            {"function": name, "javascript": one.javascript, "verified": _verified(one), "source": one.source}
            for name, one in found.items()
        ]
        file = str(change.path) if applied else None
        facts = {"file": file, "diff": change.diff, "verified": change.verified, "applied": applied}
        ui.print_line(json.dumps({**facts, "translations": functions, "left": left}))
        return
    for name, one in found.items():
        ui.write(one.javascript)
        ui.print_text("")
        ui.print_field("Verified", f"{name}: {_verified(one)}; written by {one.source}")
        ui.print_text("")
    if left:
        ui.print_field("Left out", ", ".join(left))
    if applied:
        ui.print_field("Applied", f"to {change.path}")
