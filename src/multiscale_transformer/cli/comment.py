"""`axl comment`: comments for functions that have none; every token of the code stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders
from multiscale_transformer.cli.proposals import Apply, AsJson, Shown, nothing, show
from multiscale_transformer.cli.skill_models import open_writer
from multiscale_transformer.cli.targets import Target, open_target, split_target

if TYPE_CHECKING:
    from multiscale_transformer.tasks.docstrings import Function
    from multiscale_transformer.tasks.writer import Writer

FEWEST_PLACES = 4  # statements from which on a function is to have a comment


def comment(
    where: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:FUNCTION]", help="What to comment; default: the functions of the file that have no comment."
        ),
    ],
    apply: Apply = False,
    as_json: AsJson = False,
    model: Checkpoint = SHIPPED_FOLDER,
    memory: MemoryFolders = None,
    threads: EngineThreads = None,
) -> None:
    """Write comments for the functions of a file.

    Before which lines people write one was learnt from their code; what it says the model writes. The tokens of the code stay
    as they are. Whether a comment is true no machine can check: read it before you keep it. The exit status is 1 where there is
    nothing to propose.

        axl comment src/area.py
        axl comment src/area.py:longest --apply
    """
    from multiscale_transformer.tasks.comment import TASK
    from multiscale_transformer.tasks.docstrings import bare
    from multiscale_transformer.tasks.source_text import parses, unified_diff
    from multiscale_transformer.zoo.training_record import trained_skills

    target = open_target(where)
    functions = target.functions if split_target(where)[1] else _without_comments(target)
    if not functions:
        raise nothing("every function of some length has a comment", as_json=as_json)
    writer, in_format = open_writer(model, memory, threads), TASK in trained_skills(model)
    before = after = target.source.text
    changes: dict[str, tuple[int, int, str]] = {}
    with ui.bar() as bar:
        for name, node in bar.track(functions.items(), description="writing comments"):
            change = _commented(writer, target, node, in_format=in_format)
            if change is not None:
                changes[name] = change
    for begin, end, text in sorted(changes.values(), reverse=True):
        after = after[:begin] + text + after[end:]
    if not changes or not parses(after) or bare(after) != bare(before):
        raise nothing("the model has no comment that passes the checks", as_json=as_json)
    verified = "every token of the code is as it was; lines were only added, and all of them are comments"
    proposal = Shown(target.path, before, after, unified_diff(before, after, target.path.as_posix()), verified)
    show(proposal, apply=apply, as_json=as_json, functions=list(changes))


def _without_comments(target: Target) -> dict[str, Function]:
    """Functions with some statements and no comment, none of them in another one."""
    from multiscale_transformer.tasks.comment_lines import statement_places

    found: dict[str, Function] = {}
    for name, node in target.functions.items():
        begin, end = target.source.whole_lines(node)
        text = target.source.text[begin:end]
        inside = any(name.startswith(f"{other}.") for other in target.functions)
        if not inside and "#" not in text and len(statement_places(text)) >= FEWEST_PLACES:
            found[name] = node
    return found


def _commented(writer: Writer, target: Target, node: Function, *, in_format: bool) -> tuple[int, int, str] | None:
    """Where a function stands, and its text with the likeliest comments that verify; None where there are none."""
    from multiscale_transformer.tasks.comment import propose, propose_in_code
    from multiscale_transformer.tasks.comment_lines import put, verified
    from multiscale_transformer.tasks.comment_place import likely_places
    from multiscale_transformer.tasks.docstrings import speaks_of

    begin, end = target.source.whole_lines(node)
    code = target.source.text[begin:end]
    text = code.replace("\r\n", "\n")
    chosen = [line for line in likely_places(text) if not _commented_above(text, line)]
    found = propose(writer, text, chosen) if in_format else propose_in_code(writer, target.source, node, chosen)
    texts = (put(code, blocks) for blocks in found if all(speaks_of(block.text, code) for block in blocks))
    return next(((begin, end, text) for text in texts if verified(code, text)), None)


def _commented_above(code: str, line: int) -> bool:
    return line > 0 and code.split("\n")[line - 1].lstrip().startswith("#")
