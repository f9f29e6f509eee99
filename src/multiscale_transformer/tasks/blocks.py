"""The function around an edit, as a text that parses by itself: of a long file, an edit is parsed with what it can change."""

from __future__ import annotations

import ast

from multiscale_transformer.tasks.source_text import Edit, SourceText, first_line, parsed, parses

_HEAD = "if 1:\n"  # before what is indented


class Block:
    """A function of a source, or all of it. Its tree's line numbers plus `lines_before` are those of the source."""

    def __init__(self, source: SourceText, begin: int, end: int, line: int) -> None:
        self._source, self._begin, self._end = source.text, begin, end
        self._head = _HEAD if source.text[begin : begin + 1] in (" ", "\t") else ""
        self.lines_before = line - 1 - bool(self._head)
        self.tree = parsed(self._head + source.text[begin:end])

    def after(self, edit: Edit) -> str:
        """Its text after an edit that lies in it."""
        return self._head + edit.within(self._source, self._begin, self._end)


class Blocks:
    """The blocks of a source, each parsed when an edit lies in it."""

    def __init__(self, source: SourceText) -> None:
        self._source = source
        spans = [(*source.whole_lines(node), first_line(node)) for node in source.functions()]
        self._spans = [(0, len(source.text), 1), *sorted(spans, key=lambda span: span[0] - span[1])]  # the smallest last
        self._known: dict[tuple[int, int, int], Block] = {}

    def around(self, edit: Edit) -> Block:
        """The smallest block that an edit lies in."""
        span = next(span for span in reversed(self._spans) if span[0] <= edit.start and edit.end <= span[1])
        if span not in self._known:
            self._known[span] = Block(self._source, *span)
        return self._known[span]

    def parses(self, edit: Edit) -> bool:
        """Whether the source parses after an edit."""
        return parses(self.around(edit).after(edit))


def statements_of(tree: ast.Module) -> list[ast.stmt]:
    """All statements, outer ones first."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
