"""The skills as tools: repairing what tests fail on, refactoring, translating, documenting and completing files of a project.

They are the ones that `axl fix`, `axl refactor` and the others call, with the same verifiers; what comes back is a change that
passed them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Literal

from multiscale_transformer.agents.journal import Change
from multiscale_transformer.agents.project import ProjectFolder
from multiscale_transformer.agents.results import ToolResult, failed
from multiscale_transformer.agents.running import Runner, told
from multiscale_transformer.agents.self_debug import Attempt, Debugged, self_debug
from multiscale_transformer.errors import AxlError, unknown_name
from multiscale_transformer.tasks import document, refactor, translate
from multiscale_transformer.tasks.document_file import document_functions, undocumented
from multiscale_transformer.tasks.fix_order import Gains
from multiscale_transformer.tasks.javascript import node_path
from multiscale_transformer.tasks.module_driver import Module, module_at
from multiscale_transformer.tasks.refactor_file import FileRefactoring
from multiscale_transformer.tasks.source_text import SourceText, parses, qualified_functions
from multiscale_transformer.tasks.writer import Writer

MAX_COMPLETION = 160  # bytes
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Models:
    """What proposes: a model as a writer and as a judge of edits, loaded when first needed, and what it was trained for.

    Without them the rules propose alone. `on_run` is told of every run of self-debug.
    """

    writer: Callable[[], Writer] | None = None
    gains: Callable[[], Gains] | None = None
    skills: Container[str] = field(default_factory=frozenset)
    on_run: Callable[[Attempt], None] = lambda attempt: None


class CodeTools:
    """The skills on one project."""

    def __init__(self, project: ProjectFolder, runner: Runner, models: Models) -> None:
        self._project, self._runner, self._models = project, runner, models

    def fix_tests(self, path: str = "", name: str = "", runs: int = 20) -> ToolResult:
        """Make failing tests pass: run them, try the likeliest small edits of the code, never of a test, and keep the best."""
        tested = self._runner.tested(path, name)
        if isinstance(tested, str):
            return failed(tested)
        gains = self._models.gains() if self._models.gains is not None else None
        done = self_debug(tested, gains=gains, most=runs - 1, on_run=self._models.on_run)  # the other one is to watch
        return _of_debugging(done)

    def refactor(self, path: str, function: str = "") -> ToolResult:
        """Rewrite what a linter finds in the functions of a Python file, where it is shown that they still do the same."""
        source, functions = self._functions(path, function)
        trained = self._models.writer is not None and refactor.TASK in self._models.skills
        writer = self._models.writer() if self._models.writer is not None and trained else None
        found = FileRefactoring(self._module(path), writer, self._runner.sandbox).run(list(functions))
        if not found.edits:
            return failed(f"no edit of {path} is asked for and could be verified")
        text = "; ".join(f"{edit.rule} in {edit.function or path}: {edit.message}" for edit in found.edits)
        verified = "; ".join(dict.fromkeys(edit.verified for edit in found.edits))
        return ToolResult(text, (Change(path, source.text.encode(), found.text.encode()),), verified)

    def translate(self, path: str, language: Literal["javascript"] = "javascript", function: str = "") -> ToolResult:
        """Translate functions of a Python file into JavaScript that gives the same results; it goes into a file beside."""
        node_path()
        _, functions = self._functions(path, function)
        module = self._module(path)
        writer = self._models.writer if translate.TASK in self._models.skills else None
        top = [node for name, node in functions.items() if "." not in name and isinstance(node, ast.FunctionDef)]
        tried = {node.name: translate.translate(self._runner.sandbox, module, node, writer) for node in top}
        found = {name: one for name, one in tried.items() if one is not None}
        if not found:
            return failed(f"no function of {path} has a {language} translation that gives the same results")
        target = f"{path.rpartition('.')[0] or path}.js"
        change = Change(target, self._project.read_bytes(target), translate.merged(found.values()).encode())
        if change.before == change.after:
            return failed(f"{target} holds this already")
        verified = "; ".join(f"{name}: the same results as Python on {one.calls} calls" for name, one in found.items())
        return ToolResult(f"{', '.join(found)} in JavaScript", (change,), verified)

    def document(self, path: str, function: str = "") -> ToolResult:
        """Write docstrings for the functions of a Python file that have none."""
        if self._models.writer is None:
            return failed("docstrings need a model")
        source, functions = self._functions(path, function)
        bare = undocumented(functions, named=bool(function))
        if not bare:
            return failed(f"every public function of {path} has a docstring")
        trained = document.TASK in self._models.skills
        found = document_functions(source, bare, bare, self._models.writer(), in_format=trained)
        if found is None:
            return failed("no docstring of the model passes the checks")
        change = Change(path, source.text.encode(), found.text.encode())
        return ToolResult(f"docstrings for {', '.join(found.sources)}", (change,), found.verified)

    def complete(self, path: str, line: int = 0) -> ToolResult:
        """Complete a line of a file, or what follows its end."""
        if self._models.writer is None:
            return failed("completing needs a model")
        text = self._project.read(path)
        lines = text.splitlines(keepends=True)
        if line > len(lines):
            return failed(f"{path} has {len(lines)} lines")
        before = "".join(lines[:line]).rstrip("\r\n") if line else text
        after = text[len(before) :]
        (written,) = self._models.writer().write(before, [0], after=after, most=MAX_COMPLETION, temperature=0.0, stop=["\n"])
        if not written.strip():
            return failed("the model has nothing to add there")
        changed = before + written + (after or "\n")
        if path.endswith(".py") and not parses(changed):
            return ToolResult(f"the model would go on with {written!r}; the file does not parse with it, so it is no proposal")
        verified = "Python parses the file" if path.endswith(".py") else "nothing is verified but that the rest is as it was"
        return ToolResult(f"the model goes on with {written!r}", (Change(path, text.encode(), changed.encode()),), verified)

    def _module(self, path: str) -> Module:
        """The module in a file; what it imports is read from the project and nowhere above it."""
        module = module_at(self._project.path_of(path))
        if module.root is not None and module.root.is_relative_to(self._project.root):
            return module
        return Module(module.text, module.name.rpartition(".")[2], self._project.root)

    def _functions(self, path: str, wanted: str) -> tuple[SourceText, dict[str, Function]]:
        """A file, and its functions: all or the one that is named. Raises AxlError where there is no such one."""
        try:
            source = SourceText(self._project.read(path))
        except (SyntaxError, ValueError, RecursionError) as error:
            if isinstance(error, AxlError):
                raise
            raise AxlError(f"{path} cannot be read as Python ({error})") from None
        functions: dict[str, Function] = dict(qualified_functions(source.tree))
        if not functions:
            raise AxlError(f"{path} has no function")
        if not wanted:
            return source, functions
        named = next((name for name in functions if name == wanted or name.endswith(f".{wanted}")), None)
        if named is None:
            raise unknown_name(f"function of {path}", wanted, functions)
        return source, {named: functions[named]}


def _of_debugging(done: Debugged) -> ToolResult:
    """What self-debug found: a verified change where all tests pass, else what the best attempt reaches."""
    first, best = done.attempts[0].seen, done.best
    if first.passed:
        return ToolResult(told(first))
    if not done.solved:
        better = f"; the best leaves {len(best.seen.failing)} of {len(first.failing)}" if best.number else ""
        return failed(f"{told(first)}\nno edit makes them pass in {done.runs} runs{better}")
    changes = tuple(Change(name, done.texts[name].encode(), text.encode()) for name, text in sorted(best.changed.items()))
    kinds = [attempt.repair.edit.operator for attempt in (best, done.attempts[best.base]) if attempt.repair is not None]
    text = f"{told(first)}\nan edit makes them pass: {' and '.join(reversed(kinds))}"
    return ToolResult(text, changes, f"{told(best.seen)} after it, in {done.runs} runs")
