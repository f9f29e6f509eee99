"""Where each variable of a Python function is declared in JavaScript, whose variables live in blocks.

A name is declared where it is first assigned if all that happens to it happens in that block or below, in the head of a loop if
it lives in the loop only, and else at the top of the function.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, field

Block = tuple[int, ...]
_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


@dataclass
class Places:
    """`at`: what a statement (by `id`) declares. `loop`: what a for statement declares. `hoisted`: what the function does.
    `constant`: names that are assigned once."""

    at: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    loop: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    hoisted: list[str] = field(default_factory=list)
    constant: set[str] = field(default_factory=set)


@dataclass
class _Seen:
    """An occurrence of a name: in which block, in which statement, whether it is stored, and by a plain assignment."""

    block: Block
    statement: ast.stmt
    stored: bool
    plain: bool


class _Reader:
    """Collects the occurrences of all names in the order of the text."""

    def __init__(self) -> None:
        self.seen: dict[str, list[_Seen]] = defaultdict(list)
        self.loops: dict[int, tuple[ast.For, int]] = {}  # block of a body: the loop
        self.count = 0

    def block(self, body: list[ast.stmt], inside: Block, loop: ast.For | None = None) -> None:
        self.count += 1
        here = (*inside, self.count)
        if loop is not None:
            self.loops[self.count] = (loop, self.count)
            self.names(loop.target, here, loop, plain=False)
        for statement in body:
            self.statement(statement, here)

    def statement(self, node: ast.stmt, here: Block) -> None:
        if isinstance(node, ast.FunctionDef):
            own = local_names(node)
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name) and inner.id not in own:
                    self.seen[inner.id].append(_Seen(here, node, isinstance(inner.ctx, ast.Store), False))
            return
        for name in ("value", "test", "iter", "exc", "msg"):  # evaluated before what is assigned
            part = getattr(node, name, None)
            if isinstance(part, ast.expr):
                self.names(part, here, node, plain=False)
        for target in [
            *getattr(node, "targets", []),
            *([node.target] if hasattr(node, "target") and not isinstance(node, ast.For) else []),
        ]:
            self.names(target, here, node, plain=isinstance(node, ast.Assign | ast.AnnAssign))
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if body:
                self.block(body, here, node if isinstance(node, ast.For) and name == "body" else None)

    def names(self, node: ast.AST, here: Block, statement: ast.stmt, *, plain: bool) -> None:
        bound = _bound_inside(node)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and id(inner) not in bound:
                stored = isinstance(inner.ctx, ast.Store)
                self.seen[inner.id].append(_Seen(here, statement, stored, plain and stored))


def _bound_inside(node: ast.AST) -> set[int]:
    """Names (by `id` of their nodes) that a comprehension or lambda in a tree binds for itself."""
    found: set[int] = set()
    for inner in ast.walk(node):
        names: set[str] = set()
        if isinstance(inner, _Comprehension):
            names = {
                one.id for generator in inner.generators for one in ast.walk(generator.target) if isinstance(one, ast.Name)
            }
        elif isinstance(inner, ast.Lambda):
            names = {one.arg for one in inner.args.args}
        if names:
            found |= {id(one) for one in ast.walk(inner) if isinstance(one, ast.Name) and one.id in names}
    return found


def local_names(node: ast.FunctionDef) -> set[str]:
    """Parameters and variables of a function, without those of functions in it and without nonlocal ones."""
    given = node.args
    found = {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    found |= {one.arg for one in (given.vararg, given.kwarg) if one is not None}
    outside: set[str] = set()
    stack: list[ast.AST] = list(node.body)
    while stack:
        inner = stack.pop()
        if isinstance(inner, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(inner, ast.Nonlocal):
            outside |= set(inner.names)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            found.add(inner.id)
        stack += [child for child in ast.iter_child_nodes(inner) if not isinstance(child, ast.comprehension)]
    return found - outside


def places_of(node: ast.FunctionDef, skipped: set[str]) -> Places:
    """Where the variables of a function are declared; `skipped` are names that are functions."""
    reader, places = _Reader(), Places()
    reader.block(node.body, ())
    given = node.args
    parameters = {one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    parameters |= {one.arg for one in (given.vararg,) if one is not None}
    for name in sorted(local_names(node) - parameters - skipped, key=lambda one: one):
        seen = reader.seen.get(name, [])
        stores = [one for one in seen if one.stored]
        if not stores:
            continue
        if len(stores) == 1:
            places.constant.add(name)
        binding = {number: loop for number, (loop, _) in reader.loops.items() if name in _targets(loop)}
        heads = [next((number for number in one.block if number in binding), None) for one in seen]
        if binding and None not in heads:
            for number in set(heads):
                loop = binding[number]  # type: ignore[index]
                places.loop[id(loop)].add(name)
            continue
        first, common = seen[0], seen[0].block
        for one in seen[1:]:
            same = next((at for at, (a, b) in enumerate(zip(common, one.block, strict=False)) if a != b), None)
            common = common[: min(len(common), len(one.block)) if same is None else same]
        if first.plain and first.block == common:
            places.at[id(first.statement)].add(name)
        else:
            places.hoisted.append(name)
            places.constant.discard(name)
    return places


def _targets(loop: ast.For) -> set[str]:
    return {one.id for one in ast.walk(loop.target) if isinstance(one, ast.Name)}


def stored_in(body: list[ast.stmt]) -> set[str]:
    """Names that statements assign, or change by a method or an index."""
    found: set[str] = set()
    for node in (inner for statement in body for inner in ast.walk(statement)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            found.add(node.id)
        if (isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Del)) or isinstance(node, ast.Attribute):
            found |= {one.id for one in ast.walk(node.value) if isinstance(one, ast.Name)}
    return found


def has_places(target: ast.expr) -> bool:
    """Whether a target assigns to items of something."""
    return isinstance(target, ast.Tuple | ast.List) and any(isinstance(one, ast.Subscript) for one in target.elts)


def breaks(body: list[ast.stmt]) -> bool:
    """Whether a loop with this body is ended by a break of its own."""
    for node in body:
        if isinstance(node, ast.Break):
            return True
        if isinstance(node, ast.If | ast.Try | ast.With) and any(
            breaks(getattr(node, name, [])) for name in ("body", "orelse")
        ):
            return True
    return False


def walks_a_dict(node: ast.expr) -> bool:
    """Whether it is what the keys, values or items of a dict are read with."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("keys", "values", "items")
