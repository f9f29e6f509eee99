"""Running a project's tests, and Python in it: in the sandbox, on a copy."""

from __future__ import annotations

import ast
import re
import sys
from contextlib import ExitStack
from functools import cached_property

from multiscale_transformer.agents.project import ProjectFolder
from multiscale_transformer.agents.results import ToolResult, failed
from multiscale_transformer.agents.subjects import PYTEST, Seen, TestedProject
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.test_runs import LIMITS, Project

MAX_SHOWN_LINES = 12  # of what a program printed last
MAX_LINE = 300  # characters of one of them
_TEST_NAME = re.compile(r"[\w\[\]., -]{1,200}")


class Runner:
    """The sandbox of an agent, started when it is first needed."""

    def __init__(self, project: ProjectFolder, stack: ExitStack) -> None:
        self._project, self._stack = project, stack
        self.last_output = ""

    @cached_property
    def sandbox(self) -> Sandbox:
        """Raises AxlError where this machine holds no untrusted code."""
        return self._stack.enter_context(Sandbox(LIMITS))

    def tested(self, path: str = "", name: str = "") -> TestedProject | str:
        """The project with pytest on a file or folder of it, and on the tests of a name; or why not."""
        plain = self._project.name_of(path)
        if plain.startswith("-") or (name and not _TEST_NAME.fullmatch(name)) or name.startswith("-"):
            return f"{plain or name!r} is no test of the project"
        if plain and not self._project.path_of(plain).exists():
            return f"{plain} is no file or folder of the project"
        words = (sys.executable, "-m", "pytest", *PYTEST, *([plain] if plain else []), *(["-k", name] if name else []))
        return TestedProject(Project(self._project.root, words, self.sandbox))

    def run_tests(self, path: str = "", name: str = "") -> ToolResult:
        """Run the project's tests with pytest, or those of a file or of a name, and say which failed."""
        tested = self.tested(path, name)
        if isinstance(tested, str):
            return failed(tested)
        seen = tested.seen_once()
        self.last_output = seen.output
        return ToolResult(told(seen), ok=True)

    def run_python(self, code: str) -> ToolResult:
        """Run Python in the project, on a copy of it, and show what it prints; of an expression, its value."""
        try:
            ast.parse(code, mode="eval")
            code = f"_value = ({code}\n)\nif _value is not None: print(repr(_value))"
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
        run = Project(self._project.root, (sys.executable, "-c", code), self.sandbox).run()
        self.last_output = run.output
        return ToolResult(last_lines(run.output) or "it printed nothing", ok=run.passed)


def told(seen: Seen) -> str:
    """How many tests passed, and of each that failed its name and what it said."""
    if seen.passed:
        return f"all tests pass ({len(seen.tests)})" if seen.tests else "the command ended with status 0"
    rows = [f"{name or 'the command'}: {seen.tests[name].message or seen.tests[name].error}" for name in seen.failing]
    rows = [row[:MAX_LINE] for row in rows[:MAX_SHOWN_LINES]]
    head = f"{len(seen.failing)} of {len(seen.tests)} tests fail"
    return "\n".join([head, *rows, *([] if any(seen.failing) else [last_lines(seen.output)])])


def last_lines(output: str) -> str:
    """The end of what a program printed."""
    return "\n".join(line[:MAX_LINE] for line in output.strip().splitlines()[-MAX_SHOWN_LINES:])
