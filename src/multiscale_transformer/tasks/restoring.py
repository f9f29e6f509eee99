"""Edits that put back what a programmer left out: a call around a value, a sign, the bound of a slice, half of `+=`.

`tasks.operators` exchanges and drops what stands in a text; a dropped call can be put back by none of its edits. There are far
more such edits than of those, and few of them are likely, so they are candidates for mending only, where an order that was
learnt (`agents.debug_order`) can tell them apart, and no bugs are made with them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from multiscale_transformer.tasks.blocks import Blocks
from multiscale_transformer.tasks.operators import annotation_nodes, edits_of
from multiscale_transformer.tasks.source_text import Edit, SourceText

KINDS = CALL, SIGN, BOUND, COMPARISON, ASSIGNMENT = (
    "call restored", "sign restored", "bound restored", "comparison restored", "assignment restored",
)  # fmt: skip
WRAPPERS = ("len", "list", "tuple", "set", "sum", "int", "str", "max", "min", "abs", "round", "all", "any", "sorted", "range")
_LAZY = ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp
_WRAPPED = ast.Name | ast.Call | ast.BinOp | ast.Subscript | ast.Attribute | _LAZY
_COMPARISONS: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.LtE: ("<=", ("==",)), ast.GtE: (">=", ("==",)), ast.Lt: ("<", ("!=",)), ast.Gt: (">", ("!=",)),
}  # fmt: skip


def all_edits(source: SourceText, lines: Iterable[int] | None = None) -> list[Edit]:
    """Edits that exchange or drop what stands in a text, and those that put back what does not."""
    lines = None if lines is None else set(lines)
    unique = {(edit.start, edit.end, edit.text): edit for edit in [*restoring_edits(source, lines), *edits_of(source, lines)]}
    return sorted(unique.values())


def restoring_edits(source: SourceText, lines: Iterable[int] | None = None) -> list[Edit]:
    """All such edits, in the order of the text, of which each gives another text that parses.

    With `lines` (numbers from 1) only those on one of them.
    """
    wanted = None if lines is None else set(lines)
    found = {(edit.start, edit.end, edit.text): edit for edit in _all_edits(source) if wanted is None or edit.line in wanted}
    blocks = Blocks(source)
    return sorted(edit for edit in found.values() if blocks.parses(edit))


def _all_edits(source: SourceText) -> Iterator[Edit]:
    hidden, own = annotation_nodes(source.tree), _own_functions(source.tree)
    for node in ast.walk(source.tree):
        if node in hidden:
            continue
        for value in _values(node):
            yield from _around(source, value, own)
        yield from _tokens(source, node)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            yield from _bounds(source, node, node.slice)


def _own_functions(tree: ast.AST) -> list[str]:
    return [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def _values(node: ast.AST) -> list[ast.expr]:
    """Expressions that are returned, assigned, passed on, computed with, compared or iterated over."""
    found: list[ast.expr | None] = []
    match node:
        case ast.Return(value=value) | ast.For(iter=value) | ast.comprehension(iter=value):
            found = [value]
        case ast.Assign(value=value) | ast.AugAssign(value=value):
            found = [value]
        case ast.ListComp(elt=value) | ast.GeneratorExp(elt=value) | ast.SetComp(elt=value):
            found = [value]
        case ast.Call(args=arguments):
            found = [one for one in arguments if not isinstance(one, ast.Starred)]
        case ast.BinOp(left=left, right=right):
            found = [left, right]
        case ast.Compare(left=left, comparators=others):
            found = [left, *others]
        case ast.Slice(lower=lower, upper=upper, step=step):
            found = [lower, upper, step]
    return [value for value in found if value is not None]


def _around(source: SourceText, value: ast.expr, own: list[str]) -> Iterator[Edit]:
    begin, end = source.span(value)
    text, line = source.of(value), value.lineno
    if isinstance(value, _WRAPPED):
        called = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
        for name in (*WRAPPERS, *own):
            if name != called:
                inner = text[1:-1] if isinstance(value, ast.GeneratorExp) and text.startswith("(") else text
                yield Edit(begin, end, f"{name}({inner})", CALL, line)
    if isinstance(value, ast.Name | ast.Call | ast.Constant | ast.Subscript) and text[:1] not in "'\"":
        yield Edit(begin, end, f"-{text}", SIGN, line)


def _tokens(source: SourceText, node: ast.AST) -> Iterator[Edit]:
    """Comparisons that are one step further from what stands there, and `=` where `+=` was."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARISONS:
        now, others = _COMPARISONS[type(node.ops[0])]
        place = source.token_between(source.span(node.left)[1], source.span(node.comparators[0])[0], (now,))
        if place is not None:
            for other in others:
                yield Edit(*place, other, COMPARISON, node.comparators[0].lineno)
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name | ast.Subscript):
        place = source.token_between(source.span(node.targets[0])[1], source.span(node.value)[0], ("=",))
        if place is not None:
            yield Edit(*place, "+=", ASSIGNMENT, node.value.lineno)


def _bounds(source: SourceText, node: ast.Subscript, bounds: ast.Slice) -> Iterator[Edit]:
    """Names of the function as the bound that a slice has not."""
    colon = source.token_between(source.span(node.value)[1], source.span(node)[1], (":",))
    if colon is None or (bounds.lower is not None and bounds.upper is not None):
        return
    for name in sorted(_names_around(source.tree, node)):
        if bounds.lower is None:
            yield Edit(colon[0], colon[0], name, BOUND, node.lineno)
        if bounds.upper is None:
            yield Edit(colon[1], colon[1], name, BOUND, node.lineno)


def _names_around(tree: ast.AST, node: ast.AST) -> set[str]:
    """Arguments of the innermost function around a node that are used nowhere else in it as what is cut."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and any(inner is node for inner in ast.walk(function)):
            cut = {ast.unparse(inner.value) for inner in ast.walk(function) if isinstance(inner, ast.Subscript)}
            return {argument.arg for argument in function.args.args} - cut
    return set()
