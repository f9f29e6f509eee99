"""Values of the transpiler: names and literals, with their types and how strongly an expression in JavaScript binds.

An operator is translated by the types of its operands. What is not known, or means something else in JavaScript, raises
`Untranslatable`.
"""

from __future__ import annotations

import ast
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from multiscale_transformer.tasks.transpile.types import (
    BOTTOM,
    FLOAT,
    NATURAL,
    STR,
    Type,
    Untranslatable,
    join,
    joined,
    list_of,
    shallow,
    type_of_value,
)  # fmt: skip

PRIMARY, NUMBER, UNARY, POWER, TIMES, PLUS, LESS, EQUAL, BIT_AND, XOR, BIT_OR, AND, OR, COALESCE, CHOICE, ARROW = range(
    20, 4, -1
)
_RESERVED = {
    "arguments", "await", "break", "case", "catch", "class", "const", "continue", "debugger", "default", "delete", "do",
    "else", "enum", "eval", "export", "extends", "false", "finally", "for", "function", "if", "implements", "import",
    "in", "instanceof", "interface", "let", "new", "null", "package", "private", "protected", "public", "return",
    "static", "super", "switch", "this", "throw", "true", "try", "typeof", "var", "void", "while", "with", "yield",
    "undefined", "NaN", "Infinity", "Math", "Map", "Set", "Number", "String", "Object", "Array", "JSON", "RegExp",
    "Error", "BigInt", "Boolean", "Symbol", "Date", "Promise",
}  # fmt: skip


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


class Values(ABC):
    """Translates names and literals. `changed` says that a type has become wider since it was last set to false."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.functions: dict[str, Function] = {}
        self.modules: dict[str, str] = {}  # local name: what was imported
        self.helpers: set[str] = set()
        self.constants: dict[str, ast.expr] = {}  # names with one assignment, of a literal
        self.changed = False
        self.learning = False  # types, before text is written

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

    @abstractmethod
    def array(self, js: Js, *, ordered: bool = True) -> Js:
        """An iterable as an array. Raises Untranslatable."""

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
            width, text = spec.lstrip("0").rstrip("d"), f"String({value.text})"
            return self.helper("zeroFill", text, width) if spec[0] == "0" else f"{text}.padStart({width})"
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


def mapped_zero(text: str) -> str:
    """The last `.map(…)` of a text whose arrow gives 0."""
    at = text.rfind(".map(")
    return text[at:] if at >= 0 and text.endswith("=> 0)") else ""


def balanced(text: str) -> bool:
    """Whether each bracket of a text has its partner in it."""
    depth = 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        if depth < 0:
            return False
    return depth == 0


def without_boolean(text: str) -> str:
    """An arrow whose body need not be made a boolean."""
    head, _, body = text.partition(" => ")
    if body.startswith("Boolean(") and body.endswith(")") and balanced(body[len("Boolean(") : -1]):
        return f"{head} => {body[len('Boolean(') : -1]}"
    return text
