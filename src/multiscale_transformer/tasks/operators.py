"""Small edits of Python code that turn a right program into a wrong one, or a wrong one into a right one.

They are the mistakes that programmers make with a token or two: comparisons and arithmetic, bounds that are one off, constants,
names and arguments mixed up, conditions the wrong way round, what ends a loop, how far a statement is indented. Each kind of
edit can be undone by an edit of some kind, so the same list makes bugs to learn from and candidates to mend them with; what
orders the candidates is a model, and what decides is the test.

The kinds follow mutation testing (Offutt et al. 1996, "An experimental determination of sufficient mutant operators") and what
single-token bugs in Python look like (Allamanis et al. 2021, arXiv 2105.12787).
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from itertools import pairwise

from multiscale_transformer.tasks.blocks import Blocks
from multiscale_transformer.tasks.source_text import Edit, SourceText

_COMPARE: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">", ">=")), ast.LtE: ("<=", ("<", ">=", ">")), ast.Gt: (">", (">=", "<", "<=")),
    ast.GtE: (">=", (">", "<=", "<")), ast.Eq: ("==", ("!=", "<=", ">=")), ast.NotEq: ("!=", ("==", "<", ">")),
    ast.In: ("in", ("not in",)), ast.NotIn: ("not in", ("in",)), ast.Is: ("is", ("is not",)), ast.IsNot: ("is not", ("is",)),
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], tuple[str, tuple[str, ...]]] = {
    ast.Add: ("+", ("-", "*")), ast.Sub: ("-", ("+", "*")), ast.Mult: ("*", ("+", "-", "/", "//", "%", "**")),
    ast.Div: ("/", ("//", "*")), ast.FloorDiv: ("//", ("/", "%", "*")), ast.Mod: ("%", ("//", "*")), ast.Pow: ("**", ("*",)),
    ast.BitAnd: ("&", ("|", "^")), ast.BitOr: ("|", ("&", "^")), ast.BitXor: ("^", ("|", "&")),
    ast.LShift: ("<<", (">>",)), ast.RShift: (">>", ("<<",)),
}  # fmt: skip
_SIBLINGS = (  # functions and methods that are taken for one another
    ("min", "max"), ("any", "all"), ("append", "extend"), ("upper", "lower"), ("startswith", "endswith"), ("lstrip", "rstrip"),
    ("strip", "rstrip"), ("find", "rfind"), ("index", "rindex"), ("keys", "values"), ("keys", "items"), ("values", "items"),
    ("isupper", "islower"), ("isalpha", "isdigit"), ("floor", "ceil"), ("int", "float"), ("int", "str"), ("sum", "len"),
    ("union", "intersection"), ("appendleft", "append"), ("popleft", "pop"), ("ljust", "rjust"), ("list", "set"),
    ("list", "tuple"), ("sorted", "reversed"), ("sin", "cos"), ("remove", "discard"), ("ord", "chr"),
)  # fmt: skip
_SIBLING = {
    a: tuple(sorted({y for x, y in _SIBLINGS if x == a} | {x for x, y in _SIBLINGS if y == a})) for p in _SIBLINGS for a in p
}
MOST_NAMES = 6  # others that a name is replaced by, nearest first

_Scoped = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module


def edits_of(source: SourceText, lines: Iterable[int] | None = None) -> list[Edit]:
    """All edits of the operators, in the order of the text, of which each gives another text that parses.

    With `lines` (numbers from 1) only those in statements that have a part on one of them.
    """
    wanted, found = None if lines is None else set(lines), []
    for edit in _all_edits(source):
        if wanted is None or edit.line in wanted:
            found.append(edit)
    unique = {(edit.start, edit.end, edit.text): edit for edit in found if source.text[edit.start : edit.end] != edit.text}
    blocks = Blocks(source)
    return sorted(edit for edit in unique.values() if blocks.parses(edit))


def _all_edits(source: SourceText) -> Iterator[Edit]:
    names, hidden = _names_in_reach(source), annotation_nodes(source.tree)
    for node in ast.walk(source.tree):
        if node in hidden:
            continue
        yield from _of_comparisons(source, node)
        yield from _of_arithmetic(source, node)
        yield from _of_logic(source, node)
        yield from _of_constants(source, node)
        yield from _of_bounds(source, node)
        yield from _of_calls(source, node)
        yield from _of_statements(source, node)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            for name in names.get(node, ()):
                yield _replaced(source, node, name, "name")


def annotation_nodes(tree: ast.AST) -> set[ast.AST]:
    """All nodes of annotations, which no test sees."""
    roots = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            roots.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            roots.append(node.returns)
    return {node for root in roots for node in ast.walk(root)}


def _replaced(source: SourceText, node: ast.AST, text: str, operator: str) -> Edit:
    begin, end = source.span(node)
    return Edit(begin, end, text, operator, node.lineno)  # type: ignore[attr-defined]


def _exchanged(
    source: SourceText, left: ast.expr, right: ast.expr, now: str, others: tuple[str, ...], operator: str
) -> Iterator[Edit]:
    """Edits of the operator that stands between two operands."""
    place = source.token_between(source.span(left)[1], source.span(right)[0], tuple(now.split()))
    if place is not None:
        for other in others:
            yield Edit(*place, other, operator, right.lineno)


def _of_comparisons(source: SourceText, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
        for op, (left, right) in zip(node.ops, pairwise(operands), strict=True):
            now, others = _COMPARE[type(op)]
            yield from _exchanged(source, left, right, now, others, "comparison")


def _of_arithmetic(source: SourceText, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        now, others = _ARITHMETIC[type(node.op)]
        yield from _exchanged(source, node.left, node.right, now, others, "arithmetic")
        for operand in (node.left, node.right):
            yield _replaced(source, node, _bracketed(source, operand), "operand dropped")
        if isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.Pow):
            swapped = f"{_bracketed(source, node.right)} {now} {_bracketed(source, node.left)}"
            yield _replaced(source, node, swapped, "operands swapped")
    elif isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
        now, others = _ARITHMETIC[type(node.op)]
        assigned = tuple(f"{other}=" for other in others)
        yield from _exchanged(source, node.target, node.value, f"{now}=", (*assigned, "="), "assignment")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield _replaced(source, node, source.of(node.operand), "sign")


def _bracketed(source: SourceText, node: ast.expr) -> str:
    text = source.of(node)
    simple = isinstance(node, ast.Name | ast.Constant | ast.Call | ast.Attribute | ast.Subscript)
    return text if simple else f"({text})"


def _of_logic(source: SourceText, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.BoolOp):
        now, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in pairwise(node.values):
            yield from _exchanged(source, left, right, now, (other,), "and, or")
        for value in node.values:
            yield _replaced(source, node, source.of(value), "condition dropped")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield _replaced(source, node, source.of(node.operand), "not")
    tests = [node.test] if isinstance(node, ast.If | ast.While | ast.IfExp) else []
    tests += node.ifs if isinstance(node, ast.comprehension) else []
    tests += node.values if isinstance(node, ast.BoolOp) else []
    tests += (
        [node.value] if isinstance(node, ast.Return) and isinstance(node.value, ast.Compare | ast.BoolOp | ast.Call) else []
    )
    for test in tests:
        if not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            text = source.of(test)
            yield _replaced(source, test, f"not ({text})" if isinstance(test, ast.BoolOp | ast.IfExp) else f"not {text}", "not")


def _of_constants(source: SourceText, node: ast.AST) -> Iterator[Edit]:
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield _replaced(source, node, str(not node.value), "constant")
    elif isinstance(node.value, int) and source.of(node).isdigit():
        for value in {node.value + 1, max(0, node.value - 1), 0, 1} - {node.value}:
            yield _replaced(source, node, str(value), "constant")
    elif isinstance(node.value, str) and source.of(node) in ("''", '""', "' '", '" "'):
        quote = source.of(node)[0]
        yield _replaced(source, node, f"{quote}{'' if node.value else ' '}{quote}", "constant")


def _of_bounds(source: SourceText, node: ast.AST) -> Iterator[Edit]:
    """What is one off: indices, slices, the arguments of range, what a comparison ends with, what is returned."""
    shifted: list[ast.expr | None] = []
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        shifted += [node.slice.lower, node.slice.upper]
        yield from _of_slices(source, node, node.slice)
    elif isinstance(node, ast.Subscript):
        shifted.append(node.slice)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        shifted += node.args[:2]
        if len(node.args) == 1:
            yield _replaced(source, node.args[0], f"1, {source.of(node.args[0])}", "bound")
        elif len(node.args) == 2:
            yield Edit(source.span(node.args[0])[0], source.span(node.args[1])[0], "", "bound dropped", node.lineno)
    elif isinstance(node, ast.Compare):
        shifted += [side for side in (node.left, node.comparators[-1]) if isinstance(side, ast.Name | ast.Call | ast.Attribute)]
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Name | ast.Call | ast.BinOp):
        shifted.append(node.value)
    for bound in shifted:
        if bound is not None and not isinstance(bound, ast.Constant | ast.Slice | ast.Tuple):
            for step in ("+ 1", "- 1"):
                yield _replaced(source, bound, f"{source.of(bound)} {step}", "one off")


def _of_slices(source: SourceText, node: ast.Subscript, bounds: ast.Slice) -> Iterator[Edit]:
    for bound in (bounds.lower, bounds.upper):
        if bound is not None:
            yield _replaced(source, bound, "", "bound dropped")
    colon = source.token_between(source.span(node.value)[1], source.span(node)[1], (":",))
    if colon is not None and bounds.lower is None:
        yield Edit(colon[0], colon[0], "1", "bound", node.lineno)
    if colon is not None and bounds.upper is None:
        yield Edit(colon[1], colon[1], "-1", "bound", node.lineno)


def _of_calls(source: SourceText, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Name) and node.id in _SIBLING:
        for other in _SIBLING[node.id]:
            yield _replaced(source, node, other, "function")
    elif isinstance(node, ast.Attribute) and node.attr in _SIBLING:
        end = source.span(node)[1]
        for other in _SIBLING[node.attr]:
            yield Edit(end - len(node.attr), end, other, "function", node.end_lineno or node.lineno)
    elif isinstance(node, ast.Call):
        for left, right in pairwise(node.args):
            between = source.text[source.span(left)[1] : source.span(right)[0]]
            begin, end = source.span(left)[0], source.span(right)[1]
            yield Edit(begin, end, f"{source.of(right)}{between}{source.of(left)}", "arguments swapped", left.lineno)
        if len(node.args) == 1 and not node.keywords and isinstance(node.func, ast.Name):
            yield _replaced(source, node, source.of(node.args[0]), "call dropped")


def _of_statements(source: SourceText, node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.Break):
        yield _replaced(source, node, "continue", "loop")
    elif isinstance(node, ast.Continue):
        yield _replaced(source, node, "break", "loop")
    elif isinstance(node, ast.If):
        yield from _of_branches(source, node)
    for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
        if isinstance(body, list) and body and isinstance(body[-1], ast.Return | ast.AugAssign | ast.Assign | ast.Expr):
            yield from _indented_otherwise(source, node, body)


def _of_branches(source: SourceText, node: ast.If) -> Iterator[Edit]:
    word = source.token_between(source.offset(node.lineno, node.col_offset), source.span(node.test)[0], ("elif",))
    if word is not None:
        yield Edit(*word, "if", "branch", node.lineno)


def _indented_otherwise(source: SourceText, node: ast.AST, body: list[ast.stmt]) -> Iterator[Edit]:
    """The last statement of a block a step further out; the statement behind a block a step further in."""
    last = body[-1]
    in_block = isinstance(node, ast.For | ast.While | ast.If | ast.With) and len(body) > 1
    if in_block and last.lineno == last.end_lineno and hasattr(node, "col_offset"):
        begin = source.offset(last.lineno, 0)
        yield Edit(begin, source.span(last)[0], " " * node.col_offset, "indentation", last.lineno)
    for before, statement in pairwise(body):
        one_line = statement.lineno == statement.end_lineno
        if one_line and isinstance(before, ast.For | ast.While | ast.If) and not before.orelse:
            begin, column = source.offset(statement.lineno, 0), before.body[0].col_offset
            yield Edit(begin, source.span(statement)[0], " " * column, "indentation", statement.lineno)


def _names_in_reach(source: SourceText) -> dict[ast.Name, list[str]]:
    """For each name that is read and not called, other variables of its function, nearest in the text first."""
    found: dict[ast.Name, list[str]] = {}
    for function in ast.walk(source.tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        places: dict[str, list[int]] = {}
        for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs):
            places.setdefault(argument.arg, []).append(argument.lineno)
        inside = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        for node in inside:
            if isinstance(node.ctx, ast.Store):
                places.setdefault(node.id, []).append(node.lineno)
        called = {call.func for call in ast.walk(function) if isinstance(call, ast.Call)}
        for node in inside:
            if isinstance(node.ctx, ast.Load) and node not in called and node.id in places:
                others = [name for name in places if name != node.id]
                near = sorted(others, key=lambda name: (min(abs(line - node.lineno) for line in places[name]), name))
                found[node] = near[:MOST_NAMES]
    return found
