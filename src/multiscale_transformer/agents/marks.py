"""Names, paths, code and errors in a request as marks: what they are tells which tool is meant, and the words in them mislead.

`tests/test_writer.py` asks neither to test nor to write. So it becomes `<file>`, and the words of the request are those
around it.
"""

from __future__ import annotations

import re

_ERROR = re.compile(r"\b[A-Z]\w*(?:Error|Exception|Warning|Iteration|Interrupt|Exit)\b(?::\s?(?:'[^'\n]*'|[^`\"\n]*))?")
_SUFFIXES = "py|js|ts|c|h|cpp|rs|go|java|md|txt|json|ya?ml|toml|cfg|ini|html|css|sh|csv"
_MARKS = (
    ("error", re.compile(r"(?<!\w)[`\"]" + _ERROR.pattern + r"[^`\"\n]*[`\"]")),
    ("code", re.compile(r"```[^`]+```|`[^`\n]+`|(?<![\w`])\w[\w.]*\([^\n]*\)")),
    ("text", re.compile(r"\"[^\"\n]+\"|(?<!\w)'[^'\n]{3,}'(?!\w)|“[^”\n]+”")),
    ("error", _ERROR),
    ("file", re.compile(rf"(?<![\w./~-])(?:[\w.~-]*/)*[\w-]+\.(?:{_SUFFIXES})\b(?!\.\w)")),
    ("folder", re.compile(r"(?<![\w<:./~-])(?:[\w.~-]*/[\w./-]*\w/?|[\w.~-]+/)(?![\w/])")),
    ("test", re.compile(r"\btest_\w+\b")),
    ("name", re.compile(r"\b[A-Za-z]\w*(?:\.[A-Za-z_]\w*)+|\b\w*_\w+|\b[a-z]+[A-Z]\w*|\b(?:[A-Z][a-z\d]+){2,}\b")),
    ("line", re.compile(r"(?<![\w.])\d+(?![\w.]*\w)")),
)  # fmt: skip
_TESTS = re.compile(r"(?<![a-z])(?:tests?|testing|pytest|unittest)(?![a-z])", re.IGNORECASE)
MARKS = tuple(f"<{name}>" for name, _ in _MARKS)


def marked(text: str) -> str:
    """The text with a mark such as <file> in place of each piece that is no prose."""
    for name, pattern in _MARKS:
        text = pattern.sub(f" <{name}> ", text)
    return text


def prose(text: str) -> str:
    """The text without paths, names in code and code: all of it where nothing else stands in it."""
    kept = text
    for name, pattern in _MARKS:
        if name in ("code", "error", "file", "folder", "test"):
            kept = pattern.sub(" ", kept)
    return kept if re.search(r"\w{2}", kept) else text


def marks_in(text: str) -> list[str]:
    """Words in small letters and marks of a text, in their order."""
    return re.findall(r"<\w+>|[^\W\d_]+", marked(text).lower())


def is_tests(text: str) -> str:
    """Whether a text speaks of tests, by a word or by a path: as the name of a feature."""
    return "of tests" if _TESTS.search(text) else "not of tests"
