"""`axl bench`: the door to `benchmarks/`, which stands beside the package in a checkout and is not installed.

Each benchmark is imported when it is named: most of them need PyTorch, and `axl --help` needs none of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from benchmarks.result import BENCHMARKS
from multiscale_transformer.cli.options import help_text
from multiscale_transformer.cli.ui import out


class _Benchmarks(TyperGroup):
    """`tables`, and a command for each benchmark."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*BENCHMARKS, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in BENCHMARKS:
            return super().get_command(ctx, cmd_name)
        from benchmarks.command import command_of

        single, command = typer.Typer(add_completion=False), command_of(cmd_name)
        single.command(cmd_name, help=help_text(command))(command)
        return typer.main.get_command(single)


app = typer.Typer(cls=_Benchmarks, help="Compare at equal wall-clock, interleaved, over seeds.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `tables` a command of its own."""


@app.command()
def tables(
    documents: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Markdown files (default: README.md and docs/*.md).")
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the result files.")] = Path("runs"),
) -> None:
    """Write the figures of runs/*.json into the marked places of Markdown files."""
    from benchmarks.tables import write_tables

    for path in write_tables(documents or [Path("README.md"), *sorted(Path("docs").glob("*.md"))], runs):
        out.print(str(path), markup=False, soft_wrap=True)
