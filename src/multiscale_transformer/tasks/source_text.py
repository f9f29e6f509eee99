"""A Python source with its syntax tree, and where in the text each node stands: what edits of the text are made from.

Edits change the text and nothing else, so comments, quotes and spacing stay as a person wrote them. `ast.unparse` would rewrite
all of it, and a model that learns from such text learns to see that a tool wrote it.
"""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, order=True)
class Edit:
    """Characters `start` to `end` of a source become `text`; `operator` is what kind of edit it is, `line` (from 1) where."""

    start: int
    end: int
    text: str
    operator: str
    line: int

    def apply(self, source: str) -> str:
        """The edited source."""
        return source[: self.start] + self.text + source[self.end :]

    def whole_lines(self, source: str) -> tuple[int, int]:
        """The lines that it touches, from the beginning of the first to the end of the last, without its newline."""
        begin, end = source.rfind("\n", 0, self.start) + 1, source.find("\n", self.end)
        return begin, len(source) if end < 0 else end

    def within(self, source: str, begin: int, end: int) -> str:
        """What it makes of the characters `begin` to `end`, between which it lies."""
        return source[begin : self.start] + self.text + source[self.end : end]

    def inverse(self, source: str) -> Edit:
        """The edit of the edited source that brings `source` back."""
        return Edit(self.start, self.start + len(self.text), source[self.start : self.end], self.operator, self.line)


class SourceText:
    """A parsed source. Raises SyntaxError, ValueError or RecursionError for what Python does not parse."""

    def __init__(self, text: str) -> None:
        self.text, self.tree = text, parsed(text)
        self._lines = _lines(text)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def offset(self, line: int, column: int) -> int:
        """The character at a line (from 1) and a column in UTF-8 bytes, as `ast` counts."""
        if line > len(self._lines):
            return len(self.text)
        content = self._lines[line - 1]
        within = column if content.isascii() else len(content.encode()[:column].decode(errors="ignore"))
        return self._starts[line - 1] + within

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node begins and ends."""
        begin = self.offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        return begin, self.offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def whole_lines(self, node: ast.stmt) -> tuple[int, int]:
        """Where a definition begins, with its decorators and the indentation of its first line, and where it ends."""
        return self.offset(first_line(node), 0), self.span(node)[1]

    def of(self, node: ast.AST) -> str:
        """The text of a node."""
        begin, end = self.span(node)
        return self.text[begin:end]

    def line(self, number: int) -> str:
        """The text of a line (from 1), with its end."""
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    @cached_property
    def tokens(self) -> list[tuple[int, int, str]]:
        """Operators and names: where each begins and ends, and what it is."""
        found = []
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type in (tokenize.OP, tokenize.NAME):
                start = self._starts[token.start[0] - 1] + token.start[1]
                found.append((start, start + len(token.string), token.string))
        return found

    def token_between(self, begin: int, end: int, words: tuple[str, ...]) -> tuple[int, int] | None:
        """Where the tokens `words` stand in a row between two characters, with nothing else but brackets around them."""
        inside = [token for token in self.tokens if begin <= token[0] and token[1] <= end]
        for at in range(len(inside) - len(words) + 1):
            if tuple(text for _, _, text in inside[at : at + len(words)]) == words:
                return inside[at][0], inside[at + len(words) - 1][1]
        return None

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """All functions and methods, outer ones first."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def first_line(node: ast.stmt) -> int:
    """The line (from 1) on which a statement begins; of a definition, that of its first decorator."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _lines(text: str) -> list[str]:
    """Lines as Python counts them; `splitlines` would also break at form feeds and other marks."""
    return io.StringIO(text, newline="\n").readlines()


def qualified_functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions and methods below a node with their qualified names, such as `Class.method`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name, child
        name = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else None
        yield from qualified_functions(child, prefix if name is None else f"{prefix}{name}.")


def parsed(text: str | bytes) -> ast.Module:
    """The syntax tree of a text; what Python would warn of is not our business. Raises as `ast.parse`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def parses(text: str) -> bool:
    """Whether Python can parse a text."""
    try:
        parsed(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def unified_diff(before: str, after: str, name: str) -> str:
    """The difference as `diff -u` and git write it; a file that was empty did not exist."""
    old = f"a/{name}" if before else "/dev/null"
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), old, f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
