"""Options that have a new name."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from multiscale_transformer.cli.options import above_zero
from multiscale_transformer.cli.renamed import renamed
from multiscale_transformer.errors import AxlError

app = typer.Typer()


@app.command()
@renamed(most="limit", old_names="names")
def command(
    limit: Annotated[float, typer.Option(metavar="N", callback=above_zero, help="The limit.")] = 5,
    names: Annotated[list[str] | None, typer.Option(metavar="NAME")] = None,
) -> None:
    """Says what it was given."""
    typer.echo(f"{limit:g} {names}")


def run(*words: str) -> tuple[str, str]:
    answer = CliRunner().invoke(app, list(words), catch_exceptions=False)
    return answer.stdout, answer.stderr


def test_the_old_name_means_the_new_one_and_says_so() -> None:
    assert run() == ("5 None\n", "")
    assert run("--limit", "7") == ("7 None\n", "")
    assert run("--most", "7") == ("7 None\n", "note: --most is called --limit now\n")
    assert run("--old-names", "a", "--old-names", "b") == ("5 ['a', 'b']\n", "note: --old-names is called --names now\n")


def test_both_names_together_are_refused() -> None:
    for limit in ("7", "5"):  # the default too, where it is given
        with pytest.raises(AxlError, match="--most is the old name of --limit"):
            run("--most", "7", "--limit", limit)


def test_a_value_is_checked_under_its_old_name_too() -> None:
    _, problem = run("--most", "0")
    assert "above 0" in problem
    assert "--most" in problem


def test_the_help_has_the_new_name_only() -> None:
    shown, _ = run("--help")
    assert "--limit" in shown
    assert "The limit." in shown
    assert "Says what it was given." in shown
    assert "most" not in shown
    assert "typer_context" not in shown
