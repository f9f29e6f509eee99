"""What the transpiler knows of a value: a small lattice of Python's types, found from literals, annotations and examples.

Python's operators mean different things for different types, and JavaScript spells them differently; so an operator is only
translated where the types are known. `BOTTOM` is what has not been seen yet, `ANY` what may be several things.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from functools import reduce

DEEPEST = 6  # of types in types; beyond it anything


class Untranslatable(Exception):  # noqa: N818 - it is an answer, not a defect
    """What stands outside the subset of Python that can be translated, and where."""


@dataclass(frozen=True)
class Type:
    """A kind with what it holds: `of` is the element of a list or set, key and value of a dict, the items of a tuple, or the
    alternatives of `any`.

    A dict is a `map` (a Map in JavaScript) or, where it came as an argument or literal with strings as keys, an `object`.
    `num` is an int or a float, a `row` a tuple of unknown length.
    """

    kind: str
    of: tuple[Type, ...] = ()
    optional: bool = False  # it may be None as well
    natural: bool = False  # a number that is never negative
    default: str = ""  # of a map that makes missing values: what it makes, in JavaScript; "counter" for one that gives 0

    @property
    def numeric(self) -> bool:
        """Whether arithmetic with it is JavaScript's."""
        return self.kind in ("int", "float", "num")

    @property
    def primitive(self) -> bool:
        """Whether `===` compares it as Python does."""
        return self.numeric or self.kind in ("str", "bool", "none")

    @property
    def array(self) -> bool:
        """Whether it is an array in JavaScript."""
        return self.kind in ("list", "tuple", "row")

    @property
    def element(self) -> Type:
        """What iterating over it gives."""
        if self.kind == "str":
            return STR
        if self.kind == "tuple":
            return joined(*self.of)
        return self.of[0] if self.kind in ("list", "row", "set", "map", "object") else ANY


BOTTOM, ANY, NONE = Type("bottom"), Type("any"), Type("none")
INT, FLOAT, NUM, BOOL, STR = Type("int"), Type("float"), Type("num"), Type("bool"), Type("str")
NATURAL = Type("int", natural=True)
MATCH, PATTERN = Type("match", optional=True), Type("pattern")


def list_of(element: Type) -> Type:
    """A list of such elements."""
    return Type("list", (element,))


def join(a: Type, b: Type) -> Type:  # noqa: PLR0911 - one for each kind
    """The least type that both are."""
    if a == b or b.kind == "bottom":
        return a
    if a.kind == "bottom":
        return b
    if "none" in (a.kind, b.kind):
        other = b if a.kind == "none" else a
        return other if other.kind == "none" else replace(other, optional=True)
    optional, natural = a.optional or b.optional, a.natural and b.natural
    if a.numeric and b.numeric:
        return Type(a.kind if a.kind == b.kind else "num", (), optional, natural)
    if a.kind == b.kind and a.kind != "any" and len(a.of) == len(b.of):
        return Type(a.kind, tuple(map(join, a.of, b.of)), optional, natural, a.default or b.default)
    if {a.kind, b.kind} <= {"tuple", "row"}:
        return Type("row", (join(a.element, b.element),), optional)
    if {a.kind, b.kind} == {"map", "object"} and "bottom" in (a.of[0].kind, b.of[0].kind):
        return Type("object", tuple(map(join, a.of, b.of)), optional)
    alternatives = dict.fromkeys((*(a.of if a.kind == "any" else (a,)), *(b.of if b.kind == "any" else (b,))))
    return ANY if ANY in (a, b) else Type("any", tuple(replace(one, optional=False) for one in alternatives), optional)


def joined(*types: Type) -> Type:
    """The least type that all are."""
    return reduce(join, types, BOTTOM)


def shallow(of: Type, depth: int = DEEPEST) -> Type:
    """The type without what lies deeper in it than `DEEPEST`: a list that holds itself has no finite one."""
    if depth == 0:
        return ANY if of.of else of
    return replace(of, of=tuple(shallow(inner, depth - 1) for inner in of.of))


def type_of_value(value: object) -> Type:
    """The type of a literal's value."""
    simple = {int: INT, float: FLOAT, bool: BOOL, str: STR, type(None): NONE}
    if type(value) in simple:
        return simple[type(value)]
    if isinstance(value, tuple):
        return Type("tuple", tuple(map(type_of_value, value)))
    if isinstance(value, list | set | frozenset):
        return Type("list" if isinstance(value, list) else "set", (joined(*map(type_of_value, value)),))
    if isinstance(value, dict):
        key = joined(*map(type_of_value, value))
        content = (key, joined(*map(type_of_value, value.values())))
        return Type("object" if key.kind in ("str", "bottom") else "map", content)
    return ANY


_NAMES = {"int": INT, "float": NUM, "bool": BOOL, "str": STR, "None": NONE}
_HOLDERS = {"list": "list", "List": "list", "Sequence": "list", "Iterable": "list", "set": "set", "Set": "set"}


def type_of_annotation(node: ast.expr | None) -> Type:  # noqa: PLR0911 - one for each form
    """The type that a simple annotation names; bottom, which examples may fill, for any other."""
    if isinstance(node, ast.Constant) and node.value is None:
        return NONE
    if isinstance(node, ast.Name):
        return _NAMES.get(node.id, BOTTOM)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = [type_of_annotation(node.left), type_of_annotation(node.right)]
        return BOTTOM if BOTTOM in sides else joined(*sides)
    if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name | ast.Attribute)):
        return BOTTOM
    name = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    inner = [type_of_annotation(part) for part in parts]
    if name in _HOLDERS:
        return Type(_HOLDERS[name], (inner[0],))
    if name == "Optional":
        return replace(inner[0], optional=True)
    if name in ("dict", "Dict") and len(inner) == 2:
        return Type("object" if inner[0] == STR else "map", (inner[0], inner[1]))
    if name in ("tuple", "Tuple"):
        many = len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...
        return Type("row", (inner[0],)) if many else Type("tuple", tuple(inner))
    return BOTTOM
