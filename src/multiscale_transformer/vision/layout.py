"""The layout of a page as a tree of rows, columns and boxed groups of elements, and as one line of text.

A page is a column. In the line each element is one letter, followed by `+` when it is checked and `-` when it is disabled; a
row is `[...]`, a column within a row `(...)`, and a group that is drawn as one (a card, a bar) `{...}`:

    {[LLL]}HT[FB][{HTB}{HTB}]C+C-       a bar of links, heading, text, a field beside a button, two cards, two checkboxes

Groups nest in a few ways only, so the language is regular: `PATTERN` is all of it, `LARK` is the same for the engine's
constraint and `GBNF` for others', and `following` says which characters may come next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from multiscale_transformer.errors import AxlError
from multiscale_transformer.vision.elements import CAN_BE_DISABLED, CHECKABLE, CHECKED, CLASSES, DISABLED

LETTERS = dict(zip(CLASSES, "HTLBFASCRGPIMUKW", strict=True))  # ran*G*e, *M*atrix, *U*nordered, *K*ode, *W*arning
KINDS = {letter: kind for kind, letter in LETTERS.items()}
SIGNS = {CHECKED: "+", DISABLED: "-"}
MAX_CHARACTERS = 200  # of a line; pages of SIDE pixels have far fewer

Way = Literal["column", "row", "box"]
OPEN: dict[Way, str] = {"column": "(", "row": "[", "box": "{"}
CLOSE: dict[Way, str] = {"column": ")", "row": "]", "box": "}"}


@dataclass(frozen=True)
class Leaf:
    """An element in its place in the tree."""

    kind: str
    states: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """What lies below one another (column), side by side (row), or below one another in a frame (box)."""

    way: Way
    children: tuple[Node, ...]


Node = Leaf | Group


def _leaf_pattern() -> str:
    both = "".join(LETTERS[kind] for kind in CHECKABLE)
    off = "".join(LETTERS[kind] for kind in CAN_BE_DISABLED if kind not in CHECKABLE)
    rest = "".join(letter for kind, letter in LETTERS.items() if kind not in CAN_BE_DISABLED)
    return rf"(?:[{both}]\+?-?|[{off}]-?|[{rest}])"


LEAF = _leaf_pattern()
INNER_ROW = rf"(?:\[{LEAF}{{2,}}\])"
INNER = rf"(?:{LEAF}|{INNER_ROW})"
COLUMN = rf"(?:\({INNER}{{2,}}\))"
BOX = rf"(?:\{{{INNER}+\}})"
ROW = rf"(?:\[(?:{LEAF}|{COLUMN}|{BOX}){{2,}}\])"
PATTERN = re.compile(rf"(?:{LEAF}|{ROW}|{BOX})+")
LARK = f"start: /{PATTERN.pattern}/"
END = ""  # in what may follow: the line may end here


def _gbnf() -> str:
    both = "".join(LETTERS[kind] for kind in CHECKABLE)
    off = "".join(LETTERS[kind] for kind in CAN_BE_DISABLED if kind not in CHECKABLE)
    rest = "".join(letter for kind, letter in LETTERS.items() if kind not in CAN_BE_DISABLED)
    return f"""root ::= (leaf | row | box)+
