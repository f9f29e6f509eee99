"""`axl document`: docstrings for functions that have none, which a parser has checked."""

from __future__ import annotations

from typing import Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders
from multiscale_transformer.cli.proposals import Apply, AsJson, Shown, nothing, show
from multiscale_transformer.cli.skill_models import open_writer
from multiscale_transformer.cli.targets import open_target, split_target


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
    from multiscale_transformer.tasks.document import TASK
    from multiscale_transformer.tasks.document_file import document_functions, undocumented
    from multiscale_transformer.tasks.source_text import unified_diff
    from multiscale_transformer.zoo.training_record import trained_skills

    target = open_target(where)
    functions = undocumented(target.functions, named=bool(split_target(where)[1]))
    if not functions:
        raise nothing("every public function has a docstring", as_json=as_json)
    writer, in_format = open_writer(model, memory, threads), TASK in trained_skills(model)
    with ui.bar() as bar:
        tracked = bar.track(functions, description="writing docstrings")
        found = document_functions(target.source, functions, tracked, writer, in_format=in_format, with_parameters=parameters)
    if found is None:
        raise nothing("no docstring of the model passes the checks", as_json=as_json)
    before = target.source.text
    proposal = Shown(target.path, before, found.text, unified_diff(before, found.text, target.path.as_posix()), found.verified)
    show(proposal, apply=apply, as_json=as_json, functions=list(found.sources))
