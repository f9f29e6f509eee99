"""The lab's tools on a project: each returns a short text and, where it would change files, a change that was verified.

No tool writes: who called it shows the change and decides (`agents.agent`). Arguments come from a model or another
program, so they are checked against the signature of the tool and every name against the project (`agents.project`). Code
of the project runs in the sandbox, on a copy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from multiscale_transformer.agents.code_tools import CodeTools, Models
from multiscale_transformer.agents.errors_explained import explained
from multiscale_transformer.agents.journal import Change
from multiscale_transformer.agents.lab_tools import LAB_TOOLS, NONE
from multiscale_transformer.agents.project import ProjectFolder
from multiscale_transformer.agents.results import ToolResult, failed
from multiscale_transformer.agents.running import Runner
from multiscale_transformer.agents.search import search
from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.errors import AxlError, unknown_name
from multiscale_transformer.tasks.source_text import parses

MAX_LINES = 200  # of a file that are shown at once
MAX_ENTRIES = 200  # of a folder
MAX_TEXT_CHARS = 1 << 16  # of an argument
MAX_NUMBER = 10**9
_NUMBER = {"ge": 1, "le": MAX_NUMBER}
_LIMITS: dict[Any, dict[str, int]] = {str: {"max_length": MAX_TEXT_CHARS}, int: _NUMBER, int | None: _NUMBER}


FIX = Tool(
    "fix_tests",
    "Make failing tests pass: run them, try the likeliest small edits of the code, never of a test, and keep the best.",
    {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "The test file or folder; all tests where it is left out."},
            "name": {"type": "string", "description": "The name of one test, e.g. 'test_empty'."},
            "runs": {"type": "integer", "minimum": 2, "description": "Most runs of the tests, 20 where it is left out."},
        },
        "required": [],
        "additionalProperties": False,
    },
)


class LabTools:
    """The tools on one project. Use it as a context: the sandbox is started when the first tool needs it."""

    def __init__(self, project: ProjectFolder, models: Models | None = None) -> None:
        self.project = project
        self._stack = ExitStack()
        self._runner = Runner(project, self._stack)
        self._code = CodeTools(project, self._runner, models or Models())
        self._functions: dict[str, Callable[..., ToolResult]] = {
            "read_file": self._read_file, "search_index": self._search_index, "list_dir": self._list_dir,
            "edit_lines": self._edit_lines, "run_tests": self._runner.run_tests, "run_python": self._runner.run_python,
            "explain_error": self._explain_error, "refactor": self._code.refactor, "translate": self._code.translate,
            "document": self._code.document, "complete": self._code.complete, "fix_tests": self._code.fix_tests,
        }  # fmt: skip

    def __enter__(self) -> LabTools:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None) -> None:
        self._stack.close()

    @cached_property
    def infos(self) -> tuple[Tool, ...]:
        """All tools with their descriptions and schemas."""
        return (*(tool for tool in LAB_TOOLS if tool != NONE), FIX)

    def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call a tool. What is wrong with its arguments or its files is a result too, which says so.

        Raises AxlError for a name that there is not.
        """
        if name not in self._functions:
            raise unknown_name("tool", name, self._functions)
        try:
            checked = self._arguments[name].model_validate(dict(arguments))
            return self._functions[name](**{key: getattr(checked, key) for key in type(checked).model_fields})
        except ValidationError as error:
            first = error.errors()[0]
            return failed(f"{name} takes no such {'.'.join(map(str, first['loc'])) or 'arguments'}: {first['msg']}")
        except (AxlError, OSError) as error:
            return failed(str(error))

    @cached_property
    def _arguments(self) -> dict[str, type[BaseModel]]:
        return {name: _model_of(name, function) for name, function in self._functions.items()}

    def _read_file(self, path: str, first_line: int = 1, last_line: int | None = None) -> ToolResult:
        """Show a file of the project, or some of its lines, with their numbers."""
        lines = self.project.read(path).splitlines()
        last = min(len(lines), last_line or len(lines), first_line + MAX_LINES - 1)
        if lines and not 1 <= first_line <= len(lines):
            return failed(f"{path} has {len(lines)} lines")
        shown = "\n".join(f"{number:>5}  {lines[number - 1]}" for number in range(first_line, last + 1))
        more = f"\nand {len(lines) - last} more lines" if last < len(lines) and last_line is None else ""
        return ToolResult((shown or "the file is empty") + more)

    def _list_dir(self, path: str = "") -> ToolResult:
        """List a folder of the project."""
        entries = self.project.list_dir(path)
        more = f"\nand {len(entries) - MAX_ENTRIES} more" if len(entries) > MAX_ENTRIES else ""
        return ToolResult(("\n".join(entries[:MAX_ENTRIES]) or "the folder is empty") + more)

    def _search_index(self, query: str) -> ToolResult:
        """Search the project's text for words or names, and show the places that fit best."""
        found = search(self.project, query)
        if not found:
            return failed(f"nothing in the project has a word of {query!r}")
        return ToolResult("\n".join(f"{place.name}:{place.line}: {place.text}" for place in found))

    def _edit_lines(self, path: str, first_line: int, text: str, last_line: int | None = None) -> ToolResult:
        """Replace a line of a file, or a range of lines, with new text."""
        before, last = self.project.read(path), last_line or first_line
        lines = before.splitlines(keepends=True)
        if not 1 <= first_line <= last <= len(lines):
            return failed(f"{path} has {len(lines)} lines; lines {first_line} to {last} are not in it")
        end = "\r\n" if lines[first_line - 1].endswith("\r\n") else "\n"
        new = [f"{line}{end}" for line in text.splitlines()]
        after = "".join([*lines[: first_line - 1], *new, *lines[last:]])
        if path.endswith(".py") and parses(before) and not parses(after):
            return failed(f"{path} would not parse any more")
        checked = "Python parses the file" if path.endswith(".py") and parses(after) else "the other lines are as they were"
        return _changing(f"lines {first_line} to {last} of {path} are replaced", path, before, after, checked)

    def _explain_error(self, message: str = "") -> ToolResult:
        """Explain an error: where in the project it was raised, the line, the values. Default: that of the last run."""
        text = message or self._runner.last_output
        if not text.strip():
            return failed("there is no error to explain; give its message, or run something first")
        return ToolResult(explained(text, self.project))


def _changing(text: str, name: str, before: str, after: str, verified: str) -> ToolResult:
    if after == before:
        return failed("nothing would change")
    return ToolResult(text, (Change(name, before.encode(), after.encode()),), verified)


def _model_of(name: str, function: Callable[..., ToolResult]) -> type[BaseModel]:
    """The arguments of a tool as a model, by its signature: no others, and none of endless length."""
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        default: Any = ... if parameter.default is inspect.Parameter.empty else parameter.default
        limits: dict[str, Any] = dict(_LIMITS.get(parameter.annotation, {}))
        fields[parameter.name] = (parameter.annotation, Field(default, **limits))
    return create_model(name, __config__=ConfigDict(extra="forbid", strict=True), **fields)
