"""Trees of code without comments, and the subtrees that two of them share: the syntax match of CodeBLEU.

A subtree is a node that has children, with everything below it that has a name in the grammar: types and fields count, texts do
not, so renaming changes nothing. Each gets a number, equal for equal subtrees, from the numbers of its children; so deep trees
cost no more than flat ones, where written out they would take the square of the text.

Comments, and in Python strings that stand alone as a statement (docstrings), are cut out where the tree has them, and what is
left is parsed again. What the parser cannot read within limits (`probe.py`) has no tree.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.codebleu.languages import Grammar
from multiscale_transformer.evaluation.codebleu.probe import Probe

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

MAX_TEXT_BYTES = 2 << 20
_COMMENTS = frozenset({"comment", "line_comment", "block_comment", "html_comment", "line_continuation"})
_STRINGS = frozenset({"string", "concatenated_string"})

Key = tuple[object, ...]


def clean(text: str) -> str:
    """A text without what surrounds it: blank lines, and the indentation that all its lines share."""
    return textwrap.dedent(text).strip()


class CodeReader:
    """Reads texts of one language, within limits. Raises AxlError where a package is missing."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar, self._language, self._probe = grammar, grammar.load(), Probe(grammar.module)

    def __enter__(self) -> CodeReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._probe.__exit__(*error)

    def read(self, text: str) -> tuple[bytes, Tree] | None:
        """A text without comments and docstrings, in UTF-8, and its tree; None where parsing takes too much.

        Raises AxlError for a text of more than `MAX_TEXT_BYTES`.
        """
        content = text.encode("utf-8", "replace")
        if len(content) > MAX_TEXT_BYTES:
            raise AxlError(f"a text has {len(content):,} bytes; CodeBLEU compares up to {MAX_TEXT_BYTES:,}: leave it out")
        tree = self._tree(content)
        if tree is None:
            return None
        bare = _without(content, list(_remarks(tree, self.grammar.docstrings)))
        if bare != content:
            content, tree = bare, self._tree(bare)
        return None if tree is None else (content, tree)

    def _tree(self, content: bytes) -> Tree | None:
        from tree_sitter import Parser

        return Parser(self._language).parse(content) if self._probe.can_parse(content) else None


def _remarks(tree: Tree, docstrings: bool) -> Iterator[tuple[int, int]]:
    """Where comments, continued lines and, if asked for, strings that are statements stand, in order."""
    waiting = [tree.root_node]
    while waiting:
        node = waiting.pop()
        if node.type in _COMMENTS or (docstrings and _is_docstring(node)):
            yield node.start_byte, node.end_byte
        else:
            waiting.extend(reversed(node.children))


def _is_docstring(node: Node) -> bool:
    return node.type == "expression_statement" and node.child_count == 1 and node.children[0].type in _STRINGS


def _without(content: bytes, spans: list[tuple[int, int]]) -> bytes:
    pieces, at = [], 0
    for start, end in spans:
        pieces += [content[at:start], b" "]
        at = end
    return b"".join([*pieces, content[at:]])


def subtrees(content: bytes, tree: Tree, numbers: dict[Key, int]) -> list[int]:
    """A number for each node that has children, and for the root. Equal subtrees have equal numbers in all trees that share
    `numbers`, which grows.
    """
    cursor = tree.walk()
    found: list[int] = []
    below: list[list[tuple[int | None, int]]] = [[]]  # for each open node the fields and numbers of its children so far
    entering = True
    while True:
        if entering and cursor.goto_first_child():
            below.append([])
            continue
        node, parts = cursor.node, [] if entering else below.pop()
        assert node is not None
        number = numbers.setdefault(_key(content, node, parts), len(numbers))
        if not entering or len(below) == 1:
            found.append(number)
        field = cursor.field_id
        if node.is_named or node.is_missing:
            below[-1].append((field, number))
        else:  # a mark has no name, but what is below it has
            below[-1].extend((inner or field, part) for inner, part in parts)
        entering = cursor.goto_next_sibling()
        if not entering and not cursor.goto_parent():
            return found


def _key(content: bytes, node: Node, parts: list[tuple[int | None, int]]) -> Key:
    unexpected = content[node.start_byte : node.end_byte] if node.is_error and not parts else b""
    return (node.kind_id, node.is_missing, unexpected.decode("utf-8", "replace")[:1], *parts)
