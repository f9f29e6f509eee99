"""Facts about code that inspection can tell: parameters, defaults, exceptions, bases, callees, values, docstrings.

A fact has a subject (a function, class or constant by its name), a kind, and an answer in the words of the code. Everything
that the skill chat says is one of them, so it can be checked, and it has a place.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict

from multiscale_transformer.tasks.source_text import SourceText

Kind = Literal["purpose", "parameters", "default", "raises", "returns", "calls", "bases", "methods", "value", "place"]
MAX_ANSWER = 160  # characters
MAX_CODE = 1200  # bytes of the code that goes with a question

_SENTENCES: dict[Kind, str] = {
    "purpose": "{subject}: {answer}",
    "parameters": "The parameters of {subject} are {answer}.",
    "default": "The default of {argument} in {subject} is {answer}.",
    "raises": "{subject} raises {answer}.",
    "returns": "{subject} returns {answer}.",
    "calls": "{subject} calls {answer}.",
    "bases": "{subject} inherits from {answer}.",
    "methods": "The methods of {subject} are {answer}.",
    "value": "The value of {subject} is {answer}.",
    "place": "{subject} is defined in {answer}.",
}


class Fact(BaseModel):
    """One fact: `argument` is the parameter that a default is of; `line` (from 1) and `file` are where the subject stands."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    subject: str
    answer: str
    argument: str = ""
    file: str = ""
    line: int = 0

    @property
    def sentence(self) -> str:
        """The fact as a sentence."""
        return _SENTENCES[self.kind].format(subject=self.subject, answer=self.answer, argument=self.argument)

    @property
    def source(self) -> str:
        """Where to look: file and line."""
        return f"{self.file}:{self.line}"


class Subject(BaseModel):
    """What questions are about: its name, its code (cut where it is long), and what is to be said of it."""

    model_config = ConfigDict(frozen=True)

    name: str
    code: str
    facts: tuple[Fact, ...]


def subjects_in(text: str, file: str) -> Iterator[Subject]:
    """Functions, methods, classes and constants of a Python text with their facts; none where it does not parse."""
    try:
        source = SourceText(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    yield from _in_body(source, source.tree.body, "", file)


def _in_body(source: SourceText, body: list[ast.stmt], prefix: str, file: str) -> Iterator[Subject]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield _subject(source, node, prefix + node.name, file, list(_of_function(source, node)))
        elif isinstance(node, ast.ClassDef):
            yield _subject(source, node, prefix + node.name, file, list(_of_class(source, node)))
            yield from _in_body(source, node.body, f"{prefix}{node.name}.", file)
        elif not prefix and isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name.isupper():
                yield _subject(source, node, name, file, [("value", source.of(node.value), "")])


_Said = tuple[Kind, str, str]


def _subject(source: SourceText, node: ast.stmt, name: str, file: str, said: list[_Said]) -> Subject:
    code = source.of(node).encode()[:MAX_CODE].decode(errors="ignore")
    said.append(("place", file, ""))
    facts = tuple(
        Fact(kind=kind, subject=name, answer=" ".join(answer.split()), argument=argument, file=file, line=node.lineno)
        for kind, answer, argument in said
        if answer.strip() and len(answer) <= MAX_ANSWER
    )
    return Subject(name=name, code=code, facts=facts)


def _of_function(source: SourceText, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[_Said]:
    yield "purpose", _first_line(node), ""
    arguments = [*node.args.posonlyargs, *node.args.args]
    names = [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]
    names += [f"*{node.args.vararg.arg}"] if node.args.vararg else []
    names += [argument.arg for argument in node.args.kwonlyargs]
    names += [f"**{node.args.kwarg.arg}"] if node.args.kwarg else []
    yield "parameters", ", ".join(names), ""
    with_defaults = zip(arguments[len(arguments) - len(node.args.defaults) :], node.args.defaults, strict=True)
    for argument, default in (*with_defaults, *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)):
        if default is not None:
            yield "default", source.of(default), argument.arg
    if node.returns is not None:
        yield "returns", source.of(node.returns), ""
    inner = list(ast.walk(node))
    raised = [one.exc for one in inner if isinstance(one, ast.Raise) and one.exc is not None]
    yield "raises", _names(source, [one.func if isinstance(one, ast.Call) else one for one in raised]), ""
    yield "calls", _names(source, [one.func for one in inner if isinstance(one, ast.Call)][:8]), ""


def _of_class(source: SourceText, node: ast.ClassDef) -> Iterator[_Said]:
    yield "purpose", _first_line(node), ""
    yield "bases", _names(source, node.bases), ""
    methods = [one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    yield "methods", ", ".join(name for name in methods if not name.startswith("_")), ""


def _names(source: SourceText, nodes: list[ast.expr]) -> str:
    named = [source.of(node) for node in nodes if isinstance(node, ast.Name | ast.Attribute)]
    return ", ".join(dict.fromkeys(named))


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").strip().split("\n")[0]