row ::= "[" cell cell+ "]"
cell ::= leaf | column | box
column ::= "(" inner inner+ ")"
box ::= "{{" inner+ "}}"
inner ::= leaf | "[" leaf leaf+ "]"
leaf ::= [{both}] "+"? "-"? | [{off}] "-"? | [{rest}]
"""


GBNF = _gbnf()


def line_of(tree: Group) -> str:
    """The line of a page, which is a column. It is one that `PATTERN` matches where the tree is in normal form."""
    return "".join(map(_text_of, tree.children))


def _text_of(node: Node) -> str:
    if isinstance(node, Leaf):
        return LETTERS[node.kind] + "".join(SIGNS[state] for state in node.states)
    return OPEN[node.way] + "".join(map(_text_of, node.children)) + CLOSE[node.way]


def parse(line: str) -> Group:
    """The tree of a line. Raises AxlError where it is none."""
    if len(line) > MAX_CHARACTERS or not PATTERN.fullmatch(line):
        raise AxlError(f"not a layout: {line[:60]!r}; a layout is a line like {{[LLL]}}HT[FB]")
    ways = {mark: way for way, mark in OPEN.items()}
    open_groups: list[tuple[Way, list[Node]]] = [("column", [])]
    for character in line:
        way, children = open_groups[-1]
        if character in KINDS:
            children.append(Leaf(KINDS[character]))
        elif character in ways:
            open_groups.append((ways[character], []))
        elif character in CLOSE.values():
            open_groups.pop()
            open_groups[-1][1].append(Group(way, tuple(children)))
        else:
            state = next(state for state, sign in SIGNS.items() if sign == character)
            leaf = children[-1]
            assert isinstance(leaf, Leaf)  # the pattern has a sign behind a letter only
            children[-1] = Leaf(leaf.kind, (*leaf.states, state))
    return Group("column", tuple(open_groups[0][1]))


def leaves(node: Node) -> Iterator[Leaf]:
    """The elements of a tree in reading order."""
    if isinstance(node, Leaf):
        yield node
    else:
        for child in node.children:
            yield from leaves(child)


def normal(node: Node) -> Node | None:
    """The tree without empty groups, rows and columns of one, and columns within columns or boxes; None where nothing is left.

    What cannot be seen is not in the layout: whether a lone element stands in a row makes no difference to the picture.
    """
    if isinstance(node, Leaf):
        return node
    children: list[Node] = []
    for child in map(normal, node.children):
        if isinstance(child, Group) and (child.way == node.way == "row" or (child.way == "column" and node.way != "row")):
            children.extend(child.children)
        elif child is not None:
            children.append(child)
    if not children:
        return None
    if len(children) == 1 and node.way != "box":
        return children[0]
    return Group(node.way, tuple(children))


def following(prefix: str) -> frozenset[str]:
    """The characters that may come behind the beginning of a line, END among them where it may end there.

    A line that is `MAX_CHARACTERS` long must be cut by whoever decodes. Raises AxlError where no line begins so.
    """
    groups, counts = [""], [0]
    allowed = _first_of(groups, 0)
    for character in prefix:
        if character not in allowed:
            raise AxlError(f"no layout begins with {prefix[:60]!r}")
        if character in KINDS:
            counts[-1] += 1
        elif character in OPEN.values():
            groups.append(character)
            counts.append(0)
        elif character in CLOSE.values():
            groups.pop()
            counts.pop()
            counts[-1] += 1
        allowed = _first_of(groups, counts[-1]) | _signs_after(character)
    return allowed


_LEAVES = frozenset(KINDS)
_OPENED = {  # by the group and the one around it: what may be opened in it, and how many children it must have
    "": ("[{", 1),
    "[": ("({", 2),
    "(": ("[", 2),
    "{": ("[", 1),
}


def _first_of(groups: list[str], count: int) -> frozenset[str]:
    """What may come in the innermost group, which has so many children, where no sign follows."""
    opened, fewest = _OPENED[groups[-1]]
    if groups[-1] == "[" and groups[-2] != "":
        opened = ""  # a row within a column or a box holds elements only
    closed = {"": END, "[": "]", "(": ")", "{": "}"}[groups[-1]]
    return _LEAVES | frozenset(opened) | (frozenset([closed]) if count >= fewest else frozenset())


def _signs_after(character: str) -> frozenset[str]:
    if character == SIGNS[CHECKED]:
        return frozenset(SIGNS[DISABLED])
    kind = KINDS.get(character, "")
    signs = [SIGNS[CHECKED]] if kind in CHECKABLE else []
    return frozenset(signs + ([SIGNS[DISABLED]] if kind in CAN_BE_DISABLED else []))


def tokens(line: str) -> list[str]:
    """The tokens of a line as pix2code counts them: each element with its signs, each bracket."""
    return re.findall(r"[A-Z][+-]*|.", line)
