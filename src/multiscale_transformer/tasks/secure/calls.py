"""Rules of unsafe calls in which a keyword is missing or too many: timeouts, filters of archives, certificates not verified."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property

from multiscale_transformer.tasks.secure.code import Code, dotted, form
from multiscale_transformer.tasks.source_text import Edit

_VERBS = {"get", "post", "put", "delete", "head", "patch", "options", "request"}
_CLIENTS = {"requests", "session", "_session", "httpx", "client", "_client", "http", "http_client", "sess"}
_TIMED = {"urlopen", "create_connection", "communicate", "check_output", "check_call", "HTTPConnection", "HTTPSConnection",
          "SMTP", "SMTP_SSL", "FTP"}  # fmt: skip
_TIMED_NAMES = {"subprocess.run", "subprocess.call", "httpx.Client", "httpx.AsyncClient"}
_TIMEOUTS = ("10", "30", "5", "60", "timeout", "self.timeout", "self._timeout", "20", "120", "1", "2", "3", "15", "300")


class Call:
    """A call with the text of its parts."""

    def __init__(self, code: Code, node: ast.Call) -> None:
        self.code, self.node, self.name = code, node, dotted(node.func)
        self.last = node.func.attr if isinstance(node.func, ast.Attribute) else self.name
        base = node.func.value if isinstance(node.func, ast.Attribute) else None
        self.base = (base.attr if isinstance(base, ast.Attribute) else dotted(base)) if base is not None else ""
        self.close = code.span(node)[1] - 1

    @cached_property
    def open(self) -> int:
        """The character behind the opening bracket."""
        return self.code.text.index("(", self.code.span(self.node.func)[1]) + 1

    @property
    def arguments(self) -> str:
        """The text between the brackets."""
        return self.code.text[self.open : self.close]

    @property
    def parts(self) -> list[ast.expr | ast.keyword]:
        """Arguments and keywords in the order of the text."""
        return sorted([*self.node.args, *self.node.keywords], key=lambda part: (part.lineno, part.col_offset))

    def keyword(self, name: str) -> ast.keyword | None:
        """The keyword of that name."""
        return next((keyword for keyword in self.node.keywords if keyword.arg == name), None)

    @property
    def takes_unknown(self) -> bool:
        """Whether `**` hands on keywords that the text does not show."""
        return any(keyword.arg is None for keyword in self.node.keywords)

    def end(self) -> int | None:
        """Where a keyword more can be written; None where the text leaves no plain place."""
        if not self.parts:
            return self.open
        if isinstance(self.parts[-1], ast.GeneratorExp) or (isinstance(self.parts[-1], ast.keyword) and self.takes_unknown):
            return None
        return self.behind(self.parts[-1], self.close)

    def behind(self, part: ast.AST, limit: int) -> int | None:
        """The end of an argument and of brackets around it; None where a comment follows."""
        end = self.code.span(part)[1]
        between = self.code.text[end:limit]
        return None if "#" in between else end + between.rfind(")") + 1


def keyword_added(call: Call, text: str, operator: str) -> Iterator[Edit]:
    """The edit that writes a keyword behind the other arguments."""
    at = call.end()
    if at is not None:
        yield Edit(at, at, f", {text}" if call.parts else text, operator, call.node.lineno)


def keyword_removed(call: Call, keyword: ast.keyword, operator: str) -> Iterator[Edit]:
    """The edit that takes a keyword away, with the comma before it or else behind it."""
    span = removed_span(call, keyword)
    if span is not None:
        yield Edit(*span, "", operator, call.node.lineno)


def removed_span(call: Call, keyword: ast.keyword) -> tuple[int, int] | None:
    """What goes with a keyword; None where comments or brackets stand around it."""
    parts, (begin, end) = call.parts, call.code.span(keyword)
    at = parts.index(keyword)
    following = call.code.span(parts[at + 1])[0] if at + 1 < len(parts) else call.close
    if set(call.code.text[end:following]) & set("()#"):
        return None
    if at:
        before = call.behind(parts[at - 1], begin)
        return None if before is None else (before, end)
    return (begin, following) if at + 1 < len(parts) else (begin, end)


def rules_of_calls(call: Call, *, inject: bool) -> Iterator[Edit]:
    """Edits of a call by the rules of this module."""
    if _is_timed(call):
        yield from _timeouts(call, inject=inject)
    if call.last in {"extractall", "extract"}:
        yield from _filters(call, inject=inject)
    if call.last in _VERBS and call.base in _CLIENTS:
        yield from _verified(call, inject=inject)


def _is_timed(call: Call) -> bool:
    return call.last in _TIMED or call.name in _TIMED_NAMES or (call.last in _VERBS and call.base in _CLIENTS)


def _timeouts(call: Call, *, inject: bool) -> Iterator[Edit]:
    keyword, what = call.keyword("timeout"), f"{call.base}.{call.last}".lstrip(".")
    if inject and keyword is not None and not _is_none(keyword.value):
        yield from keyword_removed(call, keyword, form("timeout", what, call.code.of(keyword.value)))
    elif not inject and keyword is None and not call.takes_unknown:
        names = {node.id for node in call.code.nodes if isinstance(node, ast.Name)}
        names |= {node.arg for node in call.code.nodes if isinstance(node, ast.arg)}
        for value in _TIMEOUTS:
            if value[0].isdigit() or value.partition(".")[0] in names:
                yield from keyword_added(call, f"timeout={value}", form("timeout", what, value))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _filters(call: Call, *, inject: bool) -> Iterator[Edit]:
    keyword = call.keyword("filter")
    if inject and keyword is not None and isinstance(keyword.value, ast.Constant):
        yield from keyword_removed(call, keyword, form("tar", call.last, call.code.of(keyword.value)))
    elif not inject and keyword is None and not call.takes_unknown:
        for value in ('"data"', "'data'"):
            yield from keyword_added(call, f"filter={value}", form("tar", call.last, value))


def _verified(call: Call, *, inject: bool) -> Iterator[Edit]:
    keyword, operator = call.keyword("verify"), form("verify", "verify=False", "no verify")
    if inject and keyword is None and not call.takes_unknown:
        yield from keyword_added(call, "verify=False", operator)
    elif not inject and keyword is not None and call.code.of(keyword.value) == "False":
        yield from keyword_removed(call, keyword, operator)
