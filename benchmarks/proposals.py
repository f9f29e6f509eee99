"""No proposal breaks parsing or a test: every skill's command on files of a project that nothing here was trained on.

Each command is told to apply what it proposes, on a copy of the project; then the file is parsed, and the project's own tests
of that file run, as they did before.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.command import main as run_command
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.main import main as axl
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.source_text import parses

PROJECT = "networkx"
FILES = {  # and their tests
    "utils/heaps.py": "utils/tests/test_heaps.py",
    "utils/union_find.py": "utils/tests/test_unionfind.py",
    "utils/mapped_queue.py": "utils/tests/test_mapped_queue.py",
    "algorithms/bridges.py": "algorithms/tests/test_bridges.py",
    "algorithms/boundary.py": "algorithms/tests/test_boundary.py",
}
TEST_SECONDS = 60.0
COMMANDS = ("refactor", "secure", "document", "comment", "test", "translate")


class Tried(Row):
    """A command on a file: how many lines it changed or wrote, and what became of them."""

    command: str
    file: str
    changed: int
    parses: bool
    passes: bool


class ProposalsResult(Result):
    """All commands on all files."""

    kind: Literal["proposals"] = "proposals"
    project: str
    rows: list[Tried]


def run(
    model: Checkpoint = SHIPPED_FOLDER,
    commands: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Commands by name (default: all).")] = None,
) -> ProposalsResult:
    """Apply what every skill proposes to files of an unseen project, and run the project's tests."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "clean"
        shutil.copytree(installed(), project / PROJECT, ignore=shutil.ignore_patterns("__pycache__"))
        rows = [
            _tried(command, file, project, Path(scratch) / "tried", model) for command in commands or COMMANDS for file in FILES
        ]
    return ProposalsResult(**origin("proposals", None).model_dump(), project=PROJECT, rows=rows)


def installed() -> Path:
    """The project's package. Raises AxlError where it is not installed."""
    import importlib.util

    found = importlib.util.find_spec(PROJECT)
    if found is None or found.origin is None:
        raise AxlError(f"{PROJECT} is not installed; pip install {PROJECT}")
    return Path(found.origin).parent


def _tried(command: str, file: str, clean: Path, place: Path, model: Path) -> Tried:
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(clean, place)
    path = place / PROJECT / file
    words = [command, str(path), "--apply", "--json"] + (["--model", str(model)] if command != "secure" else [])
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = axl(words)
    if status not in (0, 1, 2):  # 2: the file holds nothing that the command is for, as methods alone are not called
        raise AxlError(f"axl {command} {file} ended with status {status}")
    answer = json.loads(said.getvalue().strip().splitlines()[-1]) if status != 2 else {}
    changed = sum(line[:1] == "+" and line[:3] != "+++" for line in (answer.get("diff") or "").splitlines())
    tests = [FILES[file]] + (["utils/test_written.py"] if command == "test" else [])
    written = path.with_name(f"test_{path.stem}.py")
    if written.exists() and written.relative_to(place / PROJECT).as_posix() != FILES[file]:
        written.rename(place / PROJECT / "utils/test_written.py")
    return Tried(
        command=command,
        file=file,
        changed=changed,
        parses=parses(path.read_text(encoding="utf-8")),
        passes=all(passes(place, test) for test in tests),
    )


def passes(place: Path, test: str) -> bool:
    """Whether a test file of the project passes, within TEST_SECONDS; one that is not there does."""
    if not (place / PROJECT / test).exists():
        return True  # nothing was written
    words = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{PROJECT}/{test}"]
    try:
        return subprocess.run(words, cwd=place, capture_output=True, check=False, timeout=TEST_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def table(result: ProposalsResult) -> str:
    """By command: files with a proposal, lines, and what broke."""
    lines = ["| command | files with a proposal | lines | parsing broken | tests broken |", "|---|---:|---:|---:|---:|"]
    for command in dict.fromkeys(row.command for row in result.rows):
        rows = [row for row in result.rows if row.command == command]
        broken = sum(not row.parses for row in rows), sum(not row.passes for row in rows)
        count = f"{sum(row.changed > 0 for row in rows)} of {len(rows)}"
        lines.append(f"| {command} | {count} | {sum(row.changed for row in rows)} | {broken[0]} | {broken[1]} |")
    return "\n".join(lines) + f"\n\nFiles of {result.project}, which nothing here was trained on, with their own tests.\n"


RESULT = ProposalsResult

if __name__ == "__main__":
    run_command("proposals")
