"""Running the test command of a project on a copy of it, in the sandbox, and reading what failed where.

The copy holds what git would track or what a folder has without hidden and generated parts, so a test can write what it likes:
the project itself is not reachable. The copy stands before everything else on `PYTHONPATH`, so that a project that is installed
in editable mode is imported from the copy. A first run also writes down which lines of the project ran: those in functions, or
those of the import where no function was called.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.limits import Limits, Outcome, Program, Status
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.observe import Observed

MAX_PROJECT_BYTES = 64 << 20
SKIPPED = {".git", ".hg", ".venv", "venv", "node_modules", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox"}
LIMITS = Limits(seconds=60.0, cpu_seconds=60, memory_mb=2048, output_bytes=1 << 20, file_mb=64, open_files=256, processes=64)
MOST_IMPORTED = 20  # files that were only imported and yet may hold the bug; large projects import all they have
_TRACE_FOLDER, _TRACE, _PLUGIN = ".axl-trace", "axl-trace.json", "axl_plugin"

_TRACER = """
import atexit, json, os, sys, threading
_root, _seen, _imported = os.getcwd() + os.sep, {}, {}
def _local(frame, event, argument):
    if event == "line":
        _seen[frame.f_code.co_filename].add(frame.f_lineno)
    return _local
def _local_import(frame, event, argument):
    if event == "line":
        _imported[frame.f_code.co_filename].add(frame.f_lineno)
    return _local_import
def _tracer(frame, event, argument):
    name, module = frame.f_code.co_filename, frame.f_code.co_name == "<module>"
    if name not in _seen:
        if not (name.startswith(_root) and name.endswith(".py")) or name == _local.__code__.co_filename:
            return None
        _seen[name], _imported[name] = set(), set()
    return _local_import if module else _local
def _save():
    sys.settrace(None)
    ran = {name: sorted(lines) for name, lines in _seen.items() if lines}
    only_imported = {name: sorted(_imported[name]) for name, lines in _seen.items() if not lines}
    if not ran or len(only_imported) <= MOST_IMPORTED:
        ran.update(only_imported)
    with open(_root + "axl-trace.json", "w") as file:
        json.dump({os.path.relpath(name, _root): lines for name, lines in ran.items()}, file)
