"""Running a JavaScript function on the calls of a Python one, in the sandbox with node, and comparing what both give.

All calls of a function run in one process of node. Tuples are arrays there, dicts objects where their keys are strings and Maps
else; what comes back is compared as Python would: numbers by value (floats up to rounding), sets without an order.
"""

from __future__ import annotations

import ast
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.limits import Limits, Program
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.calls import Call, Result

LIMITS = Limits(seconds=5.0, cpu_seconds=5, memory_mb=512)
MAX_INTEGER = 2**53  # beyond it a number of JavaScript has lost digits
ROUNDING = 1e-9  # relative: the functions of Math are not the same libraries

_DRIVER = """
const report = (value) => {
  if (value === undefined) return ["undefined"];
  if (typeof value === "number" && !Number.isFinite(value)) return ["number", String(value)];
  if (value === null || typeof value !== "object") return typeof value === "function" ? ["function"] : ["value", value];
  if (Array.isArray(value)) return ["list", value.map(report)];
  if (value instanceof Set) return ["set", [...value].map(report)];
  const pairs = value instanceof Map ? [...value] : Object.entries(value);
  return [value instanceof Map ? "map" : "object", pairs.map(([key, one]) => [report(key), report(one)])];
};
const results = [];
for (const call of calls) {
  try {
    results.push(["value", report(call())]);
  } catch (error) {
    results.push(["raised", error.name]);
  }
}
require("fs").writeFileSync("report.json", JSON.stringify(results));
"""


class Unspeakable(Exception):  # noqa: N818 - it is an answer, not a defect
    """A value that JavaScript has no literal for."""


def node_path() -> str:
    """Where node is. Raises AxlError where it is not installed."""
    found = shutil.which("node")
    if found is None:
        raise AxlError("node is not installed, and translations are verified in it: install Node.js 20 or later")
    return str(Path(found).resolve())


def literal(value: object) -> str:  # noqa: PLR0911 - one for each type
    """A value of Python as an expression of JavaScript. Raises Unspeakable."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) <= MAX_INTEGER:
        return str(value)
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(value) if math.isfinite(value) else f"{'-' if value < 0 else ''}Infinity"
    if (isinstance(value, str) and value.isprintable()) or (
        isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)
    ):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        text = f"[{', '.join(map(literal, value))}]"
        return f"$tuple({text})" if isinstance(value, tuple) else text
    if isinstance(value, set | frozenset):
        return f"new Set([{', '.join(literal(one) for one in value)}])"
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return f"({{{', '.join(f'[{literal(key)}]: {literal(one)}' for key, one in value.items())}}})"
        return f"new Map([{', '.join(f'[{literal(key)}, {literal(one)}]' for key, one in value.items())}])"
    raise Unspeakable(f"a value of type {type(value).__name__}")


def arguments_of(call: Call, parameters: Sequence[str]) -> list[Any] | None:
    """The values of a call's arguments in the order of the parameters; None where they are no literals or leave one out."""
    try:
        node = ast.parse(call.text, mode="eval").body
        if not isinstance(node, ast.Call):
            return None
        values = [ast.literal_eval(one) for one in node.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None
    rest = parameters[len(values) : len(values) + len(named)]
    return [*values, *(named[name] for name in rest)] if set(rest) == set(named) else None


def run_javascript(sandbox: Sandbox, code: str, function: str, arguments: Sequence[Sequence[object]]) -> list[tuple[str, Any]]:
    """What a function of a JavaScript text gives for each list of arguments: ("value", what `report` makes of it), ("raised",
    name of the error), or ("late", ""), all of which are late where the text does not parse or runs too long.

    Raises AxlError where node is missing, and Unspeakable for arguments that JavaScript has no literal for.
    """
    calls = ",\n".join(f"() => {function}({', '.join(map(literal, given))})" for given in arguments)
    intern = 'const $tuple = (items) => (typeof intern === "function" ? intern(items) : items);'
    program = Program(
        files={"call.js": f"{code}\n;{intern}\nconst calls = [\n{calls}\n];\n{{{_DRIVER}}}"},
        command=(node_path(), "call.js"),
        reserves_memory=True,
        results=("report.json",),
    )
    outcome = sandbox.run(program, limits=LIMITS)
    try:
        found = [(str(kind), value) for kind, value in json.loads(outcome.files["report.json"])]
    except (KeyError, ValueError, TypeError):
        found = []
    return found if len(found) == len(arguments) else [("late", "")] * len(arguments)


def agrees(python: Result, javascript: tuple[str, Any]) -> bool:
    """Whether a call gave the same on both sides; one exception is as good as another."""
    kind, value = javascript
    if python.kind != "value" or kind != "value":
        return python.kind == kind == "raised"
    wanted = ast.literal_eval(python.text)
    return (wanted is None and value == ["undefined"]) or same_value(wanted, value)


def same_value(wanted: object, found: Any) -> bool:  # noqa: PLR0911 - one for each type
    """Whether a value of Python is what `report` says of one of JavaScript."""
    kind: str = found[0]
    content: Any = found[1] if len(found) > 1 else None
    if isinstance(wanted, bool) or wanted is None or isinstance(wanted, str):
        return kind == "value" and type(content) is type(wanted) and content == wanted
    if isinstance(wanted, int | float):
        if kind == "number":
            return str(wanted) == {"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}[content]
        if kind != "value" or isinstance(content, bool) or not isinstance(content, int | float):
            return False
        return content == wanted or (
            isinstance(wanted, float) and math.isclose(content, wanted, rel_tol=ROUNDING, abs_tol=1e-12)
        )
    if isinstance(wanted, list | tuple):
        return kind == "list" and len(content) == len(wanted) and all(map(same_value, wanted, content))
    if isinstance(wanted, set | frozenset):
        return kind == "set" and _matched(list(wanted), content, same_value)
    if isinstance(wanted, dict):
        return kind in ("map", "object") and _matched(list(wanted.items()), content, _same_pair)
    return False


def _same_pair(wanted: tuple[object, object], found: Any) -> bool:
    key, value = found
    named = key[0] == "value" and isinstance(wanted[0], int) and not isinstance(wanted[0], bool) and key[1] == str(wanted[0])
    return (named or same_value(wanted[0], key)) and same_value(wanted[1], value)


def _matched(wanted: list[Any], found: list[Any], same: Any) -> bool:
    """Whether each of `wanted` is one of `found`, and the other way round."""
    if len(wanted) != len(found):
        return False
    left = list(found)
    for one in wanted:
        at = next((at for at, other in enumerate(left) if same(one, other)), None)
        if at is None:
            return False
        del left[at]
    return True
