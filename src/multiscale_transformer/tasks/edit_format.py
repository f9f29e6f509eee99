"""Edits of a few lines as text that a small model can write: hunks of lines that go and lines that come.

    -    f = open(path)
    -    data = f.read()
    +    with open(path) as f:
    +        data = f.read()

A hunk begins with lines of the input, which the model copies and a constraint can hold it to, so the answer says where it
belongs without counting lines; hunks stand in the order of the text, with an empty line between them. An empty answer is "no
change". Writing the whole text again would be mostly copying, and a copy of 500 bytes is seldom exact.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import NamedTuple

NO_CHANGE = "="  # the answer where nothing is to be changed


@dataclass(frozen=True)
class Hunk:
    """Lines `old`, without their ends, become `new`."""

    old: tuple[str, ...]
    new: tuple[str, ...]


def hunks_between(before: str, after: str) -> list[Hunk]:
    """The hunks that make `after` of `before`. Where lines only come, the line before them (or else after) is in the hunk."""
    old, new = before.split("\n"), after.split("\n")
    codes = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    spans = [_Span(*bounds) for tag, *bounds in codes if tag != "equal"]
    at = 0
    while at < len(spans):
        if at and spans[at - 1].end == spans[at].begin:  # they touch: between them is no equal line
            spans[at - 1 : at + 1] = [spans[at - 1].joined(spans[at])]
            at -= 1
        elif not spans[at].needs_more(old):
            at += 1
        elif spans[at].begin or at + 1 == len(spans) or spans[at].end < spans[at + 1].begin:
            spans[at] = spans[at].wider()
        else:
            spans[at : at + 2] = [spans[at].joined(spans[at + 1])]
    return [Hunk(tuple(old[span.begin : span.end]), tuple(new[span.new_begin : span.new_end])) for span in spans]


class _Span(NamedTuple):
    """Lines `begin` to `end` of a text become lines `new_begin` to `new_end` of another."""

    begin: int
    end: int
    new_begin: int
    new_end: int

    def needs_more(self, old: list[str]) -> bool:
        """Whether these lines say no place: an insertion has none, and others may stand in the text more than once."""
        if self.begin == self.end:
            return True
        return _places(old, old[self.begin : self.end]) > 1 and (self.begin > 0 or self.end < len(old))

    def wider(self) -> _Span:
        """With the equal line before, or at the beginning of the text the equal line after."""
        if self.begin:
            return _Span(self.begin - 1, self.end, self.new_begin - 1, self.new_end)
        return _Span(self.begin, self.end + 1, self.new_begin, self.new_end + 1)

    def joined(self, behind: _Span) -> _Span:
        """With one behind it that it touches."""
        return _Span(self.begin, behind.end, self.new_begin, behind.new_end)


def written(hunks: list[Hunk]) -> str:
    """Hunks as an answer, whose last line ends as all of them do."""
    if not hunks:
        return f"{NO_CHANGE}\n"
    lines = ["".join([*(f"-{line}\n" for line in hunk.old), *(f"+{line}\n" for line in hunk.new)]) for hunk in hunks]
    return "\n".join(lines)


def read_hunks(answer: str) -> list[Hunk] | None:
    """The hunks of an answer; None for one that is not in the format."""
    if answer.strip() == NO_CHANGE:
        return []
    hunks = []
    for block in answer.strip("\n").split("\n\n"):
        lines = block.split("\n")
        count = next((number for number, line in enumerate(lines) if not line.startswith("-")), len(lines))
        if not count or not all(line.startswith("+") for line in lines[count:]):
            return None
        hunks.append(Hunk(tuple(line[1:] for line in lines[:count]), tuple(line[1:] for line in lines[count:])))
    return hunks


def applied(text: str, hunks: list[Hunk]) -> str | None:
    """A text with the hunks applied, each at the first place behind the one before; None where one has no place."""
    lines, at = text.split("\n"), 0
    for hunk in hunks:
        count = len(hunk.old)
        place = next((k for k in range(at, len(lines) - count + 1) if tuple(lines[k : k + count]) == hunk.old), None)
        if place is None:
            return None
        lines[place : place + count] = hunk.new
        at = place + len(hunk.new)
    return "\n".join(lines)


def _places(lines: list[str], wanted: list[str]) -> int:
    return sum(lines[k : k + len(wanted)] == wanted for k in range(len(lines) - len(wanted) + 1))
