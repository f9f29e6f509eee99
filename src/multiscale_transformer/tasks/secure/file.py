"""Repairs of the skill secure in a file: functions are judged one by one, and the edits and imports are put into its text."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace

from multiscale_transformer.tasks.fix_order import Gains
from multiscale_transformer.tasks.secure.order import SecureWeights, judge
from multiscale_transformer.tasks.secure.rules import rule_of
from multiscale_transformer.tasks.secure.secure import MAX_FUNCTION, best_verified, flush
from multiscale_transformer.tasks.source_text import Edit, SourceText, first_line, parsed, parses

Function = ast.FunctionDef | ast.AsyncFunctionDef
# What a repair may name that a file has not imported. A name without a dot is proposed only where the file has it.
_IMPORTABLE = {"hmac", "secrets", "html", "shlex", "re", "ast", "json", "os", "tempfile", "hashlib", "ssl", "random", "uuid"}


@dataclass(frozen=True)
class Repaired:
    """A repair of a function of a file, as an edit of the file's text."""

    function: str
    rule: str
    edit: Edit
    probability: float


def repairs_of(source: SourceText, name: str, node: Function, weights: SecureWeights, gains: Gains | None) -> list[Repaired]:
    """The best verified repair of a function of a file, if it is called unsafe; functions that are too long are not judged.

    Raises AxlError where ruff is not installed.
    """
    begin, end = source.whole_lines(node)
    original = source.text[begin:end]
    function = flush(original)
    if function is None or len(function.encode()) > MAX_FUNCTION:
        return []
    try:
        judged = judge(function, weights, gains)
    except (SyntaxError, ValueError, RecursionError):
        return []
    known = bound_names(source.tree) | bound_names(node)
    usable = tuple(edit for edit in judged.edits if not _unknown(function, edit) - known - _IMPORTABLE)
    edit = best_verified(function, replace(judged, edits=usable))
    if edit is None:
        return []
    return [Repaired(name, rule_of(edit), _in_file(edit, function, original, begin, source.text), judged.probability)]


def _in_file(edit: Edit, function: str, original: str, begin: int, text: str) -> Edit:
    """The edit of a function without its indentation as an edit of the file."""
    depth = len(original) - len(original.lstrip(" \t"))
    indentation = original[:depth]

    def place(at: int) -> int:
        before, lines = function[:at].split("\n"), function.split("\n")
        shifted = sum(depth for line in lines[: len(before)] if line.strip())
        return begin + at + shifted

    start, end = place(edit.start), place(edit.end)
    return Edit(start, end, edit.text.replace("\n", f"\n{indentation}"), edit.operator, text.count("\n", 0, start) + 1)


def bound_names(tree: ast.AST) -> set[str]:
    """Names that a tree binds: by imports, assignments, arguments and definitions."""
    found = {"eval"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    return found


def _unknown(function: str, edit: Edit) -> set[str]:
    """Names that a repair reads and the function did not."""
    try:
        before, after = _read(parsed(function)), _read(parsed(edit.apply(function)))
    except (SyntaxError, ValueError, RecursionError):
        return {""}
    return after - before


def _read(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def repaired(source: SourceText, found: Sequence[Repaired]) -> tuple[str, list[Repaired]]:
    """The file's text with all repairs that do not touch each other, and with the imports that they need; and those repairs."""
    kept: list[Repaired] = []
    for one in sorted(found, key=lambda one: (-one.probability, one.edit)):
        if all(one.edit.end < other.edit.start or other.edit.end < one.edit.start for other in kept):
            kept.append(one)
    text = source.text
    for one in sorted(kept, key=lambda one: one.edit, reverse=True):
        text = one.edit.apply(text)
    if not kept or not parses(text):
        return source.text, []
    missing = (_read(parsed(text)) - _read(source.tree)) & _IMPORTABLE - bound_names(source.tree)
    return _imported(text, sorted(missing)), sorted(kept, key=lambda one: one.edit)


def _imported(text: str, modules: Sequence[str]) -> str:
    """The text with imports where they sort among its own, or else before the first statement."""
    for module in modules:
        text = _with_import(text, module)
    return text


def _with_import(text: str, module: str) -> str:
    code = SourceText(text)
    plain = [node for node in code.tree.body if isinstance(node, ast.Import)]
    behind = next((node for node in plain if node.names[0].name > module), None)
    if behind is None and plain:
        at = code.offset((plain[-1].end_lineno or plain[-1].lineno) + 1, 0)
        return f"{text[:at]}import {module}\n{text[at:]}" if text[at - 1 : at] == "\n" else text
    if behind is not None:
        at = code.offset(behind.lineno, 0)
        return f"{text[:at]}import {module}\n{text[at:]}"
    statements = [node for node in code.tree.body if not _is_future(node)]
    own: list[ast.stmt] = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    first = next(iter(own + [node for node in statements if not isinstance(node, ast.Expr)]))
    line = first_line(first)
    at = code.offset(line, 0)
    return f"{text[:at]}import {module}\n{text[at:]}"


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"