atexit.register(_save)
threading.settrace(_tracer)
sys.settrace(_tracer)
""".replace("MOST_IMPORTED", str(MOST_IMPORTED))


@dataclass(frozen=True)
class Plugin:
    """A plugin for pytest: its code, what lies beside it as JSON in a file of its name, and the file that it writes."""

    code: str
    request: str
    result: str


@dataclass(frozen=True)
class TestRun:
    """How a run of the test command ended. `ran` are lines by file of the project, `failures` what failed, by file."""

    __test__ = False  # pytest takes it for a class of tests

    status: Status
    output: str
    seconds: float
    ran: dict[str, tuple[int, ...]] = field(default_factory=dict)
    failures: dict[str, Observed] = field(default_factory=dict)
    plugin_result: str = ""

    @property
    def passed(self) -> bool:
        """Whether the command ended with status 0."""
        return self.status == "ok"


class Project:
    """A folder with a test command."""

    def __init__(self, root: Path, command: tuple[str, ...], sandbox: Sandbox, limits: Limits = LIMITS) -> None:
        """Raises AxlError where there is no such command, or the folder is too large to be copied for every run."""
        self.root, self.command, self._sandbox, self._limits = root.resolve(), command, sandbox, limits
        if not command:
            raise AxlError('there is no test command; give one, as in --test "pytest -x tests"')
        program = shutil.which(command[0], path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
        if program is None:
            raise AxlError(f"{command[0]} is not installed; give a test command that runs here")
        self._program = Path(program)
        self.files = _files(self.root)

    def read(self, name: str) -> str:
        """The text of a file of the project; line ends stay as they are."""
        return (self.root / name).read_bytes().decode()

    def run(self, changed: dict[str, str] | None = None, *, trace: bool = False, plugin: Plugin | None = None) -> TestRun:
        """Run the test command on a copy in which the files of `changed` have other texts, with a plugin where it is pytest."""

        def prepare(scratch: Path) -> None:
            for name in self.files:
                target = scratch / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.root / name, target)
                shutil.copymode(self.root / name, target)
            for name, text in (changed or {}).items():
                (scratch / name).write_bytes(text.encode())
            if trace:
                (scratch / _TRACE_FOLDER).mkdir()
                (scratch / _TRACE_FOLDER / "sitecustomize.py").write_text(_TRACER)
            if plugin is not None:
                (scratch / _TRACE_FOLDER).mkdir(exist_ok=True)
                (scratch / _TRACE_FOLDER / f"{_PLUGIN}.py").write_text(plugin.code)
                (scratch / _TRACE_FOLDER / f"{_PLUGIN}.json").write_text(plugin.request)

        path = [*([_TRACE_FOLDER] if trace or plugin else []), ".", "src"]
        results = [*([_TRACE] if trace else []), *([plugin.result] if plugin else [])]
        program = Program(
            command=(str(self._program), *self.command[1:], *(("-p", _PLUGIN) if plugin else ())),
            readable=tuple(str(folder) for folder in self._readable()),
            environment={
                "PATH": os.pathsep.join((str(self._program.parent), os.environ.get("PATH", ""))),
                "PYTHONPATH": os.pathsep.join(path),
            },
            results=tuple(results),
            reserves_memory=True,
        )
        outcome = self._sandbox.run(program, limits=self._limits, prepare=prepare)
        return replace(_read(outcome), plugin_result=outcome.files.get(plugin.result, "") if plugin else "")

    def _readable(self) -> list[Path]:
        """What the command is made of: its environment, and the Python that this one was made from."""
        folders = {self._program.parent, self._program.resolve().parent, Path(sys.prefix), Path(sys.base_prefix)}
        if (self._program.parent.parent / "pyvenv.cfg").is_file():
            folders.add(self._program.parent.parent)
            python = (self._program.parent / "python").resolve()
            folders.add(python.parent.parent)
        return sorted(folders)


def _files(root: Path) -> list[str]:
    """Files of a project by their names in it. Raises AxlError where they are too many bytes."""
    found, total = [], 0
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if name not in SKIPPED and not name.endswith(".egg-info"))
        for name in sorted(names):
            path = Path(folder) / name
            if path.is_symlink() or not path.is_file() or name.endswith((".pyc", ".so", ".axl-lock")):
                continue
            total += path.stat().st_size
            if total > MAX_PROJECT_BYTES:
                raise AxlError(f"{root} has more than {MAX_PROJECT_BYTES >> 20} MB; give the folder of the code and its tests")
            found.append(path.relative_to(root).as_posix())
    return found


def _read(outcome: Outcome) -> TestRun:
    output = outcome.stdout + outcome.stderr
    try:
        ran = {name: tuple(lines) for name, lines in json.loads(outcome.files.get(_TRACE, "{}")).items()}
    except (ValueError, TypeError, AttributeError):
        ran = {}
    return TestRun(outcome.status, output, outcome.seconds, ran, failures_in(output, outcome.status, ran))


_PYTEST_PLACE = re.compile(r"^([\w./-]+\.py):(\d+): (?:in \w+|(\w+))?\s*$", re.MULTILINE)
_PLAIN_PLACE = re.compile(r'^\s*File "(?:[^"]*/)?([\w./-]+\.py)", line (\d+)', re.MULTILINE)
_ERROR = re.compile(
    r"^(?:E\s+)?([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning|Iteration))(?::\s*(.*))?$", re.MULTILINE
)
_COMPARED = re.compile(r"^E\s+(?:AssertionError: )?assert (.+?) == (.+)$", re.MULTILINE)
_UNEQUAL = re.compile(r"^AssertionError: (.+?) != (.+)$", re.MULTILINE)


def failures_in(output: str, status: Status, ran: dict[str, tuple[int, ...]]) -> dict[str, Observed]:
    """What pytest's or Python's output says of the first failure, for each file of the project that it names or that ran."""
    places: dict[str, list[int]] = {}
    for name, line in [*_PLAIN_PLACE.findall(output), *((name, line) for name, line, _ in _PYTEST_PLACE.findall(output))]:
        known = next((file for file in ran if file == name or file.endswith(f"/{name}")), name)
        places.setdefault(known, []).append(int(line))
    error = _ERROR.search(output)
    kind, message = (
        (error[1].rpartition(".")[2], error[2] or "") if error else ("Timeout" if status == "timeout" else "AssertionError", "")
    )
    compared = _COMPARED.search(output) or _UNEQUAL.search(output)
    actual, expected = (compared[1].strip(), compared[2].strip()) if compared else (None, None)
    if compared and error is None:
        kind = "AssertionError"
    return {
        name: Observed(
            test="",
            lines=ran.get(name, ()),
            error=kind,
            message=message,
            at=tuple(places.get(name, ())),
            actual=actual,
            expected=expected,
        )
        for name in {**ran, **places}
    }
