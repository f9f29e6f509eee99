"""A rule transpiler: a function of a subset of Python in, idiomatic JavaScript out, or the reason why not.

Types are found by walking the functions until nothing new is learnt (`Transpiler.learn`): from literals, annotations, what
built-in functions give, and example arguments. Then the text is written. What is not known is refused, never guessed.

Known differences that remain: integers beyond 2^53 and bits beyond 31 lose digits, and where Python raises for a missing key,
index or a division by zero, JavaScript gives undefined or Infinity. So a translation is verified on calls (`tasks.javascript`).
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from multiscale_transformer.tasks.source_text import parsed
from multiscale_transformer.tasks.transpile.helpers import HELPERS, with_helpers
from multiscale_transformer.tasks.transpile.scopes import Places, local_names, places_of
from multiscale_transformer.tasks.transpile.statements import Statements, indented
from multiscale_transformer.tasks.transpile.types import (
    BOTTOM,
    NONE,
    Type,
    Untranslatable,
    join,
    joined,
    type_of_annotation,
    type_of_value,
)  # fmt: skip
from multiscale_transformer.tasks.transpile.values import (
    Function,
    Scope,
    js_name,
    names_in,
    refuse,
)  # fmt: skip

ROUNDS = 10  # of learning types; each can only make them wider


def transpile(text: str, name: str, examples: Sequence[Sequence[object]] = ()) -> str:
    """The function `name` of a Python text as JavaScript, behind the functions and constants of the text that it uses.

    `examples` are arguments of calls, which tell the types of its parameters. Raises Untranslatable with the reason.
    """
    try:
        tree = parsed(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise Untranslatable(f"Python does not parse it ({error})") from None
    try:
        return Transpiler(tree, name, examples).text()
    except (RecursionError, TypeError, IndexError, KeyError) as error:  # a call with other arguments than a rule knows
        raise Untranslatable(f"a form that no rule knows ({type(error).__name__}: {error})") from None


class Transpiler(Statements):
    """Translates one function and what it needs of its module."""

    def __init__(self, tree: ast.Module, name: str, examples: Sequence[Sequence[object]]) -> None:
        super().__init__()
        top = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        if name not in top:
            raise Untranslatable(f"there is no function {name} at the top of the text")
        self.name, self.globals = name, self._globals(tree)
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.imported(node)
        self.top = _reached(top, name)
        used = set().union(*map(names_in, self.top.values()))
        self.globals = {one: value for one, value in self.globals.items() if one in used}
        self.constants |= self.globals
        self.scopes = [Scope(dict.fromkeys(self.globals, BOTTOM))]
        for node in self.top.values():
            self.declare(node)
        self._seed(self.functions[name], examples)

    @staticmethod
    def _globals(tree: ast.Module) -> dict[str, ast.expr]:
        found: dict[str, ast.expr] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = node.value
        return found

    def declare(self, node: ast.FunctionDef) -> None:
        """Make a function known, and the functions in it."""
        if node.args.kwonlyargs or node.args.kwarg or node.decorator_list:
            raise refuse("keyword-only arguments, ** or a decorator", node)
        inner = {one.name: one for one in ast.walk(node) if isinstance(one, ast.FunctionDef) and one is not node}
        lambdas = {}
        for one in ast.walk(node):
            if isinstance(one, ast.Assign) and len(one.targets) == 1 and isinstance(one.targets[0], ast.Name):
                self.constants.setdefault(one.targets[0].id, one.value)
                if isinstance(one.value, ast.Lambda):
                    lambdas[one.targets[0].id] = one.value
        stored = [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
        for name in {name for name in stored if stored.count(name) > 1}:
            self.constants.pop(name, None)
        self.functions[node.name] = Function(node, Scope(self._types(node)))
        for name, made in lambdas.items():
            self.functions[name] = Function(made, Scope({one.arg: BOTTOM for one in made.args.args}))
        for one in inner.values():
            if one.name not in self.functions:
                self.declare(one)

    @staticmethod
    def _types(node: ast.FunctionDef) -> dict[str, Type]:
        types: dict[str, Type] = dict.fromkeys(sorted(local_names(node)), BOTTOM)
        for inner in ast.walk(node):
            if isinstance(inner, ast.FunctionDef) and inner is not node:
                types.pop(inner.name, None)
            if isinstance(inner, ast.Assign) and isinstance(inner.value, ast.Lambda) and isinstance(inner.targets[0], ast.Name):
                types.pop(inner.targets[0].id, None)
        given = [*node.args.posonlyargs, *node.args.args]
        for parameter in given:
            types[parameter.arg] = type_of_annotation(parameter.annotation)
        if node.args.vararg is not None:
            types[node.args.vararg.arg] = Type("row", (type_of_annotation(node.args.vararg.annotation),))
        for parameter, default in zip(reversed(given), reversed(node.args.defaults), strict=False):
            try:
                types[parameter.arg] = join(types[parameter.arg], type_of_value(ast.literal_eval(default)))
            except ValueError:
                raise refuse("a default that is no literal", default) from None
        return types

    def _seed(self, function: Function, examples: Sequence[Sequence[object]]) -> None:
        assert isinstance(function.node, ast.FunctionDef)
        given = [one.arg for one in (*function.node.args.posonlyargs, *function.node.args.args)]
        types = function.scope.types
        for place, parameter in enumerate(given):
            seen = joined(*(type_of_value(example[place]) for example in examples if len(example) > place))
            types[parameter] = join(seen, types[parameter]) if seen.kind == "bottom" or types[parameter] == NONE else seen
        if function.node.args.vararg is not None:
            rest = joined(*(type_of_value(value) for example in examples for value in example[len(given) :]))
            types[function.node.args.vararg.arg] = Type("row", (rest,))

    def text(self) -> str:
        """The JavaScript. Raises Untranslatable."""
        self.learn()
        self.helpers.clear()
        parts = [f"const {js_name(name)} = {self.expression(value).text};" for name, value in self.globals.items()]
        functions = ["\n".join(self.function(node)) for node in self.top.values()]
        clashes = self.helpers & set().union(*map(_names_given, self.top.values()))
        if clashes:
            raise Untranslatable(f"the name {min(clashes)} is taken by a helper")
        body = "\n\n".join([*(["\n".join(parts)] if parts else []), *functions])
        return with_helpers(body, self.helpers & set(HELPERS))

    def learn(self) -> None:
        """Find the types of all variables."""
        self.learning = True
        for _ in range(ROUNDS):
            self.changed = False
            for name, value in self.globals.items():
                self.tried(lambda name=name, value=value: self.widen(ast.Name(name), self.expression(value).type))  # type: ignore[misc]
            for node in self.top.values():
                self.function(node)
            if not self.changed:
                break
        else:
            raise Untranslatable("types that do not come to rest")
        self.learning = False

    def function(self, node: ast.FunctionDef) -> list[str]:
        """A function with its body, as lines."""
        known = self.functions[node.name]
        skipped = {one for one in self.functions if one not in known.scope.types}
        self.scopes.append(known.scope)
        outer, self.places, self.current = (self.places, self.current), places_of(node, skipped), known
        try:
            hoisted = self.places.hoisted
            lines = [f"let {', '.join(map(js_name, hoisted))};"] if hoisted else []
            lines += self.block(node.body)
            if known.returns.kind not in ("bottom", "none") and self.falls_through(node.body):
                self.returned(NONE)
                lines.append("return null;")
        finally:
            self.scopes.pop()
            self.places, self.current = outer
        return [f"function {js_name(node.name)}({self._parameters(node)}) {{", *indented(lines), "}"]

    def _parameters(self, node: ast.FunctionDef) -> str:
        given = [*node.args.posonlyargs, *node.args.args]
        texts = [js_name(one.arg) for one in given]
        for at, default in enumerate(node.args.defaults, len(given) - len(node.args.defaults)):
            texts[at] += f" = {self.expression(default).text}"
        return ", ".join([*texts, *([f"...{js_name(node.args.vararg.arg)}"] if node.args.vararg else [])])


def _reached(top: dict[str, ast.FunctionDef], name: str) -> dict[str, ast.FunctionDef]:
    """The function and those of the module that it needs, in the order of the text."""
    needed, new = set(), {name}
    while new:
        needed |= new
        new = {one for each in new for one in names_in(top[each]) if one in top} - needed
    return {one: node for one, node in top.items() if one in needed}


def _names_given(node: ast.FunctionDef) -> set[str]:
    """All names that a function gives to something of its own, itself among them."""
    stored = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    named = {one.name for one in ast.walk(node) if isinstance(one, ast.FunctionDef)}
    return stored | named | {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}


__all__ = ["Places", "Untranslatable", "transpile"]
