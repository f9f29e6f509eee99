"""What is debugged: a program with tests or a project with a test command, run in the sandbox and seen test by test.

A run of a test command that ends at the first failure tells little. Here every test runs, so that an edit that makes one
more of them pass is seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from multiscale_transformer.agents.project_watch import edits_to_watch, plugin_for, read_report
from multiscale_transformer.sandbox.limits import Limits
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.fix import editable
from multiscale_transformer.tasks.observe import Observation, Observed, observe
from multiscale_transformer.tasks.restoring import all_edits
from multiscale_transformer.tasks.source_text import Edit, SourceText
from multiscale_transformer.tasks.test_runs import Project, TestRun
from multiscale_transformer.tasks.watching import Watch, watches_for

PROGRAM = "program.py"  # the file of a program that is no project
PYTEST = ("-q", "-rfEp", "--tb=short", "-p", "no:cacheprovider")  # options with which pytest names every test and how it ended
_SUMMARY = re.compile(r"^(PASSED|FAILED|ERROR) (\S+::.*?|\S+\.py)(?: - (.*))?$", re.MULTILINE)
_COMPARED = re.compile(r"assert (.+?) == (.+)$")


@dataclass(frozen=True)
class Seen:
    """What a run showed: whether all passed, what became of each test by name, and the first failure by file."""

    passed: bool
    tests: Mapping[str, Observed]
    failures: Mapping[str, Observed] = field(default_factory=dict)
    output: str = ""
    watched: Mapping[tuple[str, Edit], int] = field(default_factory=dict)  # edits by file, and their numbers in each test
    lines: Mapping[str, Mapping[str, tuple[int, ...]]] = field(default_factory=dict)  # that ran, by test and file

    @property
    def failing(self) -> tuple[str, ...]:
        """Names of the tests that did not pass."""
        return tuple(name for name, observed in self.tests.items() if observed.error is not None)


class Subject(Protocol):
    """Texts that may be edited, and how they are run."""

    @property
    def texts(self) -> Mapping[str, str]:
        """The files that may be edited, as they are; known after the first run."""

    def run(self, changed: Mapping[str, str]) -> Seen:
        """Run all tests with other texts of some files."""


class TestedProgram:
    """The text of a module, and statements that test it."""

    __test__ = False  # pytest takes it for a class of tests

    def __init__(
        self, sandbox: Sandbox, text: str, tests: tuple[str, ...], *, setup: str = "", limits: Limits | None = None
    ) -> None:
        self.texts: Mapping[str, str] = {PROGRAM: text}
        self._sandbox, self._tests, self._setup, self._limits = sandbox, tests, setup, limits

    def run(self, changed: Mapping[str, str]) -> Seen:
        """Run the tests on the text, or on the one in `changed`; of the text as it is, edits are watched meanwhile."""
        text = changed.get(PROGRAM, self.texts[PROGRAM])
        watches = {} if changed else self._watches(text)
        observation = observe(
            self._sandbox, text, self._tests, setup=self._setup, limits=self._limits, watches=list(watches.values())
        )
        seen = self._seen(observation)
        return replace(seen, watched={(PROGRAM, edit): number for number, edit in enumerate(watches)}) if watches else seen

    @staticmethod
    def _watches(text: str) -> dict[Edit, Watch]:
        try:
            source = SourceText(text)
        except (SyntaxError, ValueError, RecursionError):
            return {}
        return watches_for(source, all_edits(source))

    def _seen(self, observation: Observation) -> Seen:
        """Tests that were not reached ended as the first failure did."""
        failure = observation.failure
        told = {observed.test: observed for observed in observation.tests if observed.test in self._tests}
        missing = Observed(test="", error=failure.error, message=failure.message, at=failure.at)
        tests = {test: told.get(test, missing) for test in self._tests}
        lines = {test: {PROGRAM: observed.lines} for test, observed in tests.items()}
        if observation.passed:
            return Seen(True, tests, lines=lines)
        first = next((one for one in tests.values() if one.error is not None), failure)
        return Seen(False, tests, {PROGRAM: first}, lines=lines)


class TestedProject:
    """A project, and the command that tests it: pytest with PYTEST's options."""

    __test__ = False

    def __init__(self, project: Project) -> None:
        self.project = project
        self.texts: Mapping[str, str] = {}
        self._first: Seen | None = None

    def run(self, changed: Mapping[str, str]) -> Seen:
        """Run the command on a copy.

        The first run finds the files that may hold the bug; where there are some, it is followed by one in which edits of
        them are watched. Later runs know no more than which tests failed how.
        """
        if self._first is None:
            self._first = self._watched(self.project.run(trace=True))
            return self._first
        seen = self.seen_once(changed)
        known = self._first.failures
        failures = {
            name: failure.model_copy(update={"lines": known[name].lines if name in known else ()})
            for name, failure in {**known, **seen.failures}.items()
        }
        return replace(seen, failures=failures)

    def seen_once(self, changed: Mapping[str, str] | None = None) -> Seen:
        """Run the command on a copy once, and watch nothing."""
        return _seen(self.project.run(dict(changed or {})))

    def _watched(self, run: TestRun) -> Seen:
        self.texts = dict(editable(self.project, run)) if not run.passed else {}
        seen = _seen(run)
        watches = edits_to_watch(self.texts, run.ran)
        if not watches:
            return seen
        report = read_report(self.project.run(plugin=plugin_for(self.texts, watches)).plugin_result)
        tests = {
            name: observed.model_copy(update={"watched": report[name].watched}) if name in report else observed
            for name, observed in seen.tests.items()
        }
        numbers = {edit: number for number, edit in enumerate(watches)} if report else {}
        return replace(seen, tests=tests, watched=numbers, lines={name: test.lines for name, test in report.items()})


def _seen(run: TestRun) -> Seen:
    return Seen(run.passed, dict(_tests(run)), run.failures, run.output)


def _tests(run: TestRun) -> Iterator[tuple[str, Observed]]:
    """What pytest's summary says of each test; of another command only whether it ended with status 0."""
    rows = _SUMMARY.findall(run.output)
    for kind, name, message in rows:
        compared = _COMPARED.search(message)
        actual, expected = compared.groups() if compared else (None, None)
        error = None if kind == "PASSED" else message.partition(":")[0] or "AssertionError"
        yield name, Observed(test=name, error=error, message=message, actual=actual, expected=expected)
    if not run.passed and not any(kind != "PASSED" for kind, _, _ in rows):
        first = next(iter(run.failures.values()), Observed(test="", error="AssertionError"))
        yield "", first.model_copy(update={"error": "Timeout" if run.status == "timeout" else first.error or "AssertionError"})
