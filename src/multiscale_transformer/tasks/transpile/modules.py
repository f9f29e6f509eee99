"""Dicts, and functions of itertools, collections, functools and heapq that have an idiom in JavaScript."""

from __future__ import annotations

import ast

from multiscale_transformer.tasks.transpile.builtins import Builtins
from multiscale_transformer.tasks.transpile.types import (
    BOTTOM,
    FLOAT,
    NATURAL,
    STR,
    Type,
    joined,
    list_of,
)  # fmt: skip
from multiscale_transformer.tasks.transpile.values import (
    Js,
    refuse,
)  # fmt: skip

_DEFAULTS = {
    "int": ("0", NATURAL),
    "float": ("0", FLOAT),
    "str": ('""', STR),
    "list": ("[]", list_of(BOTTOM)),
    "set": ("new Set()", Type("set", (BOTTOM,))),
}


class Modules(Builtins):
    """Translates calls that make dicts, and calls of functions of modules."""

    def _call_dict(self, node: ast.Call) -> Js:
        if node.keywords:
            raise refuse("dict with named values")
        return self._of_dict(self.expression(node.args[0])) if node.args else Js("new Map()", Type("map", (BOTTOM, BOTTOM)))

    _call_OrderedDict = _call_dict

    def _of_dict(self, items: Js) -> Js:
        if items.type.kind in ("map", "object"):
            return Js(f"{{ ...{items.text} }}" if items.type.kind == "object" else f"new Map({items.text})", items.type)
        return self.map_of(self.array(items))

    def _call_Counter(self, node: ast.Call) -> Js:  # noqa: N802
        if not node.args:
            return Js("new Map()", Type("map", (BOTTOM, NATURAL), default="counter"))
        given = self.expression(node.args[0])
        if given.type.kind in ("map", "object"):
            text = given.text if given.type.kind == "map" else f"Object.entries({given.text})"
            return Js(f"new Map({text})", Type("map", given.type.of, default="counter"))
        items = self.array(given)
        element = items.type.element
        text = items.text if self.key(Js("x", element)) == "x" else f"{items.member}.map(intern)"
        return Js(self.helper("countItems", text), Type("map", (element, NATURAL), default="counter"))

    def _call_defaultdict(self, node: ast.Call) -> Js:
        made = node.args[0] if node.args else None
        if not isinstance(made, ast.Name) or made.id not in _DEFAULTS:
            raise refuse("a defaultdict of something else than int, float, str, list or set")
        text, kind = _DEFAULTS[made.id]
        return Js("new Map()", Type("map", (BOTTOM, kind), default=text))

    def _of_itertools_combinations(self, items: Js, size: Js) -> Js:
        array = self.array(items)
        count = int(size.text) if size.text.isdigit() else None
        kind = Type("row", (array.type.element,)) if count is None else Type("tuple", (array.type.element,) * count)
        return Js(self.helper("combinations", array.text, size.text), list_of(kind))

    def _of_itertools_permutations(self, items: Js, size: Js | None = None) -> Js:
        array = self.array(items)
        return Js(
            self.helper("permutations", array.text, *([size.text] if size else [])), list_of(Type("row", (array.type.element,)))
        )

    def _of_itertools_product(self, *lists: Js) -> Js:
        arrays = [self.array(one) for one in lists]
        return Js(
            self.helper("product", *(one.text for one in arrays)),
            list_of(Type("tuple", tuple(one.type.element for one in arrays))),
        )

    def _of_itertools_chain(self, *lists: Js) -> Js:
        arrays = [self.array(one) for one in lists]
        return Js(f"[{', '.join(f'...{one.text}' for one in arrays)}]", list_of(joined(*(one.type.element for one in arrays))))

    def _of_itertools_chain_from_iterable(self, items: Js) -> Js:
        array = self.array(items)
        if not array.type.element.array:
            raise refuse("a chain of something else than lists")
        return Js(f"{array.member}.flat()", list_of(array.type.element.element))

    def _call_groupby(self, node: ast.Call) -> Js:
        array = self.array(self.expression(node.args[0]))
        given = node.args[1] if len(node.args) > 1 else next((one.value for one in node.keywords if one.arg == "key"), None)
        key = Js("(item) => item", array.type.element) if given is None else self.arrow(given, [array.type.element])
        if not key.type.primitive:
            raise refuse("groups by keys that are no simple values")
        return Js(
            self.helper("groupRuns", array.text, key.text), list_of(Type("tuple", (key.type, list_of(array.type.element))))
        )

    def _call_nlargest(self, node: ast.Call) -> Js:
        key = next((keyword.value for keyword in node.keywords), None)
        ordered = self.sorted_array(self.array(self.expression(node.args[1])), key, self.callee(node.func) == "heapq.nlargest")
        return Js(f"{ordered.text}.slice(0, {self.expression(node.args[0]).text})", ordered.type)

    _call_nsmallest = _call_nlargest

    def _of_math_prod(self, items: Js) -> Js:
        array = self.array(items, ordered=False)
        return Js(f"{array.member}.reduce((product, item) => product * item, 1)", self.number(Js("x", array.type.element)).type)
