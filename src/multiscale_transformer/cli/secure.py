"""`axl secure`: unsafe code in the functions of a file, and the edits that make it safe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.proposals import Apply, AsJson, Shown, nothing, show
from multiscale_transformer.cli.targets import open_target

if TYPE_CHECKING:
    from multiscale_transformer.tasks.secure.file import Repaired


def secure(
    where: Annotated[str, typer.Argument(metavar="FILE[:FUNCTION]", help="The file, or one function of it.")],
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Find unsafe code in the functions of a file, and propose safe code for it.

    Rules propose repairs, and weights that were learnt from real code decide which functions need one; a model was tried and
    adds nothing to them. What is printed parses, keeps the names and arguments of the function, and brings no finding of
    ruff's security rules. No code is run. It is a second pair of eyes, no proof: some alarms are false, and much that is unsafe
    is not seen. The exit status is 1 where nothing is to be proposed.

        axl secure src/app/login.py
        axl secure src/app/login.py:Session.check --apply
    """
    from multiscale_transformer.tasks.secure.file import repaired, repairs_of
    from multiscale_transformer.tasks.secure.order import load_weights

    target = open_target(where)
    weights = load_weights()
    with ui.bar() as bar:
        task = bar.add_task("reading functions", total=len(target.functions))
        found: list[Repaired] = []
        for name, node in target.functions.items():
            found += repairs_of(target.source, name, node, weights, None)
            bar.advance(task)
    after, kept = repaired(target.source, found)
    if not kept:
        functions = ui.counted(len(target.functions), "function")
        raise nothing(f"nothing unsafe was found in {functions} of {target.path}", as_json=as_json, repairs=[])
    _report(target.path, target.source.text, after, kept, apply=apply, as_json=as_json)


def _report(path: Path, before: str, after: str, kept: list[Repaired], *, apply: bool, as_json: bool) -> None:
    from multiscale_transformer.tasks.source_text import unified_diff

    names = ", ".join(f"{one.function} ({one.rule}, {one.probability:.0%})" for one in kept)
    verified = f"it parses, same names and arguments, the unsafe form is gone, no new finding of ruff S: {names}"
    proposal = Shown(path, before, after, unified_diff(before, after, path.as_posix()), verified)
    repairs = [
        {"function": one.function, "rule": one.rule, "line": one.edit.line, "probability": round(one.probability, 3)}
        for one in kept
    ]
    show(proposal, apply=apply, as_json=as_json, repairs=repairs)
