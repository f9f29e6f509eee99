"""Statements of the transpiler: Python's blocks as lines of JavaScript."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Callable

from multiscale_transformer.tasks.transpile.modules import Modules
from multiscale_transformer.tasks.transpile.scopes import Places, breaks, has_places, stored_in, walks_a_dict
from multiscale_transformer.tasks.transpile.sequences import is_integer
from multiscale_transformer.tasks.transpile.types import BOTTOM, INT, NONE, Type, Untranslatable, join, list_of
from multiscale_transformer.tasks.transpile.values import (
    CHOICE,
    PLUS,
    TIMES,
    Function,
    Js,
    js_name,
    names_in,
    refuse,
    target_text,
)  # fmt: skip

_IN_PLACE: dict[type[ast.operator], str] = {ast.Add: "+=", ast.Sub: "-=", ast.Mult: "*=", ast.Div: "/="}
FREE_MODULES = {
    "math",
    "re",
    "itertools",
    "collections",
    "functools",
    "operator",
    "heapq",
    "bisect",
    "string",
    "sys",
    "typing",
    "copy",
}


def indented(lines: list[str]) -> list[str]:
    """Lines two spaces further in."""
    return [f"  {line}" for line in lines]


class Statements(Modules):
    """Translates statements. While `learning`, what cannot be translated is passed over."""

    def __init__(self) -> None:
        super().__init__()
        self.places = Places()
        self.current: Function | None = None
        self.labels: list[str] = []  # of the loops around: where a break has to go, or nothing

    @abstractmethod
    def function(self, node: ast.FunctionDef) -> list[str]:
        """A function with its body, as lines."""

    def tried(self, action: Callable[[], object]) -> None:
        """Do something, which may fail as long as types are being learnt."""
        try:
            action()
        except Untranslatable:
            if not self.learning:
                raise

    def block(self, body: list[ast.stmt]) -> list[str]:
        """The lines of statements."""
        lines: list[str] = []
        for node in body:
            self.tried(lambda node=node: lines.extend(self.statement(node)))  # type: ignore[misc]
        return lines

    def statement(self, node: ast.stmt) -> list[str]:
        """The lines of a statement. Raises Untranslatable."""
        method: Callable[..., list[str]] | None = getattr(self, f"_on_{type(node).__name__.lower()}", None)
        if method is None:
            raise refuse(f"{type(node).__name__} has no translation", node)
        return method(node)

    def returned(self, kind: Type) -> None:
        """Learn that the function returns a value of this type as well."""
        assert self.current is not None
        wider = join(self.current.returns, kind)
        self.changed |= wider != self.current.returns
        self.current.returns = wider

    # simple statements

    def _on_pass(self, node: ast.Pass) -> list[str]:
        return []

    def _on_nonlocal(self, node: ast.Nonlocal) -> list[str]:
        return []

    def _on_import(self, node: ast.Import) -> list[str]:
        self.imported(node)
        return []

    _on_importfrom = _on_import

    def imported(self, node: ast.Import | ast.ImportFrom) -> None:
        """Remember what an import names."""
        for alias in node.names:
            full = alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}"
            if full.partition(".")[0] in FREE_MODULES:
                short = full[12:] if full.startswith("collections.") else full
                self.modules[alias.asname or alias.name] = {"Counter": "collections.Counter"}.get(short, full)

    def _on_functiondef(self, node: ast.FunctionDef) -> list[str]:
        return self.function(node)

    def _on_expr(self, node: ast.Expr) -> list[str]:
        if isinstance(node.value, ast.Constant):
            return []
        if not isinstance(node.value, ast.Call):
            raise refuse("a value that nothing is done with", node)
        self.standing_alone = node.value
        return [f"{self.expression(node.value).text};"]

    def _on_return(self, node: ast.Return) -> list[str]:
        if node.value is None:
            self.returned(NONE)
            return ["return null;"]
        value = self.expression(node.value)
        self.returned(value.type)
        return [f"return {value.text};"]

    def _on_raise(self, node: ast.Raise) -> list[str]:
        arguments = node.exc.args if isinstance(node.exc, ast.Call) else []
        try:
            text = self.string(self.expression(arguments[0])).text if arguments else ""
        except Untranslatable:
            text = ""
        return [f"throw new Error({text});"]

    def _on_assert(self, node: ast.Assert) -> list[str]:
        return [f"if ({self.negated(node.test).text}) throw new Error();"]

    def _on_break(self, node: ast.Break) -> list[str]:
        return [f"break {self.labels[-1]};" if self.labels[-1] else "break;"]

    def _on_continue(self, node: ast.Continue) -> list[str]:
        return ["continue;"]

    def _on_delete(self, node: ast.Delete) -> list[str]:
        lines = []
        for target in node.targets:
            if not isinstance(target, ast.Subscript) or isinstance(target.slice, ast.Slice):
                raise refuse("del of something else than an item", node)
            holder, at = self.expression(target.value), self.expression(target.slice)
            known = {"list": f"{holder.member}.splice({at.text}, 1);", "object": f"delete {holder.member}[{at.text}];"}
            if holder.type.kind == "map":
                lines.append(f"{holder.member}.delete({self.key(at)});")
            elif holder.type.kind in known:
                lines.append(known[holder.type.kind])
            else:
                raise refuse(f"del of an item of a value of type {holder.type.kind}", node)
        return lines

    # assignments

    def _on_annassign(self, node: ast.AnnAssign) -> list[str]:
        return self._assigned(node, node.target, self.expression(node.value)) if node.value is not None else []

    def _on_assign(self, node: ast.Assign) -> list[str]:
        if isinstance(node.value, ast.Lambda) and isinstance(node.targets[0], ast.Name):
            return self._named_lambda(node.targets[0].id, node.value)
        first, *others = node.targets
        pairs = self._apart(node, first, node.value) if not others else None
        if pairs is not None:
            return [line for target, value in pairs for line in self._assigned(node, target, self.expression(value))]
        value = self.expression(node.value)
        lines = self._assigned(node, first, value)
        again = self.expression(ast.Name(first.id)) if others and isinstance(first, ast.Name) else value
        if others and not isinstance(first, ast.Name) and not isinstance(node.value, ast.Constant | ast.Name):
            raise refuse("several targets", node)
        for target in others:
            lines += self._assigned(node, target, value if isinstance(node.value, ast.Constant) else again)
        return lines

    def _apart(self, node: ast.Assign, target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]] | None:
        """`a, b = x, y` as two assignments, where neither value needs a target."""
        if not (isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts)):
            return None
        if any(isinstance(one, ast.Starred) for one in (*target.elts, *value.elts)) or names_in(target) & names_in(value):
            return None
        return (
            list(zip(target.elts, value.elts, strict=True)) if all(isinstance(one, ast.Name) for one in target.elts) else None
        )

    def _named_lambda(self, name: str, node: ast.Lambda) -> list[str]:
        function = self.functions[name]
        self.scopes.append(function.scope)
        try:
            made = self.expression(node.body)
        finally:
            self.scopes.pop()
        self.changed |= join(function.returns, made.type) != function.returns
        function.returns = join(function.returns, made.type)
        names = ", ".join(js_name(one.arg) for one in node.args.args)
        return [f"const {js_name(name)} = ({names}) => {made.at(CHOICE)};"]

    def _assigned(self, node: ast.stmt, target: ast.expr, value: Js) -> list[str]:
        if isinstance(target, ast.Subscript):
            return self._stored(target, value)
        for name, kind in self.targets(target, value.type).items() if not has_places(target) else ():
            self.widen(ast.Name(name), kind)
        if isinstance(target, ast.Name):
            declared = target.id in self.places.at.get(id(node), ())
            word = ("const " if target.id in self.places.constant else "let ") if declared else ""
            return [f"{word}{js_name(target.id)} = {value.text};"]
        names = {one.id for one in ast.walk(target) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
        declared_here = names & self.places.at.get(id(node), set())
        if has_places(target) and isinstance(target, ast.Tuple):
            for one, kind in zip(
                target.elts,
                value.type.of if value.type.kind == "tuple" else [value.type.element] * len(target.elts),
                strict=True,
            ):
                self.widen(one, kind)
            lines = [f"let {', '.join(map(js_name, sorted(declared_here)))};"] if declared_here else []
            return [*lines, f"[{', '.join(self._place(one) for one in target.elts)}] = {value.text};"]
        if declared_here == names:
            word = "const" if names <= self.places.constant else "let"
            return [f"{word} {target_text(target)} = {value.text};"]
        lines = [f"let {', '.join(map(js_name, sorted(declared_here)))};"] if declared_here else []
        return [*lines, f"{target_text(target)} = {value.text};"]

    def _place(self, node: ast.expr) -> str:
        """A name or an item of a list or object as something to assign to."""
        if isinstance(node, ast.Name):
            return js_name(node.id)
        if not isinstance(node, ast.Subscript) or isinstance(node.slice, ast.Slice):
            raise refuse("this target", node)
        holder, at = self.expression(node.value), self.expression(node.slice)
        if holder.type.kind == "object":
            return f"{holder.member}[{at.text}]"
        if holder.type.kind != "list" or at.type.kind != "int":
            raise refuse(f"assigning to an item of a value of type {holder.type.kind}", node)
        if at.type.natural:
            return f"{holder.member}[{at.text}]"
        if is_integer(node.slice):
            return f"{holder.member}[{holder.member}.length - {at.text[1:]}]"
        return f"{holder.member}[{at.at(PLUS)} < 0 ? {holder.member}.length + {at.at(PLUS + 1)} : {at.at(CHOICE)}]"

    def _stored(self, target: ast.Subscript, value: Js) -> list[str]:
        if isinstance(target.slice, ast.Slice):
            return [self._spliced(target.value, target.slice, value)]
        self.widen(target, value.type)
        holder = self.expression(target.value)
        if holder.type.kind == "map":
            return [f"{holder.member}.set({self.key(self.expression(target.slice))}, {value.text});"]
        return [f"{self._place(target)} = {value.text};"]

    def _spliced(self, place: ast.expr, part: ast.Slice, value: Js) -> str:
        holder, items = self.expression(place), self.array(value)
        self.widen(place, list_of(items.type.element))
        if part.lower is None and part.upper is None and part.step is None:
            return f"{holder.member}.splice(0, {holder.member}.length, ...{items.text});"
        if part.lower is None or part.upper is None or part.step is not None:
            raise refuse("assigning to this slice", place)
        start, stop = self.expression(part.lower), self.expression(part.upper)
        if not (start.type.natural and stop.type.natural):
            raise refuse("assigning to a slice whose bounds may be negative", place)
        return f"{holder.member}.splice({start.text}, {stop.at(PLUS)} - {start.at(TIMES)}, ...{items.text});"

    def _on_augassign(self, node: ast.AugAssign) -> list[str]:
        op = type(node.op)
        value = self.expression(node.value)
        if isinstance(node.target, ast.Subscript):
            self.widen(node.target, BOTTOM)
        elif not isinstance(node.target, ast.Name):
            raise refuse("this target", node)
        load = (
            ast.Name(node.target.id)
            if isinstance(node.target, ast.Name)
            else ast.Subscript(node.target.value, node.target.slice, ast.Load())
        )
        old = self.expression(load)
        if op is ast.Add and old.type.kind == "list":
            items = self.array(value)
            self.widen(load, list_of(items.type.element))
            return [f"{old.member}.push(...{items.text});"]
        result = self.binary(op, old, value) if old.type.kind != "bottom" else Js("", BOTTOM)
        self.widen(load, result.type)
        holder = self.expression(node.target.value) if isinstance(node.target, ast.Subscript) else None
        if holder is not None and holder.type.kind == "map":
            assert isinstance(node.target, ast.Subscript)
            return [f"{holder.member}.set({self.key(self.expression(node.target.slice))}, {result.text});"]
        place = self._place(node.target)
        simple = old.type.numeric or (old.type.kind == "str" and value.type.kind == "str")
        if op in _IN_PLACE and simple and (value.type.numeric or value.type.kind == "str"):
            return [f"{place} {_IN_PLACE[op]} {value.text};"]
        return [f"{place} = {result.text};"]

    # blocks

    def _head_of(self, test: ast.expr) -> str:
        """A condition; while types are being learnt, one that cannot be translated counts as true."""
        try:
            return self.condition(test).text
        except Untranslatable:
            if not self.learning:
                raise
            return "true"

    def _on_if(self, node: ast.If) -> list[str]:
        head = self._head_of(node.test)
        with self.narrowed(node.test):
            lines = [f"if ({head}) {{", *indented(self.block(node.body))]
        if not node.orelse:
            return [*lines, "}"]
        with self.narrowed(node.test, otherwise=True):
            rest = self.block(node.orelse)
        if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If) and rest:
            return [*lines, f"}} else {rest[0]}", *rest[1:]]
        return [*lines, "} else {", *indented(rest), "}"]

    def _on_while(self, node: ast.While) -> list[str]:
        head = self._head_of(node.test)
        return self._loop(node, lambda: f"while ({head}) {{")

    def _on_for(self, node: ast.For) -> list[str]:
        return self._loop(node, lambda: self._head(node))

    def _loop(self, node: ast.For | ast.While, head: Callable[[], str]) -> list[str]:
        label = "search" * bool(node.orelse and breaks(node.body)) + "_" * sum(map(bool, self.labels))
        label = label if label.startswith("search") else ""
        self.labels.append(label)
        first = "while (true) {"
        try:
            first = head()
        except Untranslatable:
            if not self.learning:
                raise
        lines = [first, *indented(self.block(node.body)), "}"]
        self.labels.pop()
        if node.orelse:
            lines += self.block(node.orelse)
        return [f"{label}: {{", *indented(lines), "}"] if label else lines

    def _head(self, node: ast.For) -> str:
        bounds = self.range_bounds(node.iter)
        names = {one.id for one in ast.walk(node.target) if isinstance(one, ast.Name)}
        changed = stored_in(node.body)
        own = names <= self.places.loop.get(id(node), set())
        word = ("let " if changed & names else "const ") if own else ""
        if bounds is not None and isinstance(node.target, ast.Name):
            self.widen(node.target, self.range_element(bounds))
            if own and not changed & names:
                return self._counting(js_name(node.target.id), bounds, names_in(node.iter) & changed)
        if (
            isinstance(node.iter, ast.Call)
            and self.callee(node.iter.func) == "enumerate"
            and len(node.iter.args) == 1
            and not node.iter.keywords
        ):
            array = self.array(self.expression(node.iter.args[0]))
            source, kind = f"{array.member}.entries()", Type("tuple", (INT.__class__("int", natural=True), array.type.element))
        else:
            items = self.expression(node.iter)
            array = items if items.type.kind == "str" else self.array(items)
            source, kind = array.text, array.type.element
            if walks_a_dict(node.iter) and source.startswith("[...") and source.endswith("]") and source.count("[") == 1:
                source = source[4:-1]
        for name, inner in self.targets(node.target, kind).items():
            self.widen(ast.Name(name), inner)
        return f"for ({word}{target_text(node.target)} of {source}) {{"

    def _counting(self, name: str, bounds: tuple[Js, Js, int], changed: set[str]) -> str:
        start, stop, step = bounds
        sign = "<" if step > 0 else ">"
        move = f"{name}++" if step == 1 else f"{name}--" if step == -1 else f"{name} {'+' if step > 0 else '-'}= {abs(step)}"
        steady = not changed and ("(" not in stop.text or stop.text.isdigit())
        end, more = (stop.at(PLUS), "") if steady else (f"{name}_end", f", {name}_end = {stop.text}")
        return f"for (let {name} = {start.text}{more}; {name} {sign} {end}; {move}) {{"

    def falls_through(self, body: list[ast.stmt]) -> bool:
        """Whether control may reach the end of statements."""
        last = body[-1]
        if isinstance(last, ast.If):
            return not last.orelse or self.falls_through(last.body) or self.falls_through(last.orelse)
        endless = isinstance(last, ast.While) and isinstance(last.test, ast.Constant) and not breaks(last.body)
        return not (isinstance(last, ast.Return | ast.Raise) or endless)
