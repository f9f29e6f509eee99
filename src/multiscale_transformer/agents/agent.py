"""An agent: a task in words becomes steps, each a tool with its arguments, shown and asked for before it writes.

Which tool a step needs is for the router to say (`agents.router`), or for another one that is passed in. The agent itself
knows one thing more: that a request to make tests pass is for self-debug.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from multiscale_transformer.agents.journal import Changes
from multiscale_transformer.agents.lab_tools import LAB_TOOLS
from multiscale_transformer.agents.project import ProjectFolder
from multiscale_transformer.agents.results import ToolResult, failed
from multiscale_transformer.agents.router import route as routed
from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.agents.tools import FIX, LabTools
from multiscale_transformer.errors import AxlError

Call = tuple[str, dict[str, Any]]
Route = Callable[[str, Sequence[Tool]], Call | None]  # the tool that a request is for, and its arguments; None for none

MAX_STEPS = 12
_NEXT = re.compile(r"(?:[;\n]|,?\s+and then\s|,\s*then\s|\s+then\s)+")
_PASS = re.compile(
    r"\b(?:make|fix|mend|repair|get|let)\b.*\b(?:pass(?:es|ing)?|tests?|green)\b|\bfailing tests?\b", re.IGNORECASE
)
_ABOUT_TESTS = re.compile(r"\btests?\b|test_|_test", re.IGNORECASE)
_PATH = re.compile(r"(?<![\w/.-])[\w.-]*[\w-]+(?:/[\w.-]+)*(?:\.\w+|/)(?![\w/])")
_TEST = re.compile(r"\btest_\w+\b(?!\.)")


@dataclass(frozen=True)
class Step:
    """A part of a task, the tool that was called for it (None where none fits), what came of it, and whether it was written."""

    request: str
    call: Call | None
    result: ToolResult
    written: bool = False

    @property
    def done(self) -> bool:
        """Whether it did what it was for: told something, or wrote its change."""
        return self.written if self.result.changes else self.result.ok


def steps_of(task: str) -> list[str]:
    """The parts of a task, which `then`, semicolons and line ends divide. Raises AxlError for none or more than MAX_STEPS."""
    steps = [part.strip(" .,") for part in _NEXT.split(task)]
    steps = [step for step in steps if step]
    if not steps:
        raise AxlError('the task is empty; say what is to be done, as in axl agent "make tests/test_area.py pass"')
    if len(steps) > MAX_STEPS:
        raise AxlError(f"the task has {len(steps)} steps; give at most {MAX_STEPS} at once")
    return steps


def run_task(
    task: str,
    tools: LabTools,
    changes: Changes,
    consent: Callable[[Step], bool],
    route: Route | None = None,
    on_call: Callable[[str, Call | None], None] = lambda request, call: None,
) -> Iterator[Step]:
    """Do a task step by step. What a step would write is written where `consent` says so; `on_call` is told of each call first.

    A later step sees what an earlier one has written. Raises AxlError where a file was changed by somebody else meanwhile.
    """
    for request in steps_of(task):
        call = call_for(request, tools, route)
        on_call(request, call)
        result = failed("no tool does this") if call is None else tools.call(*call)
        step = Step(request, call, result)
        if result.changes and consent(step):
            changes.apply(result.changes)
            step = Step(request, call, result, written=True)
        yield step


def call_for(request: str, tools: LabTools, route: Route | None = None) -> Call | None:
    """The tool for a request, and its arguments: self-debug for tests that are to pass, else what the router says."""
    paths = paths_in(request, tools.project)
    if _PASS.search(request) and _ABOUT_TESTS.search(request):
        tests = [path for path in paths if "test" in path]
        named = _TEST.findall(request) if not tests else [name for name in _TEST.findall(request) if name not in tests[0]]
        return FIX.name, {**({"path": tests[0]} if tests else {}), **({"name": named[0]} if named else {})}
    return (route or by_router)(request, LAB_TOOLS)


def by_router(request: str, tools: Sequence[Tool]) -> Call | None:
    """What the router of the package says (`agents.router`)."""
    call = routed(request, tools)
    return None if call is None else (call.name, json.loads(call.arguments))


def paths_in(request: str, project: ProjectFolder) -> list[str]:
    """The words of a request that are names of files or folders of the project."""
    found = []
    for word in _PATH.findall(request):
        try:
            if project.path_of(word).exists():
                found.append(project.name_of(word))
        except AxlError:
            continue
    return found
