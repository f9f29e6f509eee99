"""Calls of the transpiler: Python's built-in functions, methods and modules by tables, and functions of the source itself."""

from __future__ import annotations

import ast
import re
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

from multiscale_transformer.tasks.transpile.sequences import Sequences
from multiscale_transformer.tasks.transpile.tables import CONSTANTS, MATH, TEXT_METHODS
from multiscale_transformer.tasks.transpile.types import (
    BOOL,
    BOTTOM,
    FLOAT,
    NATURAL,
    NONE,
    STR,
    Type,
    join,
    list_of,
)  # fmt: skip
from multiscale_transformer.tasks.transpile.values import (
    CHOICE,
    COALESCE,
    EQUAL,
    PLUS,
    PRIMARY,
    Js,
    js_name,
    refuse,
)  # fmt: skip

_NEVER_NEGATIVE = ("sqrt", "floor", "ceil", "trunc", "pow", "exp", "fabs", "hypot", "gcd", "factorial", "isqrt")  # of naturals
_OPERATORS: dict[str, type[ast.operator]] = {
    "add": ast.Add,
    "sub": ast.Sub,
    "mul": ast.Mult,
    "mod": ast.Mod,
    "truediv": ast.Div,
    "floordiv": ast.FloorDiv,
}


class Calls(Sequences):
    """Translates calls."""

    standing_alone: ast.Call | None = None  # the call whose value is not used

    def template(self, text: str, kind: Type, values: list[Js]) -> Js:
        """A filled template; one that begins with `@` calls a helper."""
        if text.startswith("@"):
            self.helpers.add(text[1 : text.index("(")])
        if any(f"{{{at}}}" in text or f"{{={at}}}" in text for at in range(len(values), 4)) or not text:
            raise refuse("a call with other arguments")
        filled = re.sub(
            r"\{(=?)(\d)\}", lambda m: values[int(m[2])].text if m[1] else values[int(m[2])].member, text.removeprefix("@")
        )
        return Js(filled, kind, CHOICE if " ? " in filled else PRIMARY if not text.startswith("{0} *") else PLUS)

    def qualified(self, node: ast.expr) -> str | None:
        """The full name of what an imported name or an attribute of a module is, such as `math.sqrt`."""
        if isinstance(node, ast.Name) and self.scope_of(node.id) is None:
            return self.modules.get(node.id)
        if isinstance(node, ast.Attribute):
            base = self.qualified(node.value)
            return None if base is None else f"{base}.{node.attr}"
        return None

    def _attribute(self, node: ast.Attribute) -> Js:
        name = self.qualified(node)
        if name in CONSTANTS:
            return Js(*CONSTANTS[name])
        raise refuse(f"the attribute {node.attr}")

    def _name(self, node: ast.Name) -> Js:
        name = self.qualified(node)
        return Js(*CONSTANTS[name]) if name in CONSTANTS else super()._name(node)

    def _call(self, node: ast.Call) -> Js:
        if any(keyword.arg is None for keyword in node.keywords):
            raise refuse("a call with **")
        special = self.special(node)
        if special is not None:
            return special
        if isinstance(node.func, ast.Attribute) and self.qualified(node.func) is None:
            return self._method(node, node.func)
        spread = [argument for argument in node.args if isinstance(argument, ast.Starred)]
        if spread:
            return self._spread(node)
        return self.called(
            node.func,
            [self.expression(one) for one in node.args],
            {str(one.arg): self.expression(one.value) for one in node.keywords},
        )

    def _spread(self, node: ast.Call) -> Js:
        name, inner = self.callee(node.func), node.args[0]
        if (
            name in ("zip", "itertools.product", "max", "min", "itertools.chain")
            and len(node.args) == 1
            and isinstance(inner, ast.Starred)
        ):
            items = self.array(self.expression(inner.value))
            element = items.type.element
            if name == "itertools.chain":
                return Js(f"{items.member}.flat()", list_of(element.element))
            if name in ("max", "min"):
                return self.extreme_of(items, None, "<" if name == "min" else ">")
            if not element.array:
                raise refuse("a call with * of something else than lists")
            return Js(self.helper(name.rpartition(".")[2], f"...{items.text}"), list_of(Type("row", (element.element,))))
        raise refuse("a call with *")

    def callee(self, function: ast.expr) -> str:
        """The name of a built-in function or one of a module; empty for any other."""
        full = self.qualified(function)
        if full is not None:
            return full
        return function.id if isinstance(function, ast.Name) and self.scope_of(function.id) is None else ""

    def called(self, function: ast.expr, arguments: list[Js], named: dict[str, Js]) -> Js:  # noqa: PLR0911 - one for each kind
        """A call with translated arguments."""
        if isinstance(function, ast.Name) and function.id in self.functions:
            return self.call_own(function.id, arguments, named)
        name = self.callee(function)
        if (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id == "str"
            and not name
        ):
            return self.text_method(arguments[0], function.attr, arguments[1:])
        if isinstance(function, ast.Call) and self.callee(function.func) == "operator.itemgetter" and len(function.args) == 1:
            with self.bound({"\0": arguments[0].type}, {"\0": arguments[0].text}):
                return self._subscript(ast.Subscript(ast.Name("\0", ast.Load()), function.args[0], ast.Load()))
        module, _, short = name.rpartition(".")
        if module == "math" and short == "log":
            logs = [f"Math.log({one.text})" for one in arguments]
            return Js(" / ".join(logs), FLOAT, PRIMARY if len(logs) == 1 else PLUS + 1)
        if module == "math" and short in MATH:
            kind = MATH[short][1]
            natural = kind.natural or (kind.numeric and all(one.type.natural for one in arguments))
            return self.template(MATH[short][0], replace(kind, natural=natural and short in _NEVER_NEGATIVE), arguments)
        if module == "operator" and short in _OPERATORS and len(arguments) == 2:
            return self.binary(_OPERATORS[short], *arguments)
        if name == "operator.eq" and len(arguments) == 2:
            return self.equal(*arguments)
        if module == "bisect" and len(arguments) == 2:
            return Js(self.helper("bisect", arguments[0].text, arguments[1].text, str(short == "bisect_left").lower()), NATURAL)
        method: Callable[..., Js] | None = getattr(self, f"_of_{name.replace('.', '_')}", None)
        if method is None:
            raise refuse(f"the function {name or ast.unparse(function)}")
        return method(*arguments, **named)

    def call_own(self, name: str, arguments: list[Js], named: dict[str, Js]) -> Js:
        """A call of a function of the source, whose parameters thereby become wider."""
        function = self.functions[name]
        given = function.node.args
        parameters = [one.arg for one in (*given.posonlyargs, *given.args)]
        texts = [one.text for one in arguments]
        for parameter, one in zip(parameters, arguments, strict=False):
            self._pass(function.scope.types, parameter, one.type)
        if named:
            rest = parameters[len(arguments) :]
            if set(named) - set(rest) or set(rest[: len(named)]) != set(named):
                raise refuse("named arguments")
            for parameter in rest[: len(named)]:
                self._pass(function.scope.types, parameter, named[parameter].type)
                texts.append(named[parameter].text)
        return Js(f"{js_name(name)}({', '.join(texts)})", function.returns)

    def _pass(self, types: dict[str, Type], parameter: str, new: Type) -> None:
        wider = join(types.get(parameter, BOTTOM), new)
        self.changed |= wider != types.get(parameter)
        types[parameter] = wider

    # methods

    def _method(self, node: ast.Call, function: ast.Attribute) -> Js:
        if node.keywords and not (function.attr == "sort"):
            raise refuse("named arguments of a method")
        receiver = self.expression(function.value)
        kind = receiver.type.kind
        if kind == "str":
            return self.text_method(receiver, function.attr, [self.expression(one) for one in node.args], node)
        family = "list" if receiver.type.array else "dict" if kind in ("map", "object") else kind
        method: Callable[..., Js] | None = getattr(self, f"_{family}_{function.attr}", None)
        if method is None:
            raise refuse(f"the method {function.attr} of a value of type {kind}")
        found: Js = method(receiver, node, function.value)
        if found.type == NONE and node is not self.standing_alone:  # push and splice give something where Python gives None
            raise refuse(f"what the method {function.attr} gives")
        return found

    def text_method(self, text: Js, name: str, arguments: list[Js], node: ast.Call | None = None) -> Js:
        """A method of a string."""
        if name == "join" and len(arguments) == 1:
            items = self.array(arguments[0])
            if items.type.element.kind not in ("str", "bottom"):
                raise refuse("joining values that are no strings")
            return Js(f"{items.member}.join({text.text})", STR)
        if name == "count" and len(arguments) == 1:
            return Js(f"{text.member}.split({arguments[0].text}).length - 1", NATURAL, PLUS)
        if name == "capitalize" and not arguments:
            return Js(f"{text.member}.charAt(0).toUpperCase() + {text.member}.slice(1).toLowerCase()", STR, PLUS)
        if name == "replace" and (len(arguments) == 2 or (len(arguments) == 3 and arguments[2].text == "1")):
            old, new = arguments[:2]
            fresh = new.text if new.text.startswith('"') and "$" not in new.text else f"() => {new.at(CHOICE)}"
            return Js(f"{text.member}.{'replaceAll' if len(arguments) == 2 else 'replace'}({old.text}, {fresh})", STR)
        if name == "format" and re.fullmatch(r'"([^{}]|\{\})*"', text.text) and text.text.count("{}") == len(arguments):
            parts = text.text[1:-1].replace("`", "\\`").replace('\\"', '"').split("{}")
            filled = "".join(
                part + ("${" + self.formatted(one, "") + "}" if one else "")
                for part, one in zip(parts, [*arguments, None], strict=True)
            )
            return Js(f"`{filled}`", STR)
        if name in ("startswith", "endswith") and arguments and arguments[0].type.kind != "str":
            raise refuse(f"{name} with several texts")
        if f"{name}/{len(arguments)}" not in TEXT_METHODS:
            raise refuse(f"the method {name} of str")
        return self.template(*TEXT_METHODS[f"{name}/{len(arguments)}"], [text, *arguments])

    def _list_append(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        value = self.expression(node.args[0])
        self.widen(place, list_of(value.type))
        return Js(f"{items.member}.{'unshift' if ast.unparse(node.func).endswith('left') else 'push'}({value.text})", NONE)

    _list_appendleft = _list_append

    def _list_extend(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        value = self.array(self.expression(node.args[0]))
        self.widen(place, list_of(value.type.element))
        return Js(f"{items.member}.push(...{value.text})", NONE)

    def _list_insert(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        at, value = (self.expression(one) for one in node.args)
        self.widen(place, list_of(value.type))
        return Js(f"{items.member}.splice({at.text}, 0, {value.text})", NONE)

    def _list_pop(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        at = self.expression(node.args[0]).text if node.args else "-1"
        simple = {"-1": ".pop()", "0": ".shift()"}.get(at)
        return Js(f"{items.member}{simple or f'.splice({at}, 1)[0]'}", items.type.element)

    def _list_popleft(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        return Js(f"{items.member}.shift()", items.type.element)

    def _list_remove(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        return Js(f"{items.member}.splice({self._list_index(items, node, place).text}, 1)", NONE)

    def _list_reverse(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        return Js(f"{items.member}.reverse()", NONE)

    def _list_clear(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        return Js(f"{items.member}.splice(0)", NONE)

    def _list_copy(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        return Js(f"[...{items.text}]", items.type)

    def _list_index(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        value = self.expression(node.args[0])
        if len(node.args) == 1 and value.type.array:
            return Js(f"{items.member}.findIndex((one) => {self.equal(Js('one', items.type.element), value).text})", NATURAL)
        if len(node.args) > 2 or not value.type.primitive or self.mixed(value, items):
            raise refuse("this index")
        return Js(f"{items.member}.indexOf({', '.join(self.expression(one).text for one in node.args)})", NATURAL)

    def _list_count(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        test = self.equal(Js("one", items.type.element), self.expression(node.args[0]))
        return Js(f"{items.member}.filter((one) => {test.text}).length", NATURAL)

    def _list_sort(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        key, reverse = sort_options(node)
        return Js(f"{items.member}.sort({self.comparator(items.type.element, key, reverse=reverse)})", NONE)

    def _set_add(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        value = self.expression(node.args[0])
        self.widen(place, Type("set", (value.type,)))
        return Js(f"{items.member}.add({self.key(value)})", NONE)

    def _set_discard(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        return Js(f"{items.member}.delete({self.key(self.expression(node.args[0]))})", NONE)

    _set_remove = _set_discard

    def _set_operation(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        name = ast.unparse(node.func).rpartition(".")[2]
        others = [self.expression(one) for one in node.args]
        sets = [one if one.type.kind == "set" else self.set_of(self.array(one)) for one in others]
        if len(sets) != 1:
            raise refuse("a set operation with several sets")
        if name == "issuperset":
            return Js(self.helper("isSubset", sets[0].text, items.text), BOOL)
        helper = {"issubset": "isSubset"}.get(name, name)
        return Js(
            self.helper(helper, items.text, sets[0].text), BOOL if helper == "isSubset" else join(items.type, sets[0].type)
        )

    _set_union = _set_intersection = _set_difference = _set_issubset = _set_issuperset = _set_operation

    def _dict_parts(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        name = ast.unparse(node.func).rpartition(".")[2]
        key, value = items.type.of
        element = {"keys": key, "values": value, "items": Type("tuple", (key, value))}[name]
        if items.type.kind == "object":
            return Js(f"Object.{'entries' if name == 'items' else name}({items.text})", list_of(element))
        return Js(f"[...{items.text}]" if name == "items" else f"[...{items.member}.{name}()]", list_of(element))

    _dict_keys = _dict_values = _dict_items = _dict_parts

    def _dict_get(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        key = self.expression(node.args[0])
        default = self.expression(node.args[1]) if len(node.args) > 1 else Js("null", NONE)
        self.widen(place, Type(items.type.kind, (key.type, BOTTOM)))
        read = f"{items.member}[{key.text}]" if items.type.kind == "object" else f"{items.member}.get({self.key(key)})"
        return Js(f"{read} ?? {default.at(EQUAL)}", join(items.type.of[1], default.type), COALESCE)

    def _dict_setdefault(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        key, value = (self.expression(one) for one in node.args)
        self.widen(place, Type(items.type.kind, (key.type, value.type)))
        if items.type.kind == "object":
            return Js(f"({items.member}[{key.text}] ??= {value.text})", items.type.of[1])
        return Js(self.helper("setDefault", items.text, self.key(key), value.text), items.type.of[1])

    def _dict_pop(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        raise refuse("pop of a dict")

    def _dict_copy(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        return Js(f"{{ ...{items.text} }}" if items.type.kind == "object" else f"new Map({items.text})", items.type)

    def _dict_update(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        other = self.expression(node.args[0])
        self.widen(place, replace(other.type, kind=items.type.kind))
        if items.type.kind == other.type.kind == "object":
            return Js(f"Object.assign({items.text}, {other.text})", NONE)
        if items.type.kind == other.type.kind == "map" and not items.type.default:
            return Js(f"{other.member}.forEach((value, key) => {items.member}.set(key, value))", NONE)
        raise refuse("an update of a dict")

    def _dict_most_common(self, items: Js, node: ast.Call, place: ast.expr) -> Js:
        end = f".slice(0, {self.expression(node.args[0]).text})" if node.args else ""
        kind = list_of(Type("tuple", items.type.of))
        return Js(f"[...{items.text}].sort((a, b) => b[1] - a[1]){end}", kind)

    def _match_group(self, found: Js, node: ast.Call, place: ast.expr) -> Js:
        return Js(f"{found.member}[{self.expression(node.args[0]).text if node.args else '0'}]", STR)

    def _match_start(self, found: Js, node: ast.Call, place: ast.expr) -> Js:
        return Js(f"{found.member}.index", NATURAL)

    def _match_end(self, found: Js, node: ast.Call, place: ast.expr) -> Js:
        return Js(f"{found.member}.index + {found.member}[0].length", NATURAL, PLUS)

    @abstractmethod
    def extreme_of(self, items: Js, key: ast.expr | None, sign: str) -> Js:
        """The smallest or largest item of an array."""

    @abstractmethod
    def special(self, node: ast.Call) -> Js | None:
        """Calls whose arguments are not translated one by one: those that take functions, generators or patterns."""


def sort_options(node: ast.Call) -> tuple[ast.expr | None, bool]:
    """The key function and whether the order is reversed."""
    key, reverse = None, False
    for keyword in node.keywords:
        if keyword.arg == "key":
            key = None if isinstance(keyword.value, ast.Constant) else keyword.value
        elif keyword.arg == "reverse" and isinstance(keyword.value, ast.Constant):
            reverse = bool(keyword.value.value)
        else:
            raise refuse(f"the option {keyword.arg} of a sort")
    return key, reverse
