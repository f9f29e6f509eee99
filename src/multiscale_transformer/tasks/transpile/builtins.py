"""Built-in functions of the transpiler.

`_of_NAME` takes translated arguments, so it can be passed on (`map(int, …)`); `_call_NAME` takes the call as it stands.
"""

from __future__ import annotations

import ast
from dataclasses import replace

from multiscale_transformer.tasks.transpile.calls import Calls, sort_options
from multiscale_transformer.tasks.transpile.expressions import kinds_named
from multiscale_transformer.tasks.transpile.regex import regex_call
from multiscale_transformer.tasks.transpile.sequences import body_of
from multiscale_transformer.tasks.transpile.types import (
    BOOL,
    BOTTOM,
    FLOAT,
    INT,
    NATURAL,
    NONE,
    STR,
    Type,
    join,
    joined,
    list_of,
)  # fmt: skip
from multiscale_transformer.tasks.transpile.values import (
    CHOICE,
    COALESCE,
    EQUAL,
    NUMBER,
    PLUS,
    UNARY,
    Js,
    balanced,
    mapped_zero,
    refuse,
    without_boolean,
)  # fmt: skip

_FRESH = ("map", "filter", "zip", "range", "sorted", "reversed")  # what they give is nobody else's


class Builtins(Calls):
    """Translates calls of built-in functions."""

    def special(self, node: ast.Call) -> Js | None:
        """Calls whose arguments are not translated one by one."""
        pattern = regex_call(self, node)
        if pattern is not None:
            return pattern
        if isinstance(node.func, ast.Name) and node.func.id in self.functions:
            return None
        name = self.callee(node.func)
        method = getattr(self, f"_call_{name.rpartition('.')[2]}", None)
        if name and method is not None and not any(isinstance(one, ast.Starred) for one in node.args):
            found: Js | None = method(node)
            return found
        return None

    # numbers and texts

    def _of_len(self, items: Js) -> Js:
        if items.type.kind in ("map", "set"):
            return Js(f"{items.member}.size", NATURAL)
        if items.type.kind == "object":
            return Js(f"Object.keys({items.text}).length", NATURAL)
        if not (items.type.array or items.type.kind == "str"):
            raise refuse(f"the length of a value of type {items.type.kind}")
        return Js(f"{items.member}.length", NATURAL)

    def _of_abs(self, x: Js) -> Js:
        return Js(f"Math.abs({self.number(x).text})", replace(self.number(x).type, natural=True))

    def _of_int(self, x: Js, base: Js | None = None) -> Js:
        if x.type.kind == "str":
            return Js(f"Number.parseInt({x.text}, {base.text if base else 10})", INT)
        number = self.number(x)
        return (
            number if number.type.kind == "int" else Js(f"Math.trunc({number.text})", replace(INT, natural=number.type.natural))
        )

    def _of_float(self, x: Js) -> Js:
        endless = {'"inf"': "Infinity", '"infinity"': "Infinity", '"-inf"': "-Infinity"}.get(x.text.lower())
        if endless is not None:
            return Js(endless, replace(FLOAT, natural=endless[0] == "I"), NUMBER)
        return (
            Js(f"Number({x.text})", FLOAT)
            if x.type.kind == "str"
            else replace(self.number(x), type=replace(FLOAT, natural=x.type.natural))
        )

    def _of_str(self, x: Js) -> Js:
        return self.string(x)

    def _of_bool(self, x: Js) -> Js:
        test = self.truth(x)
        return test if test.type == BOOL else Js(f"Boolean({test.text})", BOOL)

    def _of_round(self, x: Js, digits: Js | None = None) -> Js:
        number = self.number(x)
        if digits is None:
            return Js(self.helper("roundEven", number.text), replace(INT, natural=number.type.natural))
        return Js(self.helper("roundEven", number.text, digits.text), number.type)

    def _of_ord(self, x: Js) -> Js:
        return Js(f"{x.member}.codePointAt(0)", NATURAL)

    def _of_chr(self, x: Js) -> Js:
        return Js(f"String.fromCodePoint({x.text})", STR)

    def _of_bin(self, x: Js) -> Js:
        return Js(self.helper("toBase", x.text, "2", '"0b"'), STR)

    def _of_hex(self, x: Js) -> Js:
        return Js(self.helper("toBase", x.text, "16", '"0x"'), STR)

    def _of_oct(self, x: Js) -> Js:
        return Js(self.helper("toBase", x.text, "8", '"0o"'), STR)

    def _of_divmod(self, a: Js, b: Js) -> Js:
        parts = [self.binary(op, a, b) for op in (ast.FloorDiv, ast.Mod)]
        return Js(f"[{parts[0].text}, {parts[1].text}]", Type("tuple", (parts[0].type, parts[1].type)))

    def _of_pow(self, a: Js, b: Js, modulus: Js | None = None) -> Js:
        if modulus is None:
            return self.binary(ast.Pow, a, b)
        return Js(self.helper("powerMod", a.text, b.text, modulus.text), INT)

    def _of_print(self, *values: Js) -> Js:
        if any(value.type.kind not in ("str", "int") for value in values):
            raise refuse("printing values that are neither strings nor integers")
        return Js(f"console.log({', '.join(value.text for value in values)})", NONE)

    # iterables

    def _of_list(self, items: Js | None = None) -> Js:
        return Js("[]", list_of(BOTTOM)) if items is None else self._copied(items, "list")

    def _of_tuple(self, items: Js | None = None) -> Js:
        return Js("[]", Type("tuple")) if items is None else self._copied(items, "tuple")

    _of_collections_deque = _of_list

    def _copied(self, items: Js, kind: str, *, fresh: bool = False) -> Js:
        array = self.array(items)
        row = array.type if array.type.kind == "tuple" else Type("row", (array.type.element,))
        made = list_of(array.type.element) if kind == "list" else row
        return replace(array, type=made) if fresh or array is not items else Js(f"[...{array.text}]", made)

    def _call_list(self, node: ast.Call) -> Js:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if not node.args or name not in ("list", "tuple"):
            return self._of_tuple() if name == "tuple" else self._of_list(*map(self.expression, node.args))
        source = node.args[0]
        made = isinstance(source, ast.GeneratorExp | ast.ListComp)
        made |= isinstance(source, ast.Call) and self.callee(source.func) in (
            "map",
            "filter",
            "zip",
            "range",
            "sorted",
            "reversed",
        )
        return self._copied(self.expression(source), name, fresh=made)

    _call_tuple = _call_list

    def _call_set(self, node: ast.Call) -> Js:
        if not node.args:
            return Js("new Set()", Type("set", (BOTTOM,)))
        if isinstance(node.args[0], ast.GeneratorExp | ast.ListComp):
            return self.set_of(self.unordered(node.args[0]))
        return self._of_set(self.expression(node.args[0]))

    _call_frozenset = _call_set

    def _of_set(self, items: Js) -> Js:
        if items.type.kind in ("str", "set"):
            return Js(f"new Set({items.text})", Type("set", (items.type.element,)))
        return self.set_of(self.array(items))

    def _of_reversed(self, items: Js) -> Js:
        array = self.array(items)
        fresh = array.text if array.text.startswith("[...") else f"[...{array.text}]"
        return Js(f"{fresh}.reverse()", list_of(array.type.element))

    def _of_zip(self, *lists: Js) -> Js:
        arrays = [self.array(one) for one in lists]
        return Js(
            self.helper("zip", *(one.text for one in arrays)), list_of(Type("tuple", tuple(one.type.element for one in arrays)))
        )

    def _of_enumerate(self, items: Js, start: Js | None = None) -> Js:
        array = self.array(items)
        kind = list_of(Type("tuple", (NATURAL, array.type.element)))
        if start is None or start.text == "0":
            return Js(f"[...{array.member}.entries()]", kind)
        return Js(f"{array.member}.map((item, i) => [i + {start.at(PLUS + 1)}, item])", kind)

    def _call_range(self, node: ast.Call) -> Js:
        bounds = self.range_bounds(node)
        if bounds is None:
            values = [self.expression(one) for one in node.args]
            return Js(self.helper("range", *(value.text for value in values)), list_of(INT))
        start, stop, step = bounds
        return Js(
            self.helper("range", start.text, stop.text, *([str(step)] if step != 1 else [])),
            list_of(self.range_element(bounds)),
        )

    def _call_sorted(self, node: ast.Call) -> Js:
        key, reverse = sort_options(node)
        return self.sorted_array(self.unordered(node.args[0]), key, reverse)

    def _of_sorted(self, items: Js) -> Js:
        return self.sorted_array(self.array(items, ordered=False), None, False)

    def _call_map(self, node: ast.Call) -> Js:
        function, *sources = node.args
        arrays = [self.array(self.expression(one)) for one in sources]
        if len(arrays) == 1:
            made = self.arrow(function, [arrays[0].type.element])
            return Js(f"{arrays[0].member}.map({made.text})", list_of(made.type))
        first, second = arrays
        if isinstance(function, ast.Lambda):
            made = self.arrow(function, [first.type.element, second.type.element])
            head, _, body = made.text.partition(" => ")
            zipped = self.helper("zip", first.text, second.text)
            return Js(f"{zipped}.map(([{head[1:-1]}]) => {body})", list_of(made.type))
        made = self.applied(function, [Js("a", first.type.element), Js("b", second.type.element)])
        return Js(f"{self.helper('zip', first.text, second.text)}.map(([a, b]) => {body_of(made)})", list_of(made.type))

    def _call_filter(self, node: ast.Call) -> Js:
        array = self.array(self.expression(node.args[1]))
        if isinstance(node.args[0], ast.Constant):
            return Js(
                f"{array.member}.filter((item) => {self.truth(Js('item', array.type.element)).text})",
                list_of(array.type.element),
            )
        test = self.arrow(node.args[0], [array.type.element], condition=True)
        return Js(f"{array.member}.filter({test.text})", list_of(array.type.element))

    def _call_reduce(self, node: ast.Call) -> Js:
        function, source, *start = node.args
        array = self.array(self.expression(source))
        initial = [self.expression(one) for one in start]
        total = joined(*(one.type for one in initial)) if initial else array.type.element
        made = self.arrow(function, [total, array.type.element])
        made = self.arrow(function, [join(total, made.type), array.type.element])
        return Js(f"{array.member}.reduce({', '.join([made.text, *(one.text for one in initial)])})", join(total, made.type))

    # what makes one value of many

    def _call_sum(self, node: ast.Call) -> Js:
        start = self.expression(node.args[1]) if len(node.args) > 1 else Js("0", NATURAL)
        source = node.args[0]
        if (
            isinstance(source, ast.GeneratorExp)
            and isinstance(source.elt, ast.Constant)
            and source.elt.value == 1
            and start.text == "0"
            and source.generators[-1].ifs
        ):
            items = self.comprehension(source.generators, ast.Constant(0), ordered=False)
            return Js(f"{items.text.removesuffix(mapped_zero(items.text))}.length", NATURAL)
        return self._of_sum(self.unordered(source), start)

    def _of_sum(self, items: Js, start: Js | None = None) -> Js:
        items, start = self.array(items, ordered=False), start or Js("0", NATURAL)
        element = items.type.element
        if element.array and start.type.array:
            return Js(
                f"[...{start.text}, ...{items.member}.flat()]" if start.text != "[]" else f"{items.member}.flat()",
                list_of(element.element) if start.type.kind == "list" else Type("row", (element.element,)),
            )
        value = self.number(Js("item", element if element.kind != "bottom" else NATURAL))
        return Js(
            f"{items.member}.reduce((total, item) => total + {value.at(PLUS + 1)}, {start.text})", join(value.type, start.type)
        )

    def _call_any(self, node: ast.Call) -> Js:
        return self._tested(node.args[0], "some")

    def _call_all(self, node: ast.Call) -> Js:
        return self._tested(node.args[0], "every")

    def _tested(self, source: ast.expr, method: str) -> Js:
        if not isinstance(source, ast.GeneratorExp | ast.ListComp):
            items = self.unordered(source)
            test = self.truth(Js("item", items.type.element if items.type.element.kind != "bottom" else BOOL))
            return Js(f"{items.member}.{method}((item) => {test.text})", BOOL)
        *outer, last = source.generators
        if outer:
            items = self.comprehension(source.generators, source.elt, ordered=False)
            return Js(f"{items.member}.{method}((item) => {self.truth(Js('item', items.type.element)).text})", BOOL)
        element = ast.copy_location(ast.Call(ast.Name("bool", ast.Load()), [source.elt], []), source.elt)
        items = self.comprehension([last], element, ordered=False)
        with self.bound({}):
            head, _, body = items.text.rpartition(".map(")
        if items.text.endswith(")") and head and balanced(body[:-1]):
            return Js(f"{head}.{method}({without_boolean(body[:-1])})", BOOL)
        return Js(f"{items.member}.{method}(Boolean)", BOOL)

    def _call_min(self, node: ast.Call) -> Js:
        return self._extreme_call(node, "<")

    def _call_max(self, node: ast.Call) -> Js:
        return self._extreme_call(node, ">")

    def _extreme_call(self, node: ast.Call, sign: str) -> Js:
        options = {str(keyword.arg): keyword.value for keyword in node.keywords}
        key, default = options.pop("key", None), options.pop("default", None)
        if options:
            raise refuse("an option of min or max")
        if len(node.args) > 1:
            values = [self.expression(one) for one in node.args]
            items = Js(f"[{', '.join(one.text for one in values)}]", list_of(joined(*(one.type for one in values))))
            if key is None and items.type.element.numeric:
                natural = [one.type.natural for one in values]
                kind = replace(items.type.element, natural=any(natural) if sign == ">" else all(natural))
                return Js(f"Math.{'min' if sign == '<' else 'max'}({items.text[1:-1]})", kind)
        else:
            source = node.args[0]
            items = self.unordered(source) if key is None else self.array(self.expression(source))
        found = self.extreme_of(items, key, sign)
        if default is None:
            return found
        if not items.text.isidentifier():
            raise refuse("a default of min or max of something else than a name")
        other = self.expression(default)
        return Js(f"{items.text}.length > 0 ? {found.text} : {other.at(CHOICE)}", join(found.type, other.type), CHOICE)

    def extreme_of(self, items: Js, key: ast.expr | None, sign: str) -> Js:
        """The smallest or largest item of an array."""
        items = self.array(items, ordered=False)
        if key is None and (items.type.element.numeric or items.type.element.kind == "bottom"):
            inner = items.text if not items.text.startswith("[...") or items.text.count("]") > 1 else items.text[1:-1]
            return Js(
                f"Math.{'min' if sign == '<' else 'max'}({inner if inner.startswith('...') else '...' + items.text})",
                items.type.element,
            )
        return self.extreme(items, key, sign)

    def _of_max(self, *values: Js) -> Js:
        return self._of_several(values, ">")

    def _of_min(self, *values: Js) -> Js:
        return self._of_several(values, "<")

    def _of_several(self, values: tuple[Js, ...], sign: str) -> Js:
        if len(values) == 1:
            return self.extreme_of(values[0], None, sign)
        kind = joined(*(one.type for one in values))
        if not kind.numeric:
            raise refuse("min or max of values that are no numbers")
        return Js(f"Math.{'min' if sign == '<' else 'max'}({', '.join(one.text for one in values)})", kind)

    def _call_next(self, node: ast.Call) -> Js:
        source = node.args[0]
        if not isinstance(source, ast.GeneratorExp):
            raise refuse("next of something else than a generator")
        items = self.comprehension(source.generators, source.elt)
        if len(node.args) == 1:
            return Js(f"{items.member}[0]", items.type.element)
        default = self.expression(node.args[1])
        return Js(f"{items.member}[0] ?? {default.at(EQUAL)}", join(items.type.element, default.type), COALESCE)

    def _call_isinstance(self, node: ast.Call) -> Js:
        value, kinds = self.expression(node.args[0]), kinds_named(node.args[1])
        known = value.type.of if value.type.kind == "any" else (value.type,)
        if not known or value.type.optional or any(one.kind in ("num", "bottom", "any") for one in known):
            raise refuse("the class of a value that is not known")
        yes, no = ({one.kind for one in known if (one.kind in kinds) == wanted} for wanted in (True, False))
        if not yes or not no:
            return Js("false" if not yes else "true", BOOL)
        tests = {
            "str": (f'typeof {value.at(UNARY)} === "string"', {"str"}),
            "number": (f'typeof {value.at(UNARY)} === "number"', {"int", "float"}),
            "bool": (f'typeof {value.at(UNARY)} === "boolean"', {"bool"}),
            "array": (f"Array.isArray({value.text})", {"list", "tuple", "row"}),
        }
        for test, of in tests.values():
            if yes <= of and not no & of:
                return Js(test, BOOL, EQUAL)
            if no <= of and not yes & of:
                return Js(f"!({test})", BOOL, UNARY)
        raise refuse("a class that JavaScript cannot tell")
