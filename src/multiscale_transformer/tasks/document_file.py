"""Docstrings for the functions of a file: the likeliest sentence for each that verifies, and the file with all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.docstrings import Function, bare, place, speaks_of, verified, widest_line
from multiscale_transformer.tasks.document import MODEL, Neighbours, Proposal, Question, propose, suggested_by_name
from multiscale_transformer.tasks.source_text import Edit, SourceText, parses
from multiscale_transformer.tasks.writer import Writer


@dataclass(frozen=True)
class Documented:
    """The text with docstrings, and who wrote that of each function: the model, or the name of another function."""

    text: str
    sources: dict[str, str]

    @property
    def verified(self) -> str:
        """What was checked, and which sentences are of other functions."""
        others = {name: source for name, source in self.sources.items() if source != MODEL}
        checked = "the syntax tree is the same but for docstrings; parameters are named as in the signature"
        return checked + "".join(f"; {name} says what {source} does" for name, source in others.items())


def undocumented(functions: Mapping[str, Function], *, named: bool) -> dict[str, Function]:
    """The functions without a docstring: the one that is named, or all public ones. Raises AxlError where that one has one."""
    without = {name: node for name, node in functions.items() if ast.get_docstring(node, clean=False) is None}
    if named and not without:
        raise AxlError(f"{next(iter(functions))} has a docstring already; name another function")
    inside = {name for name in without if any(name.startswith(f"{other}.") for other in functions)}
    public = {name: node for name, node in without.items() if not any(part.startswith("_") for part in name.split("."))}
    return without if named else {name: node for name, node in public.items() if name not in inside and not _is_stub(node)}


def document_functions(
    source: SourceText,
    functions: Mapping[str, Function],
    names: Iterable[str],
    writer: Writer,
    *,
    in_format: bool,
    with_parameters: bool = False,
) -> Documented | None:
    """A text with docstrings of the named ones of its functions; None where none verifies.

    `in_format` says that the model was trained for the skill.
    """
    neighbours, found = Neighbours(source.text), dict[str, tuple[Proposal, Edit]]()
    for name in names:
        best = _best(writer, source, functions[name], neighbours, in_format=in_format, with_parameters=with_parameters)
        if best is not None:
            found[name] = best
    after = source.text
    for _, edit in sorted(found.values(), key=lambda one: -one[1].start):
        after = edit.apply(after)
    if not found or not parses(after) or bare(after) != bare(source.text):
        return None
    return Documented(after, {name: proposal.source for name, (proposal, _) in found.items()})


def _is_stub(node: Function) -> bool:
    """Whether it only declares one of several signatures."""
    return any(ast.unparse(decorator).rpartition(".")[2] == "overload" for decorator in node.decorator_list)


def _best(
    writer: Writer, source: SourceText, node: Function, neighbours: Neighbours, *, in_format: bool, with_parameters: bool
) -> tuple[Proposal, Edit] | None:
    """The likeliest docstring of a function that verifies, and the edit that puts it in."""
    text, (begin, end), widest = source.text, source.whole_lines(node), widest_line(source.text)
    function = text[begin:end]
    question = Question.of_format(function, widest) if in_format else Question.in_code(source, node, widest)
    suggestions, said = [*neighbours.alike(function), *suggested_by_name(function)], neighbours.sentences
    for proposal in propose(writer, question, suggestions, said=said, with_parameters=with_parameters):
        if not speaks_of(proposal.docstring.first, function):
            continue
        edit = place(source, node).edit(proposal.docstring)
        if verified(function, text[begin : edit.start] + edit.text + text[edit.end : end], widest):
            return proposal, edit
    return None
