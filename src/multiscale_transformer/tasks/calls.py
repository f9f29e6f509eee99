"""Calls of a function with literal arguments: where they come from, and what the function gives for them.

Three sources: what a model writes after `assert f(`, calls of the function with literals in its module, its docstring and other
files, and arguments made at random of the types that the function can take. Only the sandbox says what a call gives.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
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


_KINDS = ("int", "str", "list[int]", "list[str]", "float", "bool", "tuple[int]", "list[list[int]]", "list[tuple]", "dict")


def random_calls(function: ast.FunctionDef | ast.AsyncFunctionDef, count: int, rng: random.Random) -> Iterator[Call]:
    """Calls with random arguments: of the annotated type where it is a simple one, else of any."""
    arguments = [
        argument for argument in (*function.args.posonlyargs, *function.args.args) if argument.arg not in ("self", "cls")
    ]
    kinds = [_annotated(argument) for argument in arguments]
    for _ in range(count):
        drawn = [kind or rng.choice(_KINDS) for kind in kinds]
        yield Call(text=f"{function.name}({', '.join(repr(_random(kind, rng)) for kind in drawn)})", source="random")


def _annotated(argument: ast.arg) -> str | None:
    if argument.annotation is None:
        return None
    text = ast.unparse(argument.annotation).replace("typing.", "")
    known = {"List[int]": "list[int]", "List[str]": "list[str]", "list": "list[int]", "tuple": "tuple[int]"}
    text = known.get(text, text)
    return text if text in _KINDS else None


def _random(kind: str, rng: random.Random) -> object:
    simple: dict[str, Callable[[], object]] = {
        "int": lambda: rng.choice((0, 1, 2, 3, 5, 10, -1, rng.randint(-20, 100))),
        "float": lambda: round(rng.uniform(-10, 10), 2),
        "bool": lambda: rng.random() < 0.5,
        "str": lambda: "".join(rng.choice("abcXYZ019 _-") for _ in range(rng.randint(0, 8))),
    }
    if kind in simple:
        return simple[kind]()
    length = rng.randint(0, 5)
    if kind == "dict":
        return {_random("str", rng): _random("int", rng) for _ in range(length)}
    if kind == "list[tuple]":
        return [(_random("str", rng), _random("int", rng)) for _ in range(length)]
    inner = kind[kind.index("[") + 1 : -1]
    items = [_random(inner, rng) for _ in range(length)]
    return tuple(items) if kind.startswith("tuple") else items
