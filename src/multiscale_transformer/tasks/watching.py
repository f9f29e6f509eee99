"""What an edit would change, seen without running it: its expression beside the one that stands there, in the states of a run.

While a test runs, both expressions are computed at every visit of the statement. Where they give the same value each time, the
program would go the same way with the edit, so running it is a waste; where the edited one returns what the test expects, it is
nearly found. Only expressions that have no side effects are computed: plain values, operators, and calls known to be harmless.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from multiscale_transformer.tasks.blocks import Block, Blocks, statements_of
from multiscale_transformer.tasks.source_text import Edit, SourceText, parsed

MAX_WATCHES = 400
MAX_SHOWN = 300  # characters of a value
MOST_VISITS = 40  # of a statement in a test at which edits of it are watched
MOST_SECONDS = 0.3  # for watching in all tests
_HARMLESS = {
    "abs", "all", "any", "bool", "chr", "dict", "divmod", "enumerate", "float", "frozenset", "int", "isinstance", "len", "list",
    "max", "min", "ord", "range", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "type", "zip", "map", "filter",
}  # fmt: skip
_METHODS = {
    "bit_length", "count", "difference", "endswith", "find", "get", "index", "intersection", "isalnum", "isalpha", "isdigit",
    "islower", "issubset", "issuperset", "isupper", "items", "join", "keys", "lower", "lstrip", "replace", "rfind", "rindex",
    "rstrip", "split", "startswith", "strip", "title", "union", "upper", "values",
    "ceil", "cos", "floor", "gcd", "log", "log2", "log10", "sin", "sqrt", "tan",
}  # fmt: skip
_IMPURE = ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr | ast.Lambda | ast.Starred


# What computes the expressions, for a driver that traces lines: `watch` is told of the frame of each.
WATCHER = """
import time

PLAIN = (int, float, complex, str, bytes, bool, type(None), list, tuple, dict, set, frozenset, range)
LAZY = (map, filter, zip, enumerate, reversed)
watches, visits, flags, returned, spent = {}, {}, {}, {}, 0.0

def expect_watches(rows):
    for number, (file, line, now, edited, names, returns) in enumerate(rows):
        both = [compile(text, "watch", "eval") for text in (now, edited)]
        watches.setdefault((file, line), []).append((number, *both, names, returns))

def shown(value):
    try:
        return repr(value)[:MAX_SHOWN]
    except BaseException:
        return "?"

def value_of(code, frame):
    try:
        value = eval(code, frame.f_globals, dict(frame.f_locals))
        return list(value) if isinstance(value, LAZY) else value
    except Exception as error:
        return type(error)

def watch(frame):
    global spent
    begin, file = time.perf_counter(), frame.f_code.co_filename
    for number, now, edited, names, returns in watches.get((file, frame.f_lineno), ()):
        visits[number] = visits.get(number, 0) + 1
        if visits[number] > MOST_VISITS or spent > MOST_SECONDS:
            continue
        local = frame.f_locals
        if all(isinstance(local[name], PLAIN) for name in names if name in local):
            before, after = value_of(now, frame), value_of(edited, frame)
            failed, fails = (isinstance(value, type) and issubclass(value, Exception) for value in (before, after))
            retyped = type(before) is not type(after)
            differs = retyped or shown(before) != shown(after)
            found = (differs, retyped and not failed and not fails, fails and not failed, failed and not fails)
            flags[number] = tuple(map(max, flags.get(number, found), found))
            if returns and frame.f_back.f_code.co_filename != file:
                returned[number] = shown(after)
    spent += time.perf_counter() - begin

def forget_watched():
    for kept in (visits, flags, returned):
        kept.clear()

def watched_now(expected):
    names = ("changes", "retypes", "raises", "recovers")
    return {
        number: {"expected": expected is not None and returned.get(number) == expected, **dict(zip(names, found))}
        for number, found in flags.items()
    }
