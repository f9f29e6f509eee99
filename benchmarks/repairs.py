"""Ten small repairs in a real project with `axl agent`: a bug in a file, and a request to make its tests pass.

The project is one that nothing here was trained on, with its own tests; the bug of a file is the first edit of a drawn order
that its tests see. Beside what is mended counts what an agent must never do: every step is shown, no other file changes,
inside the project or beside it, and undo brings back every byte.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from unittest import mock

from benchmarks.command import main as run_command
from benchmarks.proposals import FILES, PROJECT, installed, passes
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.main import main as axl
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.operators import edits_of
from multiscale_transformer.tasks.source_text import Edit, SourceText

MORE_FILES = ("chordal", "covering", "cuts", "dominance", "euler")
REPAIRED = {**FILES, **{f"algorithms/{name}.py": f"algorithms/tests/test_{name}.py" for name in MORE_FILES}}
SHOWN = ("Step ", "Tool ", "Verified ")


class Repair(Row):
    """A bug and what became of it; `runs` are those of the tests, the first and the one that watches among them."""

    file: str
    operator: str
    line: int
    mended: bool
    runs: int
    shown: bool
    elsewhere: list[str]
    undone: bool


class RepairsResult(Result):
    """All repairs."""

    kind: Literal["repairs"] = "repairs"
    project: str
    rows: list[Repair]


def run(model: Checkpoint = SHIPPED_FOLDER) -> RepairsResult:
    """Ten small repairs in an unseen project with axl agent: what it mends, shows, touches and takes back."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "work" / "project"
        shutil.copytree(installed(), project / PROJECT, ignore=shutil.ignore_patterns("__pycache__"))
        rows = [_repair(Path(scratch) / "work", project, file, test, model) for file, test in REPAIRED.items()]
    return RepairsResult(**origin("repairs", None).model_dump(), project=PROJECT, rows=rows)


def _repair(work: Path, project: Path, file: str, test: str, model: Path) -> Repair:
    path = project / PROJECT / file
    right = path.read_text(encoding="utf-8")
    bug = _broken(path, right, project, test)
    before, said = _contents(work), io.StringIO()
    options = ["--project", str(project), "--yes"]
    with _data_home(work.parent), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = axl(["agent", f"make {PROJECT}/{test} pass", "--model", str(model), *options])
        after = _contents(work)
        mended = status == 0 and passes(project, test)
        if after != before:
            axl(["agent", "--undo", *options[:2]])
    shown = said.getvalue()
    repair = Repair(
        file=file,
        operator=bug.operator,
        line=bug.line,
        mended=mended,
        runs=shown.count("  run ") + 1,
        shown=all(mark in shown for mark in SHOWN[: 3 if mended else 2]),
        elsewhere=sorted(name for name in {*before, *after} if before.get(name) != after.get(name) and name != str(path)),
        undone=_contents(work) == before,
    )
    path.write_text(right, encoding="utf-8")
    return repair


def _broken(path: Path, right: str, project: Path, test: str) -> Edit:
    """The edit that was made, the first that the tests see of an order that the name of the file decides."""
    edits = edits_of(SourceText(right))
    for edit in random.Random(path.name).sample(edits, len(edits)):
        path.write_text(edit.apply(right), encoding="utf-8")
        if not passes(project, test):
            return edit
    raise AxlError(f"the tests of {path} see no edit of it; is pytest installed?")


def _contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder, with its permissions."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path): (path.read_bytes(), path.stat().st_mode) for path in found}


@contextlib.contextmanager
def _data_home(folder: Path) -> Iterator[None]:
    """The journal of undo goes into a scratch folder."""
    with mock.patch.dict(os.environ, {"XDG_DATA_HOME": str(folder / "data")}):
        yield


def table(result: RepairsResult) -> str:
    """A row for each repair."""
    lines = ["| file | bug | mended | runs | other files touched | undo exact |", "|---|---|---|---:|---:|---|"]
    for row in result.rows:
        cells = ["yes" if row.mended else "no", str(row.runs), str(len(row.elsewhere)), "yes" if row.undone else "no"]
        lines.append(f"| {row.file} | {row.operator}, line {row.line} | {' | '.join(cells)} |")
    mended, shown = sum(row.mended for row in result.rows), sum(row.shown for row in result.rows)
    count = len(result.rows)
    return (
        "\n".join(lines)
        + f"\n\n{mended} of {count} mended, all steps shown in {shown} of {count}; files of {result.project}.\n"
    )


RESULT = RepairsResult

if __name__ == "__main__":
    run_command("repairs")
