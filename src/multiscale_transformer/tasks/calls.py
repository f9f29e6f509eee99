"""Calls of a function with literal arguments: where they come from, and what the function gives for them.

Three sources: what a model writes after `assert f(`, calls of the function with literals in its module, its docstring and other
files, and arguments made at random of the types that the function can take. Only the sandbox says what a call gives.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from multiscale_transformer.sandbox.limits import Limits
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.module_driver import Module, drive
from multiscale_transformer.tasks.source_text import parsed

LIMITS = Limits(seconds=5.0, cpu_seconds=5, memory_mb=512)
CALL_SECONDS = 0.25  # of one call: a mutant of a loop may never end
MAX_VALUE = 200  # characters of a result that may be written down

Source = Literal["model", "code", "random"]

_DRIVER = """
def is_literal(text, value):
    try:
        return len(text) <= MAX_VALUE and bool(ast.literal_eval(text) == value)
    except Exception:
        return False

for call in request["calls"]:
    signal.setitimer(signal.ITIMER_REAL, CALL_SECONDS)
    try:
        value = eval(call, dict(vars(module)))
        text = repr(value)
        report.append(["value", text] if is_literal(text, value) else ["other", type(value).__name__])
    except Late:
        report.append(["late", ""])
    except BaseException as error:
        report.append(["raised", type(error).__name__])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
""".replace("CALL_SECONDS", str(CALL_SECONDS)).replace("MAX_VALUE", str(MAX_VALUE))


class Call(BaseModel):
    """A call expression, and where it comes from."""

    model_config = ConfigDict(frozen=True)

    text: str
    source: Source


class Result(BaseModel):
    """What a call gave: a value that a literal can spell, another value, an exception by its name, or nothing in time."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["value", "other", "raised", "late"]
    text: str


def results_of(sandbox: Sandbox, module: Module, calls: Sequence[Call]) -> list[Result]:
    """What each call gives; all are late where the module does not even load or the program is stopped."""
    report = drive(sandbox, module, _DRIVER, {"calls": [call.text for call in calls]}, LIMITS)
    try:
        return [Result(kind=kind, text=text) for kind, text in report]
    except (TypeError, ValueError):
        return [Result(kind="late", text="")] * len(calls)


def steady_results(sandbox: Sandbox, module: Module, calls: Sequence[Call]) -> list[tuple[Call, Result]]:
    """Calls that give the same twice, and what they give."""
    first, again = results_of(sandbox, module, calls), results_of(sandbox, module, calls)
    return [(call, result) for call, result, other in zip(calls, first, again, strict=True) if result == other]


def literal_call(text: str, function: str) -> str | None:
    """The first call of `function` in a text, if its arguments are literals; as a person would have spaced it."""
    begin = text.find(f"{function}(")
    if begin < 0:
        return None
    for end in (match.end() for match in re.finditer(r"\)", text)):
        try:
            node = ast.parse(text[begin:end], mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        return text[begin:end] if _is_literal_call(node, function) else None
    return None


def _is_literal_call(node: ast.AST, function: str) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function):
        return False
    try:
        for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
            ast.literal_eval(argument)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return False
    return True


def calls_in(texts: Iterable[str], function: str) -> list[Call]:
    """Calls with literal arguments in Python texts and in the doctests of their docstrings."""
    found: dict[str, Call] = {}
    for text in texts:
        try:
            tree = parsed(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        pieces = [text]
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and ">>>" in node.value:
                pieces += re.findall(r">>> (.*)", node.value)
            if _is_literal_call(node, function):
                segment = ast.get_source_segment(text, node)
                if segment is not None:
                    found.setdefault(segment, Call(text=segment, source="code"))
        for piece in pieces[1:]:
            call = literal_call(piece, function)
            if call is not None:
                found.setdefault(call, Call(text=call, source="code"))
    return list(found.values())
