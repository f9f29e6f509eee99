"""A function's text as the rules of `tasks.secure.rules` read it: nodes with their parents, and where a value goes."""

from __future__ import annotations

import ast
from functools import cached_property

from multiscale_transformer.tasks.source_text import Edit, SourceText, parsed

_PLACES: dict[type[ast.AST], str] = {
    ast.FormattedValue: "f-string", ast.Return: "returned", ast.Assign: "assigned", ast.AugAssign: "assigned",
    ast.GeneratorExp: "each", ast.ListComp: "each", ast.SetComp: "each", ast.keyword: "keyword", ast.IfExp: "choice",
    ast.List: "element", ast.Dict: "item", ast.Yield: "returned",
}  # fmt: skip
_TAKERS = {"join", "format", "append", "write", "compile", "search", "match", "sub", "split", "open", "run", "Popen", "system",
           "urljoin", "Markup", "get", "extend", "send", "findall", "fullmatch", "replace", "str", "execute"}  # fmt: skip


class Code(SourceText):
    """A parsed text that knows the parent of each node. Raises as `SourceText`."""

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes that stand where they say, outer ones first: before Python 3.12 those in f-strings may not."""
        texts = [node for node in ast.walk(self.tree) if isinstance(node, ast.JoinedStr)]
        inside = {part for node in texts for part in ast.walk(node)}.difference(texts)
        return [node for node in ast.walk(self.tree) if node not in inside or self._is_placed(node)]

    @cached_property
    def _parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node around a node."""
        return self._parents.get(node)

    def is_docstring(self, node: ast.AST) -> bool:
        """Whether a constant is a statement by itself, or a part of another string."""
        return isinstance(self.parent(node), ast.Expr | ast.JoinedStr)

    def place(self, node: ast.AST) -> str:
        """Where the value of an expression goes, in a word; empty for places that nothing is escaped for."""
        parent = self.parent(node)
        if isinstance(parent, ast.Tuple) and isinstance(self.parent(parent), ast.BinOp):
            parent = self.parent(parent)
        if isinstance(parent, ast.BinOp):
            return {ast.Add: "+", ast.Mod: "%"}.get(type(parent.op), "") if node is not parent.left or _adds(parent) else ""
        if isinstance(parent, ast.Call):
            last = dotted(parent.func).rpartition(".")[2] or getattr(parent.func, "attr", "")
            return "" if node not in parent.args else f"argument of {last}" if last in _TAKERS else "argument"
        if isinstance(parent, ast.GeneratorExp | ast.ListComp | ast.SetComp) and node is not parent.elt:
            return ""
        if isinstance(parent, ast.IfExp) and node is parent.test:
            return ""
        inside = not isinstance(parent, ast.Assign | ast.AugAssign) or node is parent.value
        return _PLACES.get(type(parent), "") if inside and parent is not None else ""

    def _is_placed(self, node: ast.AST) -> bool:
        if not isinstance(node, ast.expr) or isinstance(self.parent(node), ast.JoinedStr):
            return False
        try:
            return ast.dump(parsed(f"({self.of(node)})").body[0].value) == ast.dump(node)  # type: ignore[attr-defined]
        except (SyntaxError, ValueError, IndexError):
            return False


def _adds(node: ast.BinOp) -> bool:
    return isinstance(node.op, ast.Add)


def dotted(node: ast.AST) -> str:
    """`a.b.c` for a name with attributes, and an empty text for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    before = dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{before}.{node.attr}" if before else ""  # type: ignore[attr-defined]


def simple(node: ast.AST) -> bool:
    """Whether an expression is a value that needs no brackets, whatever stands around it; `self` and constants are none."""
    if isinstance(node, ast.Name):
        return isinstance(node.ctx, ast.Load) and node.id not in {"self", "cls"}
    return isinstance(node, ast.Attribute | ast.Subscript | ast.Call) and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)


def edited(code: SourceText, node: ast.AST, text: str, operator: str) -> Edit:
    """The edit that puts a text in the place of a node."""
    begin, end = code.span(node)
    return Edit(begin, end, text, operator, node.lineno)  # type: ignore[attr-defined]


def form(rule: str, unsafe: str, safe: str) -> str:
    """The operator of an edit, from which a model of candidates takes its features."""
    return f"{rule}: {unsafe} <- {safe}"
