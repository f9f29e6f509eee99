"""Calls with random arguments of the types that a function is likely to take.

A type is that of the annotation where it is a simple one, else that of the default, else one that goes with how the parameter
is used: who calls `.split` on it means a text, who iterates over it a collection. One argument in a few is of any type all the
same.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator

from multiscale_transformer.tasks.calls import Call

Function = ast.FunctionDef | ast.AsyncFunctionDef

ANY = ("int", "str", "list[int]", "list[str]", "float", "bool", "tuple[int]", "list[list[int]]", "list[tuple]", "dict")
COLLECTIONS = ("list[int]", "list[int]", "list[str]", "str", "tuple[int]", "list[list[int]]", "dict")
SURPRISE = 0.15  # share of arguments that are of any type, unless an annotation says which
OMITTED = 0.5  # share of calls that leave parameters with a default out
_METHODS = {
    "str": "capitalize casefold endswith find isalpha isdigit join lower lstrip partition replace rsplit rstrip split "
    "splitlines startswith strip title upper zfill",
    "list[int]": "append extend insert remove reverse sort",
    "dict": "get items keys setdefault update values",
}
_METHOD_KINDS = {method: kind for kind, methods in _METHODS.items() for method in methods.split()}
_ITERATING = {
    "all", "any", "enumerate", "iter", "len", "list", "map", "max", "min", "reversed", "set", "sorted", "sum", "tuple", "zip",
}  # fmt: skip
_NUMERIC = {"abs", "chr", "divmod", "pow", "range", "round"}


def random_calls(function: Function, count: int, rng: random.Random) -> Iterator[Call]:
    """So many calls of a function with literal arguments."""
    places = [one for one in (*function.args.posonlyargs, *function.args.args) if one.arg not in ("self", "cls")]
    needed = len(places) - min(len(places), len(function.args.defaults))
    kinds = [_kinds_of(function, argument) for argument in places]
    for _ in range(count):
        given = kinds if rng.random() >= OMITTED else kinds[:needed]
        values = [repr(_value(_drawn(likely, fixed, rng), rng)) for likely, fixed in given]
        yield Call(text=f"{function.name}({', '.join(values)})", source="random")


def _drawn(likely: tuple[str, ...], fixed: bool, rng: random.Random) -> str:
    return rng.choice(ANY if not likely or (not fixed and rng.random() < SURPRISE) else likely)


def _kinds_of(function: Function, argument: ast.arg) -> tuple[tuple[str, ...], bool]:
    """The types that a parameter is likely to be of, and whether that is sure."""
    annotated = _annotated(argument)
    if annotated is not None:
        return (annotated,), True
    default = _default_of(function, argument)
    if default is not None:
        return (default,), False
    return _used_as(function, argument.arg), False


def _annotated(argument: ast.arg) -> str | None:
    if argument.annotation is None:
        return None
    text = ast.unparse(argument.annotation).replace("typing.", "")
    known = {"List[int]": "list[int]", "List[str]": "list[str]", "list": "list[int]", "tuple": "tuple[int]"}
    text = known.get(text, text)
    return text if text in ANY else None


def _default_of(function: Function, argument: ast.arg) -> str | None:
    places = [*function.args.posonlyargs, *function.args.args]
    at = places.index(argument) - (len(places) - len(function.args.defaults))
    node = function.args.defaults[at] if at >= 0 else None
    value = node.value if isinstance(node, ast.Constant) else None
    return type(value).__name__ if isinstance(value, bool | int | float | str) else None


def _used_as(function: Function, name: str) -> tuple[str, ...]:
    """Types that go with the uses of a name in a function; none where nothing is known."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and _is(node.value, name) and node.attr in _METHOD_KINDS:
            return (_METHOD_KINDS[node.attr],)
    if any(_iterates(node, name) for node in ast.walk(function)):
        return COLLECTIONS
    if any(_calculates(node, name) for node in ast.walk(function)):
        return ("int", "int", "float")
    return ()


def _iterates(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.For | ast.comprehension):
        return _is(node.iter, name)
    if isinstance(node, ast.Subscript):
        return _is(node.value, name)
    return _is_argument(node, name, _ITERATING)


def _calculates(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.BinOp):
        return _is(node.left, name) or _is(node.right, name)
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        numbers = [one for one in sides if isinstance(one, ast.Constant) and isinstance(one.value, int | float)]
        return bool(numbers) and any(_is(one, name) for one in sides)
    return _is_argument(node, name, _NUMERIC)


def _is_argument(node: ast.AST, name: str, functions: set[str]) -> bool:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions):
        return False
    return any(_is(one, name) for one in node.args)


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _value(kind: str, rng: random.Random) -> object:
    simple: dict[str, Callable[[], object]] = {
        "int": lambda: rng.choice((0, 1, 2, 3, 5, 10, -1, rng.randint(-20, 100))),
        "float": lambda: round(rng.uniform(-10, 10), 2),
        "bool": lambda: rng.random() < 0.5,
        "str": lambda: "".join(rng.choice("abcXYZ019 _-") for _ in range(rng.randint(0, 8))),
    }
    if kind in simple:
        return simple[kind]()
    length = rng.randint(0, 5)
    if kind == "dict":
        return {_value("str", rng): _value("int", rng) for _ in range(length)}
    if kind == "list[tuple]":
        return [(_value("str", rng), _value("int", rng)) for _ in range(length)]
    inner = kind[kind.index("[") + 1 : -1]
    items = [_value(inner, rng) for _ in range(length)]
    return tuple(items) if kind.startswith("tuple") else items
