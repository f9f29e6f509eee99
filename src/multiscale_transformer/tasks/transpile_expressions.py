"""Expressions of the transpiler: a Python expression in, JavaScript with its type and its binding strength out.

An operator is translated by the types of its operands. What is not known, or means something else in JavaScript, raises
`Untranslatable`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from multiscale_transformer.tasks.transpile_types import (
    ANY, BOOL, BOTTOM, FLOAT, INT, NATURAL, NONE, NUM, STR, Type, Untranslatable, join, joined, list_of, shallow, type_of_value,
)  # fmt: skip

PRIMARY, NUMBER, UNARY, POWER, TIMES, PLUS, LESS, EQUAL, BIT_AND, XOR, BIT_OR, AND, OR, COALESCE, CHOICE, ARROW = range(
    20, 4, -1
)
_RESERVED = set(
    "arguments await break case catch class const continue debugger default delete do else enum eval export extends false finally "
    "for function if implements import in instanceof interface let new null package private protected public return static super "
    "switch this throw true try typeof var void while with yield undefined NaN Infinity "
    "Math Map Set Number String Object Array JSON RegExp Error BigInt Boolean Symbol Date Promise".split()
)
_ARITHMETIC: dict[type[ast.operator], tuple[str, int]] = {ast.Sub: ("-", PLUS), ast.Mult: ("*", TIMES), ast.Div: ("/", TIMES)}
_BITS: dict[type[ast.operator], tuple[str, int, str]] = {
    ast.BitAnd: ("&", BIT_AND, "intersection"), ast.BitOr: ("|", BIT_OR, "union"), ast.BitXor: ("^", XOR, ""),
}  # fmt: skip
_ORDER: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


@dataclass(frozen=True)
class Js:
    """An expression in JavaScript."""

    text: str
    type: Type
    level: int = PRIMARY

    def at(self, level: int) -> str:
        """The text as an operand that binds at least so strongly."""
        return self.text if self.level >= level else f"({self.text})"

    @property
    def member(self) -> str:
        """The text in front of a dot or a bracket."""
        return self.at(PRIMARY)


@dataclass
class Scope:
    """Names of a function, a lambda or a comprehension with their types, and what they are called in JavaScript."""

    types: dict[str, Type] = field(default_factory=dict)
    js: dict[str, str] = field(default_factory=dict)


@dataclass
class Function:
    """A function of the source: what is known of its parameters and of what it returns."""

    node: ast.FunctionDef | ast.Lambda
    scope: Scope
    returns: Type = BOTTOM


def js_name(name: str) -> str:
    """A name of Python as one of JavaScript."""
    return f"{name}_" if name in _RESERVED else name


def refuse(reason: str, node: ast.AST | None = None) -> Untranslatable:
    """What is to be raised, with the line where that is known."""
    line = getattr(node, "lineno", None)
    return Untranslatable(reason if line is None else f"line {line}: {reason}")


class Expressions:
    """Translates expressions. `changed` says that a type has become wider since it was last set to false."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.functions: dict[str, Function] = {}
        self.modules: dict[str, str] = {}  # local name: what was imported
        self.helpers: set[str] = set()
        self.constants: dict[str, ast.expr] = {}  # names with one assignment, of a literal
        self.changed = False

    def helper(self, name: str, *arguments: str) -> str:
        """A call of a helper function."""
        self.helpers.add(name)
        return f"{name}({', '.join(arguments)})"

    @contextmanager
    def bound(self, types: dict[str, Type], js: dict[str, str] | None = None) -> Iterator[None]:
        """Names that stand for something inside only."""
        self.scopes.append(Scope(dict(types), dict(js or {})))
        try:
            yield
        finally:
            self.scopes.pop()

    def scope_of(self, name: str) -> Scope | None:
        """The innermost scope that knows a name."""
        return next((scope for scope in reversed(self.scopes) if name in scope.types), None)

    def widen(self, node: ast.expr, new: Type) -> None:
        """Learn that what `node` names holds values of this type as well."""
        if isinstance(node, ast.Name):
            scope = self.scope_of(node.id)
            if scope is not None:
                wider = shallow(join(scope.types[node.id], new))
                self.changed |= wider != scope.types[node.id]
                scope.types[node.id] = wider
        elif isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Slice):
            holder = self.expression(node.value).type
            if holder.kind == "list":
                self.widen(node.value, list_of(new))
            elif holder.kind in ("map", "object"):
                self.widen(node.value, Type(holder.kind, (self.expression(node.slice).type, new)))

    def expression(self, node: ast.expr) -> Js:
        """A translated expression. Raises Untranslatable."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise refuse(f"{type(node).__name__} has no translation", node)
        try:
            found: Js = method(node)
        except Untranslatable as error:
            raise (error if str(error).startswith("line ") else refuse(str(error), node)) from None
        return found

    def argument(self, node: ast.expr) -> str:
        """A translated expression between commas."""
        return (
            f"...{self.array(self.expression(node.value)).text}"
            if isinstance(node, ast.Starred)
            else self.expression(node).text
        )

    # names and literals

    def _name(self, node: ast.Name) -> Js:
        scope = self.scope_of(node.id)
        if scope is not None:
            return Js(scope.js.get(node.id, js_name(node.id)), scope.types[node.id])
        if node.id in self.functions:
            return Js(js_name(node.id), Type("function"))
        raise refuse(f"the name {node.id} is not known")

    def _constant(self, node: ast.Constant) -> Js:
        value = node.value
        if value is None or isinstance(value, bool):
            return Js({None: "null", True: "true", False: "false"}[value], type_of_value(value))
        if isinstance(value, int):
            if value > 2**53:
                raise refuse("an integer that is larger than JavaScript's")
            return Js(str(value), NATURAL, NUMBER)
        if isinstance(value, float):
            text = "Infinity" if value == float("inf") else repr(value)
            return Js(text, replace(FLOAT, natural=True), NUMBER)
        if isinstance(value, str):
            return Js(json.dumps(value, ensure_ascii=False), STR)
        raise refuse(f"a literal of type {type(value).__name__}")

    def _joinedstr(self, node: ast.JoinedStr) -> Js:
        parts = []
        for part in node.values:
            if isinstance(part, ast.Constant):
                parts.append(template_text(str(part.value)))
            elif isinstance(part, ast.FormattedValue):
                spec = (
                    "".join(str(one.value) for one in part.format_spec.values if isinstance(one, ast.Constant))
                    if isinstance(part.format_spec, ast.JoinedStr)
                    else ""
                )
                if part.conversion not in (-1, 115):
                    raise refuse("a conversion in an f-string")
                parts.append("${" + self.formatted(self.expression(part.value), spec) + "}")
        return Js(f"`{''.join(parts)}`", STR)

    def formatted(self, value: Js, spec: str) -> str:
        """A value as a format such as `.2f` writes it."""
        if spec.endswith("f") and spec[:1] == "." and spec[1:-1].isdigit() and value.type.numeric:
            return f"{value.member}.toFixed({spec[1:-1]})" if value.level != NUMBER else f"({value.text}).toFixed({spec[1:-1]})"
        if spec.lstrip("0").rstrip("d").isdigit() and value.type.kind == "int":
            return f'String({value.text}).padStart({spec.lstrip("0").rstrip("d")}, "{"0" if spec[0] == "0" else " "}")'
        if spec in ("b", "x", "o") and value.type.natural:
            return f"{value.member}.toString({ {'b': 2, 'x': 16, 'o': 8}[spec] })"
        if spec not in ("", "d", "s"):
            raise refuse(f"the format {spec!r}")
        return self.string(value).text if value.type.kind not in ("str", "int") or value.type.optional else value.text

    def string(self, value: Js) -> Js:
        """A value as `str` writes it."""
        kind = value.type.kind
        if value.type.optional or kind not in ("str", "int", "float", "bool"):
            raise refuse(f"the text of a value of type {kind}")
        if kind == "bool":
            return Js(f'({value.at(OR)} ? "True" : "False")', STR)
        return (
            value
            if kind == "str"
            else Js(self.helper("floatText", value.text) if kind == "float" else f"String({value.text})", STR)
        )

    def _list(self, node: ast.List) -> Js:
        return Js(f"[{', '.join(map(self.argument, node.elts))}]", list_of(joined(*map(self._item_type, node.elts))))

    def _tuple(self, node: ast.Tuple) -> Js:
        types = tuple(map(self._item_type, node.elts))
        starred = any(isinstance(one, ast.Starred) for one in node.elts)
        return Js(
            f"[{', '.join(map(self.argument, node.elts))}]", Type("row", (joined(*types),)) if starred else Type("tuple", types)
        )

    def _item_type(self, node: ast.expr) -> Type:
        return self.expression(node.value).type.element if isinstance(node, ast.Starred) else self.expression(node).type

    def _set(self, node: ast.Set) -> Js:
        element = joined(*map(self._item_type, node.elts))
        return Js(f"new Set([{', '.join(self.key(self.expression(one)) for one in node.elts)}])", Type("set", (element,)))

    def _dict(self, node: ast.Dict) -> Js:
        if not node.keys:
            return Js("new Map()", Type("map", (BOTTOM, BOTTOM)))
        values = [self.expression(value) for value in node.values]
        keys = [None if key is None else self.expression(key) for key in node.keys]
        kinds = [value.type if key is None else key.type for key, value in zip(keys, values, strict=True)]
        if all(kind.kind in ("object", "str") for kind in kinds):
            named = [isinstance(key, ast.Constant) for key in node.keys if key is not None]
            parts = [
                f"...{value.text}" if key is None else f"{key.text if constant else f'[{key.text}]'}: {value.text}"
                for key, value, constant in zip(keys, values, [isinstance(one, ast.Constant) for one in node.keys], strict=True)
            ]
            spread = [value.type.of[1] if key is None else value.type for key, value in zip(keys, values, strict=True)]
            if all(named):
                return Js(f"{{ {', '.join(parts)} }}", Type("object", (STR, joined(*spread))))
        parts, key_type, value_type = [], BOTTOM, BOTTOM
        for key, value in zip(keys, values, strict=True):
            if key is None:
                raise refuse("a dict that is spread into another")
            parts.append(f"[{self.key(key)}, {value.text}]")
            key_type, value_type = join(key_type, key.type), join(value_type, value.type)
        return Js(f"new Map([{', '.join(parts)}])", Type("map", (key_type, value_type)))

    def key(self, js: Js) -> str:
        """A value as an element of a set or a key: of tuples with the same items there is one."""
        kind = js.type.kind
        if kind in ("tuple", "row"):
            return self.helper("intern", js.text)
        if kind in ("int", "float", "num", "str", "bool", "none", "bottom") or _no_mixed_keys(js.type):
            return js.text
        raise refuse(f"a key of type {kind}")

    # operators

    def number(self, js: Js) -> Js:
        """An operand of arithmetic."""
        if js.type.kind == "bool":
            return Js(f"Number({js.text})", NATURAL)
        if not js.type.numeric:
            raise refuse(f"arithmetic with a value of type {js.type.kind}")
        return js

    def _unaryop(self, node: ast.UnaryOp) -> Js:
        if isinstance(node.op, ast.Not):
            return self.negated(node.operand)
        operand = self.number(self.expression(node.operand))
        sign = {ast.USub: "-", ast.UAdd: "+", ast.Invert: "~"}[type(node.op)]
        space = " " if operand.text.startswith(sign) else ""
        return Js(f"{sign}{space}{operand.at(UNARY)}", replace(operand.type, natural=False), UNARY)

    def _binop(self, node: ast.BinOp) -> Js:
        if isinstance(node.op, ast.Mod) and isinstance(node.left, ast.Constant) and isinstance(node.left.value, str):
            return self.percent(node.left.value, node.right)
        return self.binary(type(node.op), self.expression(node.left), self.expression(node.right))

    def percent(self, text: str, right: ast.expr) -> Js:
        """A format with `%`."""
        values = right.elts if isinstance(right, ast.Tuple) else [right]
        pieces, out, rest = iter(values), "", text
        while "%" in rest:
            before, _, rest = rest.partition("%")
            spec = rest[: next((at for at, c in enumerate(rest) if c.isalpha() or c == "%"), 0) + 1]
            rest = rest[len(spec) :]
            value = next(pieces, None)
            if spec == "%" or value is None:
                raise refuse("a format with %")
            out += template_text(before) + "${" + self.formatted(self.expression(value), spec) + "}"
        return Js(f"`{out}{template_text(rest)}`", STR)

    def binary(self, op: type[ast.operator], left: Js, right: Js) -> Js:
        """An operator between two values."""
        kinds = (left.type.kind, right.type.kind)
        if op is ast.Add and left.type.array and right.type.array and ("list" not in kinds or kinds == ("list", "list")):
            items = [
                js.text[1:-1] if js.text.startswith("[") and js.text.count("[") == 1 else f"...{js.text}"
                for js in (left, right)
            ]
            both = Type("tuple", left.type.of + right.type.of) if kinds == ("tuple", "tuple") else None
            kind = "list" if kinds == ("list", "list") else "row"
            return Js(f"[{', '.join(filter(None, items))}]", both or Type(kind, (join(left.type.element, right.type.element),)))
        if op is ast.Add and kinds == ("str", "str"):
            return Js(f"{left.at(PLUS)} + {right.at(PLUS + 1)}", STR, PLUS)
        if op is ast.Mult and (left.type.array or right.type.array or "str" in kinds):
            return self._repeated(left, right) if not (right.type.array or kinds[1] == "str") else self._repeated(right, left)
        if kinds == ("set", "set"):
            name = "difference" if op is ast.Sub else _BITS.get(op, ("", 0, ""))[2]
            if not name:
                raise refuse("an operator of sets")
            return Js(self.helper(name, left.text, right.text), join(left.type, right.type))
        return self._arithmetic(op, self.number(left), self.number(right))

    def _repeated(self, items: Js, times: Js) -> Js:
        count = self.number(times)
        if items.type.kind == "str":
            return Js(f"{items.member}.repeat({count.text if count.type.natural else f'Math.max(0, {count.text})'})", STR)
        kind = Type("row" if items.type.kind != "list" else "list", (items.type.element,))
        single = items.text[1:-1] if items.text.startswith("[") else ""
        if single and "," not in single and items.type.element.primitive and not single.startswith("..."):
            return Js(f"Array.from({{ length: {count.text} }}, () => {single})", kind)
        return Js(self.helper("repeat", items.text, count.text), kind)

    def _arithmetic(self, op: type[ast.operator], left: Js, right: Js) -> Js:
        whole = left.type.kind == right.type.kind == "int"
        natural = left.type.natural and right.type.natural
        floats = "float" in (left.type.kind, right.type.kind)
        base = INT if whole else FLOAT if floats else NUM
        result = replace(base, natural=natural)
        if op is ast.Add:
            return Js(f"{left.at(PLUS)} + {right.at(PLUS + 1 if '+' == right.text[0] else PLUS + 1)}", result, PLUS)
        if op in _ARITHMETIC:
            sign, level = _ARITHMETIC[op]
            kind = replace(FLOAT, natural=natural) if op is ast.Div else replace(base, natural=natural and op is not ast.Sub)
            return Js(f"{left.at(level)} {sign} {right.at(level + 1)}", kind, level)
        if op is ast.FloorDiv:
            return Js(f"Math.floor({left.at(TIMES)} / {right.at(TIMES + 1)})", result)
        if op is ast.Mod:
            if natural:
                return Js(f"{left.at(TIMES)} % {right.at(TIMES + 1)}", result, TIMES)
            return Js(self.helper("modulo", left.text, right.text), replace(base, natural=right.type.natural))
        if op is ast.Pow:
            kind = FLOAT if floats else INT if whole and right.type.natural else NUM
            even = right.text in ("2", "4")
            return Js(f"{left.at(NUMBER)} ** {right.at(POWER)}", replace(kind, natural=left.type.natural or even), POWER)
        if op in (ast.LShift, ast.RShift) and whole:
            power = f"2 ** {right.at(POWER)}"
            kind = replace(INT, natural=left.type.natural)
            text = f"{left.at(TIMES)} * {power}"
            return Js(text, kind, TIMES) if op is ast.LShift else Js(f"Math.floor({left.at(TIMES)} / {power})", kind)
        if op in _BITS and whole:
            sign, level, _ = _BITS[op]
            return Js(f"{left.at(level)} {sign} {right.at(level + 1)}", result, level)
        raise refuse("this operator")

    def _boolop(self, node: ast.BoolOp) -> Js:
        values = [self.expression(value) for value in node.values]
        sign, level = ("&&", AND) if isinstance(node.op, ast.And) else ("||", OR)
        for value in values[:-1]:
            if not truth_is_native(value.type):
                raise refuse(f"the value of and/or of type {value.type.kind}")
        return Js(f" {sign} ".join(value.at(level + 1) for value in values), joined(*(value.type for value in values)), level)

    def _ifexp(self, node: ast.IfExp) -> Js:
        test = self.condition(node.test)
        with self.narrowed(node.test):
            yes = self.expression(node.body)
        with self.narrowed(node.test, otherwise=True):
            no = self.expression(node.orelse)
        return Js(f"{test.at(OR)} ? {yes.at(CHOICE)} : {no.at(CHOICE)}", join(yes.type, no.type), CHOICE)

    # conditions

    def condition(self, node: ast.expr) -> Js:
        """An expression of which only the truth counts."""
        if isinstance(node, ast.BoolOp):
            sign, level = ("&&", AND) if isinstance(node.op, ast.And) else ("||", OR)
            return Js(f" {sign} ".join(self.condition(value).at(level + 1) for value in node.values), BOOL, level)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            return self._remainder(node) or self.truth(self.expression(node))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.negated(node.operand)
        return self.truth(self.expression(node))

    def negated(self, node: ast.expr) -> Js:
        """The condition the other way round."""
        inner = self.condition(node)
        if inner.text.endswith((".length > 0", ".size > 0")) and inner.level == LESS and inner.text.count(" ") == 2:
            return Js(inner.text[:-3] + "=== 0", BOOL, EQUAL)
        return Js(f"!{inner.at(UNARY)}", BOOL, UNARY)

    def truth(self, js: Js) -> Js:
        """Whether Python takes a value for true, as JavaScript takes the translation."""
        if truth_is_native(js.type):
            return js
        mark = "?." if js.type.optional else "."
        if js.type.array:
            return Js(f"{js.member}{mark}length > 0", BOOL, LESS)
        if js.type.kind in ("map", "set"):
            return Js(f"{js.member}{mark}size > 0", BOOL, LESS)
        if js.type.kind == "object" and not js.type.optional:
            return Js(f"Object.keys({js.text}).length > 0", BOOL, LESS)
        raise refuse(f"the truth of a value of type {js.type.kind}")

    def _remainder(self, node: ast.BinOp) -> Js | None:
        """`a % b` where only its being 0 counts, which is the same in both languages."""
        left, right = self.expression(node.left), self.expression(node.right)
        if left.type.numeric and right.type.numeric:
            return Js(f"{left.at(TIMES)} % {right.at(TIMES + 1)}", NUM, TIMES)
        return None

    def _compare(self, node: ast.Compare) -> Js:
        sides = [node.left, *node.comparators]
        if any(isinstance(inner, ast.Call) for side in sides[1:-1] for inner in ast.walk(side)):
            raise refuse("a chain of comparisons with a call inside")
        parts = [self._pair(op, left, right) for op, left, right in zip(node.ops, sides, sides[1:], strict=False)]
        return parts[0] if len(parts) == 1 else Js(" && ".join(part.at(AND) for part in parts), BOOL, AND)

    def _pair(self, op: ast.cmpop, left_node: ast.expr, right_node: ast.expr) -> Js:
        zero = isinstance(right_node, ast.Constant) and right_node.value == 0 and isinstance(op, ast.Eq | ast.NotEq)
        rest = (
            self._remainder(left_node)
            if zero and isinstance(left_node, ast.BinOp) and isinstance(left_node.op, ast.Mod)
            else None
        )
        left, right = rest or self.expression(left_node), self.expression(right_node)
        if isinstance(op, ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
            same = isinstance(op, ast.Eq | ast.Is)
            if isinstance(op, ast.Is | ast.IsNot) and NONE not in (left.type, right.type) and left.type.kind != "bool":
                raise refuse("the identity of values")
            return self.equal(left, right, same=same)
        if isinstance(op, ast.In | ast.NotIn):
            found = self.contains(left, right)
            return found if isinstance(op, ast.In) else Js(f"!{found.at(UNARY)}", BOOL, UNARY)
        sign = _ORDER[type(op)]
        if left.type.kind == right.type.kind == "set" and sign in ("<=", ">="):
            return Js(self.helper("isSubset", *((left.text, right.text) if sign == "<=" else (right.text, left.text))), BOOL)
        if left.type.array and right.type.array:
            orderable(left.type.element), orderable(right.type.element)
            return Js(f"{self.helper('compare', left.text, right.text)} {sign} 0", BOOL, LESS)
        plain = {"str"} if left.type.kind == "str" else {"int", "float", "num", "bool"}
        if left.type.kind not in plain or right.type.kind not in plain:
            raise refuse(f"the order of {left.type.kind} and {right.type.kind}")
        return Js(f"{left.at(LESS)} {sign} {right.at(LESS + 1)}", BOOL, LESS)

    def equal(self, left: Js, right: Js, *, same: bool = True) -> Js:
        """`==`, or `!=` where not `same`."""
        kinds = {left.type.kind, right.type.kind}
        if "bool" in kinds and (left.type.numeric or right.type.numeric):
            left, right = self.number(left), self.number(right)
        if (
            left.type.primitive
            and right.type.primitive
            or NONE in (left.type, right.type)
            or kinds & {"str", "bool"}
            and "any" in kinds
        ):
            return Js(f"{left.at(EQUAL)} {'===' if same else '!=='} {right.at(EQUAL + 1)}", BOOL, EQUAL)
        if "list" in kinds and kinds & {"tuple", "row"} or "any" in kinds:
            raise refuse(f"whether {' and '.join(sorted(kinds))} are equal")
        text = self.helper("isEqual", left.text, right.text)
        return Js(text if same else f"!{text}", BOOL, PRIMARY if same else UNARY)

    def contains(self, item: Js, holder: Js) -> Js:
        """`item in holder`."""
        kind = holder.type.kind
        if kind == "object":
            return Js(f"Object.hasOwn({holder.text}, {item.text})", BOOL)
        if kind in ("set", "map"):
            return Js(f"{holder.member}.has({self.key(item)})", BOOL)
        if kind == "str" == item.type.kind or holder.type.array and item.type.primitive and not self._mixed(item, holder):
            return Js(f"{holder.member}.includes({item.text})", BOOL)
        if holder.type.array and item.type.array:
            test = self.equal(Js("one", holder.type.element), item)
            return Js(f"{holder.member}.some((one) => {test.text})", BOOL)
        raise refuse(f"whether a {item.type.kind} is in a {kind}")

    @staticmethod
    def _mixed(item: Js, holder: Js) -> bool:
        """Whether 1 could have to be found as True."""
        found = holder.type.element
        return "bool" in (found.kind, item.type.kind) and found.kind != item.type.kind and found.kind != "str"

    @contextmanager
    def narrowed(self, test: ast.expr, *, otherwise: bool = False) -> Iterator[None]:
        """What a test with isinstance or None says of a name holds inside."""
        while isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            test, otherwise = test.operand, not otherwise
        found = self.narrowing(test, otherwise)
        if found is None:
            yield
            return
        name, kind = found
        scope = self.scope_of(name)
        with self.bound({name: kind}, {name: (scope.js if scope else {}).get(name, js_name(name))}):
            yield

    def narrowing(self, test: ast.expr, otherwise: bool) -> tuple[str, Type] | None:
        """The name that a test speaks of, and its type where the test holds, or else does not."""
        if (
            isinstance(test, ast.Call)
            and isinstance(test.func, ast.Name)
            and test.func.id == "isinstance"
            and len(test.args) == 2
        ):
            name, wanted = test.args
            scope = self.scope_of(name.id) if isinstance(name, ast.Name) else None
            if scope is None or not isinstance(name, ast.Name) or scope.types[name.id].kind != "any":
                return None
            kinds = kinds_named(wanted)
            kept = [one for one in scope.types[name.id].of if (one.kind in kinds) != otherwise]
            return name.id, joined(*kept) if kept else ANY
        return None


def kinds_named(node: ast.expr) -> set[str]:
    """The kinds of a class or a tuple of classes."""
    known = {
        "int": {"int", "bool"}, "float": {"float"}, "str": {"str"}, "bool": {"bool"}, "list": {"list"}, "tuple": {"tuple", "row"},
        "dict": {"map", "object"}, "set": {"set"},
    }  # fmt: skip
    names = node.elts if isinstance(node, ast.Tuple) else [node]
    found: set[str] = set()
    for name in names:
        if not isinstance(name, ast.Name) or name.id not in known:
            raise refuse("a class that is not a simple one", node)
        found |= known[name.id]
    return found


def truth_is_native(kind: Type) -> bool:
    """Whether JavaScript takes the same values of a type for true."""
    if kind.kind == "any":
        return bool(kind.of) and all(map(truth_is_native, kind.of))
    return kind.primitive or kind.kind == "match"


def orderable(kind: Type) -> None:
    """Raises Untranslatable where `compare` does not order values of a type as Python does."""
    if kind.array:
        for inner in kind.of:
            orderable(inner)
    elif kind.optional or not (kind.numeric or kind.kind in ("str", "bool")):
        raise refuse(f"the order of values of type {kind.kind}")


def template_text(text: str) -> str:
    """Text inside a template literal."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"')
    return escaped.replace("`", "\\`").replace("${", "\\${")


def names_in(node: ast.AST) -> set[str]:
    """All names in a tree."""
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _no_mixed_keys(kind: Type) -> bool:
    kinds = {one.kind for one in kind.of}
    return kind.kind == "any" and bool(kinds) and (kinds <= {"int", "float", "num", "str"} or kinds <= {"str", "bool"})


def parameters_of(nodes: Sequence[ast.expr]) -> str:
    """Targets as parameters of an arrow function."""
    return ", ".join(target_text(node) for node in nodes)


def target_text(node: ast.expr) -> str:
    """A name or nested names as a pattern of JavaScript."""
    if isinstance(node, ast.Name):
        return js_name(node.id)
    if isinstance(node, ast.Starred):
        return f"...{target_text(node.value)}"
    if isinstance(node, ast.Tuple | ast.List):
        return f"[{', '.join(map(target_text, node.elts))}]"
    raise refuse("a target that is no name", node)
