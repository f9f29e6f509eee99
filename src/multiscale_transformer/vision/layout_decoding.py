"""Elements as a prompt of a byte transformer, and the line of their layout as what it writes, held to the grammar.

The prompt is a draft by rule (`xy_cut`) in which each element is a byte for its class and states and four for the sides of its
box, between the brackets of its groups. What is written may only be a line of the language of `layout`, with each element found
in it once: a line is allowed to go on in a way only if the elements that are left are enough to close every group. As long as
it is the draft's, what the draft says next has so much TRUST in advance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.vision.elements import CLASSES, STATES, Box, Element
from multiscale_transformer.vision.layout import (
    CLOSE,
    END,
    KINDS,
    LETTERS,
    MAX_CHARACTERS,
    OPEN,
    SIGNS,
    following,
    line_of,
    tokens,
)
from multiscale_transformer.vision.xy_cut import draft as by_rule

Logits = NDArray[np.float32]
Reader = Callable[[list[int]], Logits]  # takes in ids, gives the logits of the next one

FIRST_ELEMENT, FIRST_PLACE = 128, 32  # bytes
PLACES = 95  # a side of the picture has so many
LINE = 10  # the byte between elements and line
ROW = 8  # pixels within which elements stand side by side in the prompt
MOST = 300  # ids of elements and brackets in a prompt
LONGEST = MOST + 2 + MAX_CHARACTERS  # ids of a prompt and its line
TRUST = 4.0  # of logits: of drafts of true elements a decoder then sets right four in a hundred, and of found ones three
_FEWEST = {OPEN["row"]: 2, OPEN["column"]: 2, OPEN["box"]: 1}


@dataclass(frozen=True)
class Draft:
    """A line by rule, and the elements in its order."""

    line: str
    elements: tuple[Element, ...]


def drafted(elements: Sequence[Element], frames: Sequence[Box | None]) -> Draft:
    """The draft for elements and the frames in which they stand (`xy_cut.frames_of`)."""
    tree, order = by_rule(elements, frames)
    return Draft(line_of(tree), tuple(elements[number] for number in order))


def prompt(draft: Draft, side: int) -> list[int]:
    """The ids of a prompt for a draft on a picture whose sides are `side` pixels; one of too many ids has no brackets."""
    waiting = iter(draft.elements)
    parts = [
        [ord(token)] if token not in KINDS and len(token) == 1 else _ids(next(waiting), side) for token in tokens(draft.line)
    ]
    if sum(map(len, parts)) > MOST:
        parts = [part for part in parts if len(part) > 1]
    return [BOS, *(number for part in parts for number in part), LINE]


def _ids(element: Element, side: int) -> list[int]:
    states = sum((state in element.states) << number for number, state in enumerate(STATES))
    first = FIRST_ELEMENT + CLASSES.index(element.kind) * 2 ** len(STATES) + states
    return [first, *(FIRST_PLACE + min(PLACES - 1, max(0, edge) * PLACES // side) for edge in element.box)]


def _place(element: Element) -> tuple[int, int, int]:
    """From above to below, and in a row from left to right."""
    return element.box[1] // ROW, element.box[0], element.box[1]


def text_of(element: Element) -> str:
    """An element as it stands in a line."""
    return LETTERS[element.kind] + "".join(SIGNS[state] for state in element.states)


class LayoutConstraint:
    """What may come next in a line that names each of some elements once."""

    def __init__(self, elements: Sequence[Element]) -> None:
        self.line = ""
        self._left = Counter(map(text_of, elements))
        self._groups: list[list[int]] = []  # of each open group: the children that it needs, and those that it has
        self._leaf = ""  # the element that is being written: a sign may follow

    @property
    def done(self) -> bool:
        """Whether the line must end here."""
        return not self.allowed() - {END}

    def allowed(self) -> frozenset[str]:
        """The characters that may come next, END among them where the line may end."""
        return frozenset(filter(self._fits, following(self.line)))

    def advance(self, character: str) -> None:
        """Write a character. Raises AxlError for one that is not allowed."""
        if character not in self.allowed() or character == END:
            raise AxlError(f"{character!r} may not follow in a layout")
        if character in SIGNS.values():
            self._take_back()
            self._write_leaf(self._leaf + character)
        elif character in OPEN.values():
            self._groups.append([_FEWEST[character], 0])
            self._leaf = ""
        elif character in CLOSE.values():
            self._groups.pop()
            self._count()
            self._leaf = ""
        else:
            self._write_leaf(character)
        self.line += character

    def _write_leaf(self, leaf: str) -> None:
        self._leaf = leaf
        self._left[leaf] -= 1
        self._count()

    def _take_back(self) -> None:
        self._left[self._leaf] += 1
        if self._groups:
            self._groups[-1][1] -= 1

    def _count(self) -> None:
        if self._groups:
            self._groups[-1][1] += 1

    def _fits(self, character: str) -> bool:
        left = sum(self._left.values())
        if character in SIGNS.values():
            return self._any(self._leaf + character)
        if self._leaf and self._left[self._leaf] < 0:
            return False  # only with a sign is it one of those that are left
        if character == END:
            return left == 0
        if character in OPEN.values():
            return self._needed() - (1 if self._short() else 0) + _FEWEST[character] <= left
        if character in CLOSE.values():
            return left > 0 or len(self._groups) == 1 or not self._needed()
        return self._any(character) and self._needed() - (1 if self._short() else 0) <= left - 1

    def _any(self, begun: str) -> bool:
        """Whether an element that is left begins so."""
        return any(count > 0 and leaf.startswith(begun) for leaf, count in self._left.items())

    def _short(self) -> bool:
        return bool(self._groups) and self._groups[-1][1] < self._groups[-1][0]

    def _needed(self) -> int:
        """Elements that must come so that every open group can be closed; an open group is a child of the one around it."""
        last = len(self._groups) - 1
        return sum(max(0, fewest - count - (depth < last)) for depth, (fewest, count) in enumerate(self._groups))


def write_line(read: Reader, draft: Draft, side: int, trust: float = TRUST) -> str:
    """The likeliest line, character by character, that a decoder behind `read` writes for a draft that it trusts so much."""
    if not draft.elements:
        return ""
    constraint = LayoutConstraint(draft.elements)
    logits_V = read(prompt(draft, side))
    while len(constraint.line) < MAX_CHARACTERS:
        allowed = sorted(constraint.allowed())
        ids = [ord(character) if character else EOS for character in allowed]
        scores = logits_V[ids]
        if draft.line.startswith(constraint.line):
            following_draft = draft.line[len(constraint.line) : len(constraint.line) + 1] or END
            scores = scores + np.float32(trust) * np.array([character == following_draft for character in allowed], np.float32)
        best = allowed[int(np.argmax(scores))]
        if best == END:
            break
        constraint.advance(best)
        if constraint.done:
            break
        logits_V = read([ord(best)])
    return constraint.line


def in_order(line: str, elements: Sequence[Element]) -> list[int]:
    """The numbers of elements in the order of a line that names each of them once; alike ones go from above to below."""
    waiting: dict[str, list[int]] = {}
    for number in sorted(range(len(elements)), key=lambda number: _place(elements[number])):
        waiting.setdefault(text_of(elements[number]), []).append(number)
    return [waiting[leaf].pop(0) for leaf in tokens(line) if waiting.get(leaf)]
