"""The commands and their flags are a promise: `surface.txt` lists them, and a change of it is a decision, not an accident.

Whoever changes the surface on purpose writes it anew: `PYTHONPATH=tests/cli python tests/cli/test_surface.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multiscale_transformer.cli.main import COMMANDS, load
from multiscale_transformer.zoo.shipped import shipped_model

SURFACE = Path(__file__).with_name("surface.txt")
HEAVY = {"numpy", "numba", "torch", "fastapi", "yaml"}


def surface() -> Iterator[str]:
    """A line for each argument and flag, with its default, of every command but the checkout's own (bench)."""
    for name in COMMANDS:
        if name != "bench":
            yield from _lines(load(name), f"axl {name}")


def _lines(command: Any, path: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from _lines(below, f"{path} {name}")
        return
    yield path
    for parameter in command.params:
        words = parameter.metavar if parameter.param_type_name == "argument" else _flags(parameter)
        yield f"    {words}{' (hidden)' if getattr(parameter, 'hidden', False) else ''}{_default(parameter)}"


def _flags(parameter: Any) -> str:
    metavar = f" {parameter.metavar}" if parameter.metavar else ""
    return " / ".join([*parameter.opts, *parameter.secondary_opts]) + metavar


def _default(parameter: Any) -> str:
    if parameter.required:
        return ", required"
    value = "shipped" if parameter.default == shipped_model() else parameter.default
    return "" if value is None or value is False else f" = {value}"


def test_no_command_or_flag_comes_goes_or_changes_unnoticed() -> None:
    assert "\n".join(surface()) + "\n" == SURFACE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    assert load(name).help.split("\n\n")[0] == COMMANDS[name][1]


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["trian"]])
def test_help_and_refusals_import_nothing_heavy(words: list[str]) -> None:
    """What makes `axl --help` answer in a fifth of a second."""
    code = f"import sys; from multiscale_transformer.cli.main import main; main({words}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = HEAVY if words == ["trian"] else HEAVY | {"pydantic"}  # which Typer needs to word a refusal
    assert not heavy & set(done.stderr.split())


if __name__ == "__main__":
    SURFACE.write_text("\n".join(surface()) + "\n", encoding="utf-8")
