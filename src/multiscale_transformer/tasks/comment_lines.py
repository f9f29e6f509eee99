"""Comments on lines of their own, as text: where they may stand in a function, cut out of one, put into one, and checked.

A function is a text that may be indented. Its lines are counted from 0; a `Block` is comment lines before a line of the text
without them.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from multiscale_transformer.tasks.docstrings import opened, rambles
from multiscale_transformer.tasks.edit_format import Hunk
from multiscale_transformer.tasks.source_text import first_line, parses

MAX_ROW = 110  # characters of a comment line without its indentation
LAYOUT = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.ENDMARKER)
_NOT_PROSE = re.compile(
    r"\b(todo|fixme|xxx|hack|noqa|nosec|pylint|pragma|pyright|mypy|isort|copyright|licen[cs]e)\b|type:|fmt:|https?://|-\*-|[{}\\=]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Block:
    """Comment lines, without indentation and mark, before a line of code."""

    line: int
    rows: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it on one line."""
        return " ".join(self.rows)


def places(function: str) -> dict[int, str]:
    """The lines of a function's body that a comment may stand before, with their indentation. Raises as `opened`."""
    source, node = opened(function)
    shift = source.text.count("\n") - function.count("\n") + 1
    body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    if not body:
        return {}
    begins = first_line(body[0])
    first = max(begins, node.lineno + 1)
    found: dict[int, str] = {}
    seen = 0  # lines up to it are begun
    for token in _tokens(source.text):
        if token.type in LAYOUT:
            continue
        number, column = token.start
        indent = source.line(number)[:column]
        usable = number >= first and not indent.strip() and token.string[0] not in ")]}"
        if number > seen and usable and not source.line(number - 1).rstrip("\r\n").endswith("\\"):
            found[number - shift] = indent
        seen = max(seen, token.end[0])
    return found


def statement_places(function: str) -> dict[int, str]:
    """Those of them at which a statement begins."""
    source, node = opened(function)
    shift = source.text.count("\n") - function.count("\n") + 1
    starts = {first_line(one) - shift for one in ast.walk(node) if isinstance(one, ast.stmt) and one is not node}
    return {line: indent for line, indent in places(function).items() if line in starts}


def cut_comments(function: str) -> tuple[str, list[Block]]:
    """A function without the comments that are English sentences before a line of its body, and these. Raises as `opened`."""
    lines, usable = function.split("\n"), places(function)
    source, _ = opened(function)
    shift = source.text.count("\n") - function.count("\n") + 1
    comments = {
        token.start[0] - shift: token.string
        for token in _tokens(source.text)
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
    }
    kept: list[str] = []
    blocks: list[Block] = []
    at = 0
    while at < len(lines):
        end = at
        while end in comments:
            end += 1
        indents = {line[: len(line) - len(line.lstrip())] for line in lines[at:end]}
        rows = tuple(comments[number].removeprefix("#").strip() for number in range(at, end))
        marked = all(comments[number].startswith("# ") for number in range(at, end))
        if rows and marked and end in usable and indents == {usable[end]} and is_prose(rows):
            blocks.append(Block(len(kept), rows))
        else:
            end = max(end, at + 1)
            kept += lines[at:end]
        at = end
    return "\n".join(kept), blocks


def is_prose(rows: Sequence[str]) -> bool:
    """Whether comment lines are an English sentence of three words or more, and neither code nor a word to a tool."""
    text = " ".join(rows)
    letters = sum(character.isalpha() or character == " " for character in text)
    if len(re.findall(r"[A-Za-z]{2,}", text)) < 3 or letters < 0.8 * len(text) or _NOT_PROSE.search(text):
        return False
    if not text.isascii() or not text.isprintable() or max(map(len, rows)) > MAX_ROW or rambles(text):
        return False
    return not any(row.count(" ") > 1 and (parses(row) or parses(f"{row} pass")) for row in (text, *rows))


def put(code: str, blocks: Iterable[Block]) -> str:
    """A function with comments put before its lines, indented as those are."""
    lines = code.split("\n")
    for block in sorted(blocks, key=lambda one: -one.line):
        below = lines[block.line]
        lines[block.line : block.line] = [f"{_indent(below)}# {row}{below[len(below.rstrip(chr(13))) :]}" for row in block.rows]
    return "\n".join(lines)


def context_of(lines: Sequence[str], line: int) -> int:
    """Where the shortest run of lines begins that ends with `line` and stands nowhere before."""
    start = line
    while any(lines[at : at + line - start + 1] == lines[start : line + 1] for at in range(start)):
        start -= 1
    return start


def hunks_of(code: str, blocks: Iterable[Block]) -> list[Hunk]:
    """Comments as hunks: each names the line that they stand before, and lines above it where that one is not alone."""
    lines, hunks = code.split("\n"), list[Hunk]()
    for block in blocks:
        start, indent = context_of(lines, block.line), _indent(lines[block.line])
        old = lines[start : block.line + 1]
        hunks.append(Hunk(tuple(old), (*old[:-1], *(f"{indent}# {row}" for row in block.rows), old[-1])))
    return hunks


def blocks_of(code: str, hunks: Iterable[Hunk]) -> list[Block] | None:
    """The comments that hunks put into a function; None where they do anything else, or have no place one behind the other."""
    lines, at, blocks = code.split("\n"), 0, list[Block]()
    for hunk in hunks:
        count, rows = len(hunk.old), hunk.new[len(hunk.old) - 1 : -1]
        found = next((k for k in range(at, len(lines) - count + 1) if tuple(lines[k : k + count]) == hunk.old), None)
        if found is None or not rows or (*hunk.new[: count - 1], *hunk.new[-1:]) != hunk.old:
            return None
        start = f"{_indent(hunk.old[-1])}# "
        if not all(row.startswith(start) for row in rows):
            return None
        blocks.append(Block(found + count - 1, tuple(row.removeprefix(start) for row in rows)))
        at = found + count
    return blocks


def verified(code: str, after: str) -> bool:
    """Whether a text is the other with comment lines added, indented as the code below, and nothing else: tokens and tree."""
    lines, at, added = code.split("\n"), 0, 0
    rows = after.split("\n")
    for number, row in enumerate(rows):
        if at < len(lines) and row == lines[at]:
            at += 1
            continue
        below = next((line for line in rows[number:] if not line.lstrip().startswith("#")), "")
        if not row.lstrip().startswith("#") or _indent(row) != _indent(below):
            return False
        added += 1
    if at < len(lines) or not added:
        return False
    try:
        old, new = opened(code)[0], opened(after)[0]
        return _code_tokens(old.text) == _code_tokens(new.text) and ast.dump(old.tree) == ast.dump(new.tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return False


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(text).readline))


def _code_tokens(text: str) -> list[tuple[int, str]]:
    return [(token.type, token.string) for token in _tokens(text) if token.type not in (tokenize.COMMENT, tokenize.NL)]
