"""What verifies a repair of the skill secure, and what linters say of the same functions: ruff's S rules, and bandit.

A function alone imports nothing, and linters know `subprocess.run` by its import, so a header of imports is put before it.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.lint import lint
from multiscale_transformer.tasks.secure.code import Code
from multiscale_transformer.tasks.secure.rules import RULES, WRAPPED, repairs, rule_of
from multiscale_transformer.tasks.source_text import Edit, parsed

_MODULES = ("ast", "hashlib", "hmac", "html", "json", "marshal", "os", "pickle", "random", "re", "requests", "secrets", "shlex",
            "socket", "ssl", "subprocess", "tarfile", "tempfile", "urllib.request", "uuid", "yaml", "httpx")  # fmt: skip
HEADER = "".join(f"import {module}\n" for module in _MODULES) + (
    "from subprocess import Popen, check_call, check_output\nfrom hashlib import md5, sha1, sha256\n"
    "from tempfile import mkdtemp, mktemp\nfrom urllib.request import urlopen\n"
)
_HEADER_LINES = HEADER.count("\n")
_NOISE = {"S101", "S603", "S607", "B101", "B603", "B607"}  # asserts, and any program that is started
_TELLING = set(RULES) - {*WRAPPED, "compare"}  # rules whose places are few; a value that a call takes can always be escaped
_SECONDS = 300


def verified(function: str, repair: Edit) -> bool:
    """Whether a repair leaves the function's name and arguments, with fewer places of its rule, and no more of another."""
    after = repair.apply(function)
    try:
        before_code, after_code = Code(function), Code(after)
    except (SyntaxError, ValueError, RecursionError):
        return False
    if _head(before_code) != _head(after_code):
        return False
    before, now = _places(before_code), _places(after_code)
    rule = rule_of(repair)
    return now[rule] < before[rule] and all(now[other] <= before[other] for other in now if other in _TELLING)


def _places(code: Code) -> Counter[str]:
    return Counter(rule for rule, _, _ in {(rule_of(edit), edit.start, edit.end) for edit in repairs(code)})


def _head(code: Code) -> list[str]:
    """Name, arguments, decorators and result of each function of a text."""
    return [f"{node.name} {ast.dump(node.args)} {len(node.decorator_list)}" for node in code.functions()]


def no_new_findings(function: str, afters: Sequence[str]) -> list[bool]:
    """For each text whether ruff's S rules find in it nothing more than in the function. Raises AxlError as `lint`."""
    before, *others = ruff_findings([function, *afters])
    return [not now - before for now in others]


def ruff_findings(functions: Sequence[str]) -> list[Counter[str]]:
    """How often each S rule of ruff finds something in each function. Raises AxlError as `lint`."""
    counts: list[Counter[str]] = [Counter() for _ in functions]
    for finding in lint({str(number): HEADER + function for number, function in enumerate(functions)}, rules="S"):
        if finding.line > _HEADER_LINES and finding.rule not in _NOISE:
            counts[int(finding.name)][finding.rule] += 1
    return counts


def bandit_findings(functions: Sequence[str]) -> list[Counter[str]] | None:
    """The same of bandit; None where it is not installed. Raises AxlError where it does not run."""
    if importlib.util.find_spec("bandit") is None:
        return None
    counts: list[Counter[str]] = [Counter() for _ in functions]
    with tempfile.TemporaryDirectory() as scratch:
        for number, function in enumerate(functions):
            (Path(scratch) / f"{number:06d}.py").write_text(HEADER + function, encoding="utf-8")
        words = [sys.executable, "-m", "bandit", "-q", "-r", scratch, "-f", "json", "--exit-zero"]
        try:
            ran = subprocess.run(words, check=True, capture_output=True, timeout=_SECONDS)
            rows = json.loads(ran.stdout)["results"]
        except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
            raise AxlError(f"bandit does not run ({error})") from None
    for row in rows:
        if row["line_number"] > _HEADER_LINES and row["test_id"] not in _NOISE:
            counts[int(Path(row["filename"]).stem)][row["test_id"]] += 1
    return counts


class _InOrder(ast.NodeTransformer):
    """Keywords of calls in the order of their names: how they are written does not matter."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """One call."""
        self.generic_visit(node)
        node.keywords.sort(key=lambda keyword: keyword.arg or "")
        return node


def same_code(one: str, other: str) -> bool:
    """Whether two texts have the same syntax tree, but for the order of keywords."""
    try:
        return ast.dump(_InOrder().visit(parsed(one))) == ast.dump(_InOrder().visit(parsed(other)))
    except (SyntaxError, ValueError, RecursionError):
        return False
