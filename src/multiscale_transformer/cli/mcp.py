"""`axl mcp`: the tools of `axl agent` for other people's agents, over the Model Context Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders
from multiscale_transformer.cli.skill_models import models_for


def mcp(
    project: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The project; nothing outside it is read or written.")
    ] = Path(),
    yes: Annotated[
        bool, typer.Option("--yes", metavar="", help="Write verified changes; without it they are only returned as diffs.")
    ] = False,
    model: Checkpoint = SHIPPED_FOLDER,
    memory: MemoryFolders = None,
    threads: EngineThreads = None,
) -> None:
    """Serve the tools of axl agent to other agents, over the Model Context Protocol on standard input and output.

    The client starts it and lists and calls the tools: reading, searching, editing, tests and Python in a sandbox, repairs,
    refactoring, translation, docstrings, completion. What is written with --yes is taken back, call by call, with axl agent
    --undo.

        axl mcp --project ~/src/geo
        axl mcp --yes
    """
    from multiscale_transformer.agents.journal import Journal
    from multiscale_transformer.agents.mcp_server import build_server, serve_stdio
    from multiscale_transformer.agents.project import ProjectFolder
    from multiscale_transformer.agents.tools import LabTools

    folder = ProjectFolder(project)
    with LabTools(folder, models_for(model, memory, threads)) as tools:
        serve_stdio(build_server(tools, Journal(folder).begin if yes else None))
