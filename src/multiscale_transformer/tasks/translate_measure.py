"""How many functions of MBPP and HumanEval-X the rules translate, and how many of them rightly.

Right is what passes the tests: in MBPP node gives what Python gives on all calls of the assertions, in HumanEval-X (Zheng et
al. 2023, arXiv 2303.17568) the benchmark's own JavaScript tests pass for the translation of HumanEval's solution in Python.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.limits import Program
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.bugs import Checked
from multiscale_transformer.tasks.calls import calls_in, results_of
from multiscale_transformer.tasks.javascript import LIMITS, Unspeakable, agrees, arguments_of, node_path, run_javascript
from multiscale_transformer.tasks.module_driver import Module
from multiscale_transformer.tasks.source_text import parsed
from multiscale_transformer.tasks.transpile.transpile import transpile
from multiscale_transformer.tasks.transpile.types import Untranslatable


@dataclass
class Share:
    """Of `tasks`, how many were translated and how many `right`; `unjudged` are those whose results `tasks.calls` does not
    write down, as they are long or no literals. `refused` are the reasons for the others."""

    tasks: int = 0
    translated: int = 0
    right: int = 0
    unjudged: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


def measure_mbpp(sandbox: Sandbox, programs: Iterable[Checked]) -> Share:
    """The rules on programs with assertions, of which the first function that these call is translated."""
    share = Share()
    for checked in programs:
        share.tasks += 1
        text = f"{checked.setup}\n{checked.code}"
        try:
            functions = {node.name: node for node in parsed(text).body if isinstance(node, ast.FunctionDef)}
            name = next(name for name in re.findall(r"\w+", checked.tests[0]) if name in functions)
            calls = calls_in(checked.tests, name)
            arguments = [arguments_of(call, [one.arg for one in functions[name].args.args]) for call in calls]
            given = [values for values in arguments if values is not None]
            if not calls or len(given) < len(calls):
                raise Untranslatable("calls without literals")
            javascript = transpile(text, name, given)
            found = run_javascript(sandbox, javascript, name, given)
        except (SyntaxError, StopIteration, Unspeakable, Untranslatable) as error:
            share.refused[re.sub(r"line \d+: ", "", str(error))] += 1
            continue
        wanted = results_of(sandbox, Module(text), calls)
        share.translated += 1
        if all(map(agrees, wanted, found)):
            share.right += 1
        elif any(one.kind in ("other", "late") for one in wanted):
            share.unjudged += 1
        else:
            share.wrong.append(checked.name)
    return share


def measure_humaneval_x(sandbox: Sandbox, python: Path, javascript: Path) -> Share:
    """The rules on HumanEval's solutions (`HumanEval.jsonl.gz`), tested as `humaneval_js.jsonl.gz` tests JavaScript."""
    share = Share()
    for one, other in zip(_rows(python), _rows(javascript), strict=True):
        share.tasks += 1
        text, name = one["prompt"] + one["canonical_solution"], one["entry_point"]
        node = next(node for node in parsed(text).body if isinstance(node, ast.FunctionDef) and node.name == name)
        calls = calls_in([one["test"].replace("candidate(", f"{name}("), text], name)
        arguments = [arguments_of(call, [parameter.arg for parameter in node.args.args]) for call in calls]
        try:
            code = transpile(text, name, [values for values in arguments if values is not None])
        except Untranslatable as error:
            share.refused[re.sub(r"line \d+: ", "", str(error))] += 1
            continue
        share.translated += 1
        theirs = re.findall(r"const (\w+) = \(", other["declaration"])[-1]
        alias = "" if theirs == name else f"const {theirs} = {name};\n"
        files = {"test.js": f"{code}\n{alias}{other['test']}"}
        outcome = sandbox.run(Program(files=files, command=(node_path(), "test.js"), reserves_memory=True), limits=LIMITS)
        if outcome.ok and "Assertion failed" not in outcome.stderr + outcome.stdout:
            share.right += 1
        else:
            share.wrong.append(one["task_id"])
    return share


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except (OSError, ValueError) as error:
        raise AxlError(f"{path} is no file of HumanEval ({error})") from None
