"""Sequences of the transpiler: indexes, slices, what can be iterated over, comprehensions, and functions that are passed on."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from multiscale_transformer.tasks.transpile.expressions import Expressions, orderable
from multiscale_transformer.tasks.transpile.types import (
    BOTTOM,
    INT,
    NATURAL,
    NUM,
    STR,
    Type,
    list_of,
)  # fmt: skip
from multiscale_transformer.tasks.transpile.values import (
    ARROW,
    CHOICE,
    COALESCE,
    LESS,
    PLUS,
    Js,
    js_name,
    names_in,
    refuse,
    target_text,
)  # fmt: skip


class Sequences(Expressions):
    """Translates what walks over or looks into a sequence."""

    # indexes and slices

    def _subscript(self, node: ast.Subscript) -> Js:
        holder = self.expression(node.value)
        if isinstance(node.slice, ast.Slice):
            return self._sliced(holder, node.slice)
        index, kind = self.expression(node.slice), holder.type
        if kind.kind == "map":
            self.widen(node.value, Type("map", (index.type, BOTTOM)))
            return self.looked_up(holder, index)
        if kind.kind == "object":
            return Js(f"{holder.member}[{index.text}]", kind.of[1])
        if kind.kind == "match":
            return Js(f"{holder.member}[{index.text}]", STR)
        if not (kind.array or kind.kind == "str") or index.type.kind not in ("int", "bottom"):
            raise refuse(f"an index of type {index.type.kind} into a value of type {kind.kind}")
        element = kind.element
        at = ast.literal_eval(node.slice) if is_integer(node.slice) else None
        if kind.kind == "tuple" and at is not None and -len(kind.of) <= at < len(kind.of):
            element = kind.of[at]
        if index.type.natural:
            return Js(f"{holder.member}[{index.text}]", element)
        return Js(f"{holder.member}.at({index.text})", element)

    def looked_up(self, holder: Js, index: Js) -> Js:
        """The value of a Map for a key."""
        default, value = holder.type.default, holder.type.of[1]
        if default == "counter":
            return Js(f"{holder.member}.get({self.key(index)}) ?? 0", value, COALESCE)
        if default:
            return Js(self.helper("setDefault", holder.text, self.key(index), default), value)
        return Js(f"{holder.member}.get({self.key(index)})", value)

    def _sliced(self, holder: Js, part: ast.Slice) -> Js:
        if not (holder.type.array or holder.type.kind == "str"):
            raise refuse(f"a slice of a value of type {holder.type.kind}")
        kind = Type("row", (holder.type.element,)) if holder.type.kind == "tuple" else holder.type
        bounds = [None if one is None else self.expression(one) for one in (part.lower, part.upper)]
        if any(one is not None and one.type.kind not in ("int", "bottom") for one in bounds):
            raise refuse("a bound of a slice that is no integer")
        step = 1 if part.step is None else ast.literal_eval(part.step) if is_integer(part.step) else None
        start, stop = ("null" if one is None else one.text for one in bounds)
        if step == 1:
            arguments = [] if stop == start == "null" else ["0" if start == "null" else start, stop]
            return Js(f"{holder.member}.slice({', '.join(one for one in arguments if one != 'null')})", kind)
        if step == -1 and stop == start == "null":
            backwards = f"[...{holder.text}].reverse()"
            return Js(f'{backwards}.join("")' if kind.kind == "str" else backwards, kind)
        step_text = self.expression(part.step).text if part.step is not None else "1"
        return Js(self.helper("slice", holder.text, start, stop, step_text), kind)

    # iteration

    def array(self, js: Js, *, ordered: bool = True) -> Js:
        """An iterable as an array. A set has another order in Python, so it is refused where the order matters."""
        kind = js.type.kind
        if js.type.array:
            return js
        if kind == "set" and ordered:
            raise refuse("the order of a set")
        if kind in ("str", "set", "map"):
            return Js(f"[...{js.text}{'.keys()' if kind == 'map' else ''}]", list_of(js.type.element))
        if kind == "object":
            return Js(f"Object.keys({js.text})", list_of(js.type.element))
        raise refuse(f"iterating over a value of type {kind}")

    def range_bounds(self, node: ast.expr) -> tuple[Js, Js, int] | None:
        """Start, stop and step of a call of `range` with a literal step."""
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"):
            return None
        if self.scope_of("range") or node.keywords or not 1 <= len(node.args) <= 3:
            return None
        values = [self.expression(one) for one in node.args]
        if any(value.type.kind not in ("int", "bottom") for value in values):
            raise refuse("a range of something else than integers")
        if len(node.args) == 3:
            step = ast.literal_eval(node.args[2]) if is_integer(node.args[2]) else 0
            return (values[0], values[1], step) if step else None
        return (Js("0", NATURAL), values[0], 1) if len(values) == 1 else (values[0], values[1], 1)

    @staticmethod
    def range_element(bounds: tuple[Js, Js, int]) -> Type:
        """What a range gives."""
        start, stop, step = bounds
        return replace(INT, natural=start.type.natural if step > 0 else stop.type.natural or (stop.text, step) == ("-1", -1))

    def targets(self, node: ast.expr, element: Type) -> dict[str, Type]:
        """The names of a target with their types, where it is assigned a value of type `element`."""
        if isinstance(node, ast.Name):
            return {node.id: element}
        if isinstance(node, ast.Starred):
            return self.targets(node.value, list_of(element.element if element.array else element))
        if isinstance(node, ast.Tuple | ast.List):
            if not (element.array or element.kind in ("str", "bottom")):
                raise refuse(f"unpacking a value of type {element.kind}")
            starred = any(isinstance(one, ast.Starred) for one in node.elts)
            if element.kind == "tuple" and not starred and len(element.of) != len(node.elts):
                raise refuse("unpacking a tuple of another length")
            fixed = element.kind == "tuple" and not starred
            kinds = element.of if fixed else [BOTTOM if element.kind == "bottom" else element.element] * len(node.elts)
            found: dict[str, Type] = {}
            for inner, kind in zip(node.elts, kinds, strict=True):
                found |= self.targets(inner, list_of(kind) if isinstance(inner, ast.Starred) else kind)
            return found
        raise refuse("a target that is no name")

    # comprehensions

    def comprehension(self, generators: Sequence[ast.comprehension], make: ast.expr, *, ordered: bool = True) -> Js:
        """The array that a comprehension with the element `make` gives."""
        generator, inner = generators[0], generators[1:]
        if generator.is_async:
            raise refuse("an asynchronous comprehension")
        bounds = self.range_bounds(generator.iter)
        if bounds and not generator.ifs and not inner and bounds[0].text == "0" and bounds[2] == 1:
            return self._counted(generator, make, bounds)
        source = self.array(self.expression(generator.iter), ordered=ordered)
        text, parameter = source.member, self._parameter(generator.target)
        with self.bound(self.targets(generator.target, source.type.element)):
            for test in generator.ifs:
                text += f".filter({parameter} => {body_of(self.condition(test))})"
            if inner:
                rest = self.comprehension(inner, make, ordered=ordered)
                return Js(f"{text}.flatMap({parameter} => {body_of(rest)})", rest.type)
            made = self.expression(make)
        same = isinstance(generator.target, ast.Name) and made.text == js_name(generator.target.id)
        if same and not generator.ifs:
            text = text if text.startswith("[...") else f"[...{text}]"
        return Js(text if same else f"{text}.map({parameter} => {body_of(made)})", list_of(made.type))

    def _counted(self, generator: ast.comprehension, make: ast.expr, bounds: tuple[Js, Js, int]) -> Js:
        with self.bound(self.targets(generator.target, NATURAL)):
            made = self.expression(make)
        used = isinstance(generator.target, ast.Name) and generator.target.id in names_in(make)
        name = target_text(generator.target)
        count = name if name != "_" else "i"
        head = f"(_, {count})" if used else "()"
        return Js(f"Array.from({{ length: {bounds[1].text} }}, {head} => {body_of(made)})", list_of(made.type))

    def _parameter(self, target: ast.expr) -> str:
        return f"({target_text(target)})"

    def _listcomp(self, node: ast.ListComp) -> Js:
        return self.comprehension(node.generators, node.elt)

    def _generatorexp(self, node: ast.GeneratorExp) -> Js:
        return self.comprehension(node.generators, node.elt)

    def unordered(self, node: ast.expr) -> Js:
        """An iterable as an array, where the order of its items does not matter."""
        if isinstance(node, ast.GeneratorExp | ast.ListComp):
            return self.comprehension(node.generators, node.elt, ordered=False)
        return self.array(self.expression(node), ordered=False)

    def _setcomp(self, node: ast.SetComp) -> Js:
        return self.set_of(self.comprehension(node.generators, node.elt, ordered=False))

    def set_of(self, items: Js) -> Js:
        """A set of the items of an array."""
        element = items.type.element
        text = items.text
        if self.key(Js("x", element)) != "x":
            text = f"{items.member}.map(intern)"
        return Js(f"new Set({text})", Type("set", (element,)))

    def _dictcomp(self, node: ast.DictComp) -> Js:
        pair = ast.copy_location(ast.Tuple([node.key, node.value], ast.Load()), node)
        pairs = self.comprehension(node.generators, pair)
        return self.map_of(pairs)

    def map_of(self, pairs: Js) -> Js:
        """A Map of an array of pairs."""
        kind = pairs.type.element
        if kind.kind == "bottom":
            return Js("new Map()", Type("map", (BOTTOM, BOTTOM)))
        key, value = kind.of if kind.kind == "tuple" and len(kind.of) == 2 else (kind.element, kind.element)
        text = pairs.text
        if self.key(Js("x", key)) != "x":
            text = f"{pairs.member}.map(([key, value]) => [intern(key), value])"
        return Js(f"new Map({text})", Type("map", (key, value)))

    # functions that are passed on

    def _lambda(self, node: ast.Lambda) -> Js:
        raise refuse("a lambda whose arguments are not known")

    def applied(self, function: ast.expr, arguments: list[Js]) -> Js:
        """A function that is passed on, called with arguments that are names or indexes."""
        if isinstance(function, ast.Lambda):
            names = [one.arg for one in function.args.args]
            if len(names) != len(arguments) or function.args.vararg or function.args.kwonlyargs:
                raise refuse("a lambda with other arguments")
            types = {name: one.type for name, one in zip(names, arguments, strict=True)}
            with self.bound(types, {name: one.text for name, one in zip(names, arguments, strict=True)}):
                return self.expression(function.body)
        if isinstance(function, ast.Constant) and function.value is None:
            return arguments[0]
        return self.called(function, arguments, {})

    @abstractmethod
    def called(self, function: ast.expr, arguments: list[Js], named: dict[str, Js]) -> Js:
        """A call with translated arguments."""

    def arrow(self, function: ast.expr, types: Sequence[Type], *, condition: bool = False) -> Js:
        """A function that is passed on, as an arrow function; its type is what it returns."""
        if isinstance(function, ast.Lambda):
            names = [js_name(one.arg) for one in function.args.args]
            with self.bound(dict(zip([one.arg for one in function.args.args], types, strict=False))):
                made = self.condition(function.body) if condition else self.expression(function.body)
            if len(names) != len(types):
                raise refuse("a lambda with other arguments")
        else:
            names = ["item", "other"][: len(types)]
            made = self.applied(function, [Js(name, kind) for name, kind in zip(names, types, strict=True)])
            made = self.truth(made) if condition else made
            plain = made.text.removesuffix(f"({', '.join(names)})")
            if plain.isidentifier() and plain in {js_name(name) for name in self.functions} and len(names) == 1:
                return Js(f"({names[0]}) => {made.text}", made.type, ARROW)
        return Js(f"({', '.join(names)}) => {body_of(made)}", made.type, ARROW)

    def pair(self, element: Type, key: ast.expr | None) -> tuple[Js, Js]:
        """Two elements `a` and `b`, or what a key function makes of them."""
        taken = names_in(key) if key is not None else set()
        names = (
            ("a", "b")
            if not taken & {"a", "b"}
            or (isinstance(key, ast.Lambda) and not (taken - {one.arg for one in key.args.args}) & {"a", "b"})
            else ("left", "right")
        )
        left, right = (Js(name, element) for name in names)
        return (left, right) if key is None else (self.applied(key, [left]), self.applied(key, [right]))

    def comparator(self, element: Type, key: ast.expr | None, *, reverse: bool = False) -> str:
        """An arrow function for `sort`; empty where `sort` alone does it."""
        left, right = self.pair(element, key)
        names = (
            ("left", "right") if left.text.startswith("left") or ("left" in left.text and "right" in right.text) else ("a", "b")
        )
        orderable(left.type if left.type.kind != "bottom" else NUM)
        first, second = (right, left) if reverse else (left, right)
        if left.type.kind == "str" and key is None and not reverse:
            return ""
        if left.type.numeric or left.type.kind in ("bool", "bottom"):
            return f"({names[0]}, {names[1]}) => {first.at(PLUS)} - {second.at(PLUS + 1)}"
        return f"({names[0]}, {names[1]}) => {self.helper('compare', first.text, second.text)}"

    def extreme(self, items: Js, key: ast.expr | None, sign: str) -> Js:
        """The first smallest (`<`) or largest (`>`) item."""
        element = items.type.element
        left, right = self.pair(element, key)
        names = (
            ("left", "right") if left.text.startswith("left") or ("left" in left.text and "right" in right.text) else ("a", "b")
        )
        orderable(left.type)
        test = f"{right.at(LESS)} {sign} {left.at(LESS + 1)}"
        if left.type.array:
            test = f"{self.helper('compare', right.text, left.text)} {sign} 0"
        return Js(f"{items.member}.reduce(({names[0]}, {names[1]}) => ({test} ? {names[1]} : {names[0]}))", element)

    def sorted_array(self, items: Js, key: ast.expr | None, reverse: bool) -> Js:
        """A sorted copy."""
        fresh = items.member if items.text.startswith("[...") and items.text.endswith("]") else f"[...{items.text}]"
        return Js(f"{fresh}.sort({self.comparator(items.type.element, key, reverse=reverse)})", list_of(items.type.element))


def body_of(js: Js) -> str:
    """An expression as the body of an arrow function."""
    return f"({js.text})" if js.text.startswith("{") else js.at(CHOICE) if js.level != ARROW else js.text


def is_integer(node: ast.expr) -> bool:
    """Whether it is an integer, with or without a sign."""
    inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    return isinstance(inner, ast.Constant) and type(inner.value) is int
