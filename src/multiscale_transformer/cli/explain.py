"""`axl explain`: what a function does with a call, step by step, as the interpreter saw it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders
from multiscale_transformer.cli.proposals import NOTHING, AsJson
from multiscale_transformer.cli.skill_models import open_writer
from multiscale_transformer.cli.targets import Function, Target, open_target
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.tasks.traces import Trace
    from multiscale_transformer.tasks.writer import Writer

MOST_ROWS = 60  # steps that are shown


def explain(
    where: Annotated[str, typer.Argument(metavar="FILE:FUNCTION", help="The function.")],
    call: Annotated[
        str | None, typer.Option(metavar="CALL", help='A call to follow, as "area(2, 3)"; default: one that runs most lines.')
    ] = None,
    as_json: AsJson = False,
    model: Checkpoint = SHIPPED_FOLDER,
    memory: MemoryFolders = None,
    threads: EngineThreads = None,
) -> None:
    """Follow a call of a function: the lines that run, what each changes, and the value.

    Without --call the model proposes calls, beside those in the code and random ones, and the one is shown that runs the most
    lines. It runs in the sandbox, so nothing of yours is changed. The exit status is 1 where no call gets through.

        axl explain src/area.py:circle
        axl explain src/area.py:circle --call "circle(2)"
    """
    target = open_target(where)
    ((name, node),) = _only(target)
    chosen = _follow(target, node, call, lambda: open_writer(model, memory, threads))
    if chosen is None:
        if as_json:
            ui.print_line(json.dumps({"function": name, "call": call, "steps": None, "value": None}))
        else:
            ui.print_text("no call of it comes to an end in the sandbox; give one with --call")
        raise typer.Exit(NOTHING)
    text, trace = chosen
    if as_json:
        steps = [{"line": node.lineno + step.line - 1, "changed": step.changed} for step in trace.steps]
        ui.print_line(json.dumps({"function": name, "call": text, "steps": steps, "value": trace.value, "error": trace.error}))
    else:
        _show(target, node, text, trace)


def _only(target: Target) -> list[tuple[str, Function]]:
    top = [(name, node) for name, node in target.functions.items() if "." not in name]
    if len(top) != 1:
        names = ", ".join(name for name, _ in top) or "none"
        raise AxlError(f"name one function at the top of {target.path}, as in {target.path}:NAME (there are: {names})")
    return top


def _follow(target: Target, node: Function, call: str | None, opened: Callable[[], Writer]) -> tuple[str, Trace] | None:
    """The call that is followed, and its trace: the one that was asked for, or of several the one that runs most lines."""
    from multiscale_transformer.sandbox.run import Sandbox
    from multiscale_transformer.tasks.module_driver import module_at
    from multiscale_transformer.tasks.traces import LIMITS, traces_of
    from multiscale_transformer.tasks.write_tests import propose_calls

    module = module_at(target.path)
    with Sandbox(LIMITS) as sandbox:
        calls = [call] if call else [one.text for one in propose_calls(module, node, opened())]
        traces = traces_of(sandbox, module, node.name, node.lineno, calls)
    ended = [
        (text, trace) for text, trace in zip(calls, traces, strict=True) if trace is not None and (call or not trace.error)
    ]
    return max(ended, key=lambda one: (len({step.line for step in one[1].steps}), -len(one[1].steps)), default=None)


def _show(target: Target, node: Function, call: str, trace: Trace) -> None:
    table = ui.new_table(call, ["line >", "", "then"])
    for step in trace.steps[:MOST_ROWS]:
        line = node.lineno + step.line - 1
        changed = ", ".join(f"{name} = {value}" for name, value in step.changed.items())
        table.add_row(str(line), Text(target.source.line(line).rstrip()), Text(changed, "cyan"))
    ui.show_table(table)
    if len(trace.steps) > MOST_ROWS:
        ui.print_text(f"and {len(trace.steps) - MOST_ROWS:,} more steps")
    ui.print_field("Value", f"raises {trace.error}" if trace.value is None else trace.value)
    ui.print_field("Verified", "by the interpreter, which ran it")
