"""Operators and conditions of the transpiler.

An operator is translated by the types of its operands. What is not known, or means something else in JavaScript, raises
`Untranslatable`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from multiscale_transformer.tasks.transpile.types import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    NATURAL,
    NONE,
    NUM,
    STR,
    Type,
    join,
    joined,
)  # fmt: skip
from multiscale_transformer.tasks.transpile.values import (
    AND,
    BIT_AND,
    BIT_OR,
    CHOICE,
    EQUAL,
    LESS,
    NUMBER,
    OR,
    PLUS,
    POWER,
    PRIMARY,
    TIMES,
    UNARY,
    XOR,
    Js,
    Values,
    js_name,
    refuse,
    template_text,
)  # fmt: skip

_ARITHMETIC: dict[type[ast.operator], tuple[str, int]] = {ast.Sub: ("-", PLUS), ast.Mult: ("*", TIMES), ast.Div: ("/", TIMES)}
_BITS: dict[type[ast.operator], tuple[str, int, str]] = {
    ast.BitAnd: ("&", BIT_AND, "intersection"), ast.BitOr: ("|", BIT_OR, "union"), ast.BitXor: ("^", XOR, ""),
}  # fmt: skip
_ORDER: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


class Expressions(Values):
    """Translates operators."""

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
        if self.learning and "bottom" in kinds:  # as what a function returns that calls itself
            return right if kinds[0] == "bottom" else left
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

    def _arithmetic(self, op: type[ast.operator], left: Js, right: Js) -> Js:  # noqa: PLR0911 - one for each operator
        whole = left.type.kind == right.type.kind == "int"
        natural = left.type.natural and right.type.natural
        floats = "float" in (left.type.kind, right.type.kind)
        base = INT if whole else FLOAT if floats else NUM
        result = replace(base, natural=natural)
        if op is ast.Add:
            return Js(f"{left.at(PLUS)} + {right.at(PLUS + 1)}", result, PLUS)
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
            orderable(left.type.element)
            orderable(right.type.element)
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
            (left.type.primitive and right.type.primitive)
            or NONE in (left.type, right.type)
            or (kinds & {"str", "bool"} and "any" in kinds)
        ):
            return Js(f"{left.at(EQUAL)} {'===' if same else '!=='} {right.at(EQUAL + 1)}", BOOL, EQUAL)
        if ("list" in kinds and kinds & {"tuple", "row"}) or "any" in kinds:
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
        if kind == "str" == item.type.kind or (holder.type.array and item.type.primitive and not self.mixed(item, holder)):
            return Js(f"{holder.member}.includes({item.text})", BOOL)
        if holder.type.array and item.type.array:
            test = self.equal(Js("one", holder.type.element), item)
            return Js(f"{holder.member}.some((one) => {test.text})", BOOL)
        raise refuse(f"whether a {item.type.kind} is in a {kind}")

    @staticmethod
    def mixed(item: Js, holder: Js) -> bool:
        """Whether 1 could have to be found as True."""
        found = holder.type.element
        return "bool" in (found.kind, item.type.kind) and found.kind not in (item.type.kind, "str")

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
        "int": {"int", "bool"}, "float": {"float"}, "str": {"str"}, "bool": {"bool"}, "list": {"list"},
        "tuple": {"tuple", "row"}, "dict": {"map", "object"}, "set": {"set"},
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