"""
for _name, _value in (("MAX_SHOWN", MAX_SHOWN), ("MOST_VISITS", MOST_VISITS), ("MOST_SECONDS", MOST_SECONDS)):
    WATCHER = WATCHER.replace(_name, str(_value))


class Watch(BaseModel):
    """An expression and what an edit makes of it, at a line (from 1); `returns` where the statement returns it as it is."""

    model_config = ConfigDict(frozen=True)

    line: int
    now: str
    edited: str
    names: tuple[str, ...]
    returns: bool = False

    @property
    def row(self) -> tuple[int, str, str, tuple[str, ...], bool]:
        """As WATCHER takes it, behind the name of the file."""
        return self.line, self.now, self.edited, self.names, self.returns


class Watched(BaseModel):
    """What a watch saw in one test, at any visit: another value, one of another type, an error that was none or none that was
    one; and whether what the edit returns is what is expected."""

    model_config = ConfigDict(frozen=True)

    changes: bool
    retypes: bool = False
    raises: bool = False
    recovers: bool = False
    expected: bool = False


def watch_for(source: SourceText, edit: Edit) -> Watch | None:
    """What is to be watched for an edit; None where it changes more than an expression, or one that is not harmless."""
    return watches_for(source, [edit]).get(edit)


def watches_for(source: SourceText, edits: Sequence[Edit]) -> dict[Edit, Watch]:
    """The edits that can be watched, at most MAX_WATCHES of them."""
    found: dict[Edit, Watch] = {}
    blocks, known = Blocks(source), dict[Block, _Statements]()
    for edit in edits:
        if len(found) == MAX_WATCHES:
            break
        block = blocks.around(edit)
        if block not in known:
            known[block] = _Statements(block.tree)
        watch = _watch(block, known[block], edit)
        if watch is not None:
            found[edit] = watch
    return found


class _Statements:
    """The statements of a tree, outer ones first, and what each consists of besides other statements."""

    def __init__(self, tree: ast.Module) -> None:
        self.nodes = statements_of(tree)
        self.own = [_own(node) for node in self.nodes]


def _watch(block: Block, statements: _Statements, edit: Edit) -> Watch | None:
    try:
        edited = statements_of(parsed(block.after(edit)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    pair = _changed_statement(statements, edited)
    if pair is None:
        return None
    before, after = (_effect(statement) for statement in pair)
    if before is None or after is None:
        return None
    for number, (now, then) in enumerate(_differing(before, after)):
        if _is_harmless(now) and _is_harmless(then) and not _grows(now, then):
            names = {node.id for one in (now, then) for node in ast.walk(one) if isinstance(node, ast.Name)}
            returns = number == 0 and isinstance(pair[0], ast.Return)
            texts, line = (ast.unparse(now), ast.unparse(then)), pair[0].lineno + block.lines_before
            return Watch(line=line, now=texts[0], edited=texts[1], names=tuple(sorted(names)), returns=returns)
    return None


def _changed_statement(statements: _Statements, edited: Sequence[ast.stmt]) -> tuple[ast.stmt, ast.stmt] | None:
    """The one statement whose own part differs, before and after; None where the statements differ otherwise."""
    if len(statements.nodes) != len(edited):
        return None
    found = None
    for before, own, after in zip(statements.nodes, statements.own, edited, strict=True):
        if type(before) is not type(after):
            return None
        if isinstance(before, ast.FunctionDef | ast.ClassDef):
            continue
        if own != _own(after):
            if found is not None:
                return None
            found = before, after
    return found


def _own(statement: ast.stmt) -> list[str]:
    """What a statement consists of besides other statements."""
    parts = []
    for value in ast.iter_child_nodes(statement):
        if not isinstance(value, ast.stmt | ast.excepthandler):
            parts.append(ast.dump(value))
    return parts


def _effect(statement: ast.stmt) -> ast.expr | None:
    """What a statement computes, as one expression: a condition, what is returned or assigned, and at which index."""
    match statement:
        case ast.Return(value=value) if value is not None:
            return value
        case ast.If(test=value) | ast.While(test=value) | ast.For(iter=value) | ast.Expr(value=value):
            return value
        case ast.Assign(targets=[target], value=value):
            return _assigned(target, value)
        case ast.AugAssign(target=target, op=op, value=value) if isinstance(target, ast.Name | ast.Subscript):
            return _assigned(target, ast.BinOp(left=_loaded(target), op=op, right=value))
    return None


def _assigned(target: ast.expr, value: ast.expr) -> ast.expr | None:
    if isinstance(target, ast.Subscript):
        return ast.Tuple(elts=[value, target.value, _loaded(target.slice)], ctx=ast.Load())
    return value


def _loaded(target: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(target), mode="eval").body if not isinstance(target, ast.Slice) else ast.Constant(None)


def _differing(before: ast.expr, after: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The pairs of expressions that differ, the outermost first, as long as only one part of each differs."""
    while True:
        yield before, after
        if type(before) is not type(after) or isinstance(before, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp):
            return
        if isinstance(before, ast.GeneratorExp):
            return
        ours, theirs = (list(ast.iter_child_nodes(one)) for one in (before, after))
        if len(ours) != len(theirs):
            return
        apart = [(one, two) for one, two in zip(ours, theirs, strict=True) if ast.dump(one) != ast.dump(two)]
        if len(apart) != 1:
            return
        ((one, two),) = apart
        if not (isinstance(one, ast.expr) and isinstance(two, ast.expr)):
            return
        before, after = one, two
        if isinstance(before, ast.Slice) or isinstance(after, ast.Slice):
            return


def _is_harmless(node: ast.expr) -> bool:
    """Whether computing it changes nothing, given plain values."""
    own = {name for inner in ast.walk(node) if isinstance(inner, ast.comprehension) for name in _stored(inner.target)}
    for inner in ast.walk(node):
        if isinstance(inner, _IMPURE):
            return False
        if isinstance(inner, ast.Call):
            func = inner.func
            known = isinstance(func, ast.Name) and func.id in _HARMLESS and func.id not in own
            if not known and not (isinstance(func, ast.Attribute) and func.attr in _METHODS):
                return False
    return True


def _stored(target: ast.expr) -> list[str]:
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]


def _grows(now: ast.expr, then: ast.expr) -> bool:
    """Whether the edit brings a power, which can take for ever to compute."""
    powers = [sum(isinstance(node, ast.Pow | ast.LShift) for node in ast.walk(one)) for one in (now, then)]
    return powers[1] > powers[0]
