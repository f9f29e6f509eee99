"""Lines of code as tokens that templates of edits are made of (`tasks.edit_templates`), and back.

A token is a string whose first character is its kind; what follows is the text, so tokens one after the other are the line:

    w  a word; underscores around it are words of their own      s  space
    t  text inside a string, between fields                      o c  brackets
    f  the brace of a field of `format` or an f-string           v  how a field shows its value (`!r:>8`)
    p  anything else, quotes and `%s` among it                   n  a new line, with its indentation beyond the first line's
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_FIELD = re.compile(r"\{(?P<inside>[^{}\n]*?)(?P<shown>(?:![rsa])?(?::[^{}\n]*)?)\}")
_PERCENT = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[srdifgxXeEc]")
_LEXER = re.compile(
    r"""(?P<s>[ \t]+)|(?P<string>[A-Za-z]{0,2}(?P<quote>"|')(?:\\.|(?!(?P=quote))[^\\\n])*(?P=quote))"""
    r"""|(?P<w>_+(?=[A-Za-z0-9])|[A-Za-z0-9](?:\w*[A-Za-z0-9])?|_+)|(?P<o>[(\[{])|(?P<c>[)\]}])|(?P<p>==|!=|<=|>=|->|:=|\*\*|//|.)"""
)


def indent_of(line: str) -> int:
    """Columns before the first character of a line."""
    return len(line) - len(line.lstrip())


def is_quote(token: str) -> bool:
    """Whether a string begins or ends here."""
    return token[0] == "p" and token[-1] in "\"'"


def tokens_of(lines: Sequence[str], base: int) -> list[str]:
    """The tokens of lines whose indentation counts from `base`; that of the first line is left out if it is `base`."""
    found: list[str] = []
    for number, line in enumerate(lines):
        text = line.strip()
        if number or (text and indent_of(line) != base):
            found.append(f"n{indent_of(line) - base}" if text else "n")
        found.extend(_tokens(text))
    return found


def _tokens(text: str) -> Iterator[str]:
    for match in _LEXER.finditer(text):
        if match["string"] is None:
            yield f"{match.lastgroup}{match[0]}"
        else:
            yield from _string_tokens(match[0], match["quote"])


def _string_tokens(string: str, quote: str) -> Iterator[str]:
    """Quote, texts with fields between them, quote."""
    prefix, _, inside = string[:-1].partition(quote)
    yield f"p{prefix}{quote}"
    at = 0
    for match in (_PERCENT if _PERCENT.search(inside) else _FIELD).finditer(inside):
        yield f"t{inside[at : match.start()]}"
        at = match.end()
        if match.re is _PERCENT:
            yield f"p{match[0]}"
        else:
            yield from ("f{", *_tokens(match["inside"]), f"v{match['shown']}", "f}")
    yield f"t{inside[at:]}"
    yield f"p{quote}"


def lines_from(tokens: Sequence[str], base: int) -> list[str]:
    """Lines of tokens, the first at `base` unless a token says where it begins."""
    lines: list[str] = [] if not tokens or tokens[0][0] == "n" else [" " * base]
    for token in tokens:
        if token[0] != "n":
            lines[-1] += token[1:]
        else:
            lines.append(" " * (base + int(token[1:])) if token[1:] else "")
    return [line.rstrip() for line in lines]


def block_end(tokens: Sequence[str], place: int) -> int:
    """Where the lines end that are as far in as the one that begins at `place`; `place` where that is no further in than 0."""
    if place >= len(tokens) or tokens[place][0] != "n" or not tokens[place][1:] or int(tokens[place][1:]) <= 0:
        return place
    inner = int(tokens[place][1:])
    for end in range(place + 1, len(tokens)):
        if tokens[end][0] == "n" and tokens[end][1:] and int(tokens[end][1:]) < inner:
            break
    else:
        end = len(tokens)
    while tokens[end - 1] == "n":  # empty lines behind it
        end -= 1
    return end


def shifted(block: Sequence[str], indent: int) -> Iterator[str]:
    """A block, which begins with a new line, whose first line comes to stand at an indentation."""
    shift = indent - int(block[0][1:])
    for token in block:
        yield f"n{int(token[1:]) + shift}" if token[0] == "n" and token[1:] else token
