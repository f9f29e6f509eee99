"""`axl document`: docstrings for functions that have none, which a parser has checked."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders
from multiscale_transformer.cli.proposals import Apply, AsJson, Shown, nothing, show
from multiscale_transformer.cli.skill_models import open_writer
from multiscale_transformer.cli.targets import Target, open_target, split_target
from multiscale_transformer.errors import AxlError

if TYPE_CHECKING:
    from multiscale_transformer.tasks.docstrings import Function
    from multiscale_transformer.tasks.document import Neighbours, Proposal
    from multiscale_transformer.tasks.source_text import Edit
    from multiscale_transformer.tasks.writer import Writer


def document(
    where: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:FUNCTION]",
            help="What to document; default: every public function of the file that has no docstring.",
        ),
    ],
    parameters: Annotated[bool, typer.Option("--args", metavar="", help="Say something of every parameter.")] = False,
    apply: Apply = False,
    as_json: AsJson = False,
    model: Checkpoint = SHIPPED_FOLDER,
    memory: MemoryFolders = None,
    threads: EngineThreads = None,
) -> None:
    """Write docstrings for the functions of a file.

    The model writes sentences; a grammar holds the names of parameters to those of the signature. The likeliest sentence is
    kept that speaks of something in the function; it may be that of the most alike function of the file. The code stays as it
    is, byte for byte. Whether a sentence is true no machine can check: read it before you keep it. The exit status is 1 where
    there is nothing to propose.

        axl document src/area.py
        axl document src/area.py:Shape.area --args --apply
    """
    from multiscale_transformer.tasks.docstrings import bare
    from multiscale_transformer.tasks.document import TASK, Neighbours
    from multiscale_transformer.tasks.source_text import parses, unified_diff
    from multiscale_transformer.zoo.training_record import trained_skills

    target = open_target(where)
    functions = _undocumented(target, named=bool(split_target(where)[1]))
    if not functions:
        raise nothing("every public function has a docstring", as_json=as_json)
    writer, in_format = open_writer(model, memory, threads), TASK in trained_skills(model)
    neighbours = Neighbours(target.source.text)
    found: dict[str, tuple[Proposal, Edit]] = {}
    with ui.bar() as bar:
        for name, node in bar.track(functions.items(), description="writing docstrings"):
            best = _best(writer, target, node, neighbours, in_format=in_format, with_parameters=parameters)
            if best is not None:
                found[name] = best
    before = after = target.source.text
    for _, edit in sorted(found.values(), key=lambda one: -one[1].start):
        after = edit.apply(after)
    if not found or not parses(after) or bare(after) != bare(before):
        raise nothing("no docstring of the model passes the checks", as_json=as_json)
    from_others = {name: proposal.source for name, (proposal, _) in found.items() if proposal.source != "model"}
    verified = "the syntax tree is the same but for docstrings; parameters are named as in the signature"
    verified += "".join(f"; {name} says what {source} does" for name, source in from_others.items())
    proposal = Shown(target.path, before, after, unified_diff(before, after, target.path.as_posix()), verified)
    show(proposal, apply=apply, as_json=as_json, functions=list(found))


def _undocumented(target: Target, *, named: bool) -> dict[str, Function]:
    """The functions without a docstring: the one that is named, or all public ones. Raises AxlError where that one has one."""
    without = {name: node for name, node in target.functions.items() if ast.get_docstring(node, clean=False) is None}
    if named and not without:
        raise AxlError(f"{next(iter(target.functions))} has a docstring already; name another function")
    inside = {name for name in without if any(name.startswith(f"{other}.") for other in target.functions)}
    public = {name: node for name, node in without.items() if not any(part.startswith("_") for part in name.split("."))}
    return without if named else {name: node for name, node in public.items() if name not in inside and not _is_stub(node)}


def _is_stub(node: Function) -> bool:
    """Whether it only declares one of several signatures."""
    return any(ast.unparse(decorator).rpartition(".")[2] == "overload" for decorator in node.decorator_list)


def _best(
    writer: Writer, target: Target, node: Function, neighbours: Neighbours, *, in_format: bool, with_parameters: bool
) -> tuple[Proposal, Edit] | None:
    """The likeliest docstring of a function that verifies, and the edit that puts it in."""
    from multiscale_transformer.tasks.docstrings import place, speaks_of, verified, widest_line
    from multiscale_transformer.tasks.document import Question, propose

    text, (begin, end), widest = target.source.text, target.source.whole_lines(node), widest_line(target.source.text)
    function = text[begin:end]
    question = Question.of_format(function, widest) if in_format else Question.in_code(target.source, node, widest)
    alike, said = neighbours.alike(function), neighbours.sentences
    for proposal in propose(writer, question, alike, said=said, with_parameters=with_parameters):
        if not speaks_of(proposal.docstring.first, function):
            continue
        edit = place(target.source, node).edit(proposal.docstring)
        if verified(function, text[begin : edit.start] + edit.text + text[edit.end : end], widest):
            return proposal, edit
    return None
