"""How verified proposals of the skills are shown and applied: a coloured diff with what verified it, or JSON."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.syntax import Syntax

from multiscale_transformer.cli import ui
from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import write_bytes

NOTHING = 1  # exit status where there is nothing to propose

Apply = Annotated[bool, typer.Option("--apply", metavar="", help="Write the change into the file.")]
AsJson = Annotated[bool, typer.Option("--json", metavar="", help="Print JSON, for tools.")]


@dataclass(frozen=True)
class Shown:
    """A verified change of one file: its text before and after, the difference, and what verified it in a few words."""

    path: Path
    before: str
    after: str
    diff: str
    verified: str


def show(proposal: Shown, *, apply: bool, as_json: bool, **facts: Any) -> None:
    """Print a proposal and, with `apply`, write it.

    Raises AxlError where the file is no longer what the proposal was made for.
    """
    if apply:
        write_change(proposal)
    if as_json:
        content = {"file": str(proposal.path), "diff": proposal.diff, "verified": proposal.verified, "applied": apply, **facts}
        ui.print_line(json.dumps(content))
        return
    if ui.out.is_terminal:
        ui.out.print(Syntax(proposal.diff.rstrip("\n"), "diff", background_color="default", word_wrap=False))
    else:
        ui.write(proposal.diff)
    ui.print_text("")
    ui.print_field("Verified", proposal.verified)
    if apply:
        ui.print_field("Applied", f"to {proposal.path}")


def write_change(proposal: Shown) -> None:
    """Write the text after, atomically, unless somebody has changed the file meanwhile."""
    path = proposal.path.resolve()  # a link stays one: what it leads to is written
    exists = path.exists()
    if (path.read_bytes() if exists else b"") != proposal.before.encode():
        raise AxlError(f"{proposal.path} was changed while the proposal was made; run the command again")
    write_bytes(path, proposal.after.encode(), stat.S_IMODE(path.stat().st_mode) if exists else None)


def nothing(text: str, *, as_json: bool, **facts: Any) -> typer.Exit:
    """Say that there is nothing to propose; what is returned is to be raised."""
    if as_json:
        ui.print_line(json.dumps({"file": None, "diff": None, "verified": None, "applied": False, "reason": text, **facts}))
    else:
        ui.print_text(text)
    return typer.Exit(NOTHING)
