"""The skill fix: a failing test and a project in, an edit out with which the test passes.

Proposed are small edits (`tasks.operators`) of lines that ran in the failing test; their order is that of a model and of what
the failure says (`tasks.fix_order`). The test decides, on a copy in the sandbox, until it passes or the budget is used up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from multiscale_transformer.tasks.fix_order import Gains, Order, features_of
from multiscale_transformer.tasks.observe import Observed
from multiscale_transformer.tasks.operators import edits_of
from multiscale_transformer.tasks.source_text import Edit, SourceText, unified_diff
from multiscale_transformer.tasks.test_runs import Project, TestRun

ORDER_FILE = Path(__file__).with_name("fix_order.json")  # weights learnt from bugs in MBPP's training tasks
EditsFor = Callable[[SourceText, Iterable[int] | None], list[Edit]]
FIRST_LOOK = 3  # how many times as many candidates as may be tested are scored by the model; the others by the failure alone


@dataclass(frozen=True)
class Budget:
    """How long is searched: runs of the test after the first, and seconds."""

    runs: int = 40
    seconds: float = 300.0


@dataclass(frozen=True)
class Focus:
    """A file that the edit is to be in and, with `lines`, which of its lines."""

    file: str
    lines: range | None = None


@dataclass(frozen=True)
class Candidate:
    """An edit of a file, and its score: higher is tried earlier."""

    file: str
    edit: Edit
    score: float


@dataclass(frozen=True)
class Fix:
    """An edit that was verified: the text of the file after it, how many runs of the test it took, and the run that passed."""

    file: str
    before: str
    after: str
    edit: Edit
    runs: int
    passed: TestRun

    @property
    def diff(self) -> str:
        """As `diff -u` writes it."""
        return unified_diff(self.before, self.after, self.file)


@dataclass(frozen=True)
class Search:
    """What came of a search: the first run of the test, how many candidates there were, how many were run, and the fix."""

    first: TestRun
    candidates: int
    runs: int
    fix: Fix | None


def ordered(
    texts: dict[str, str],
    failures: dict[str, Observed],
    order: Order,
    gains: Gains | None,
    most: int,
    focus: Focus | None = None,
    edits_for: EditsFor = edits_of,
) -> list[Candidate]:
    """Candidates of several files, best first; at most `most` are scored by the model, chosen by the other features.

    Without `gains` the failure alone decides. `edits_for` gives the edits of a text on certain lines, or on all.
    """
    rough = []
    for name, text in texts.items():
        lines = _suspects(failures[name], focus.lines if focus else None)
        edits = edits_for(SourceText(text), lines or None)
        features = features_of(text, edits, failures[name], [{}] * len(edits))
        rough += [Candidate(name, edit, score) for edit, score in zip(edits, order.scores(features), strict=True)]
    rough.sort(key=lambda candidate: (-candidate.score, candidate.file, candidate.edit))
    if gains is None:
        return rough
    near, far = rough[:most], rough[most:]
    scored = []
    for name, text in texts.items():
        edits = [candidate.edit for candidate in near if candidate.file == name]
        features = features_of(text, edits, failures[name], gains.of(text, edits))
        scored += [Candidate(name, edit, score) for edit, score in zip(edits, order.scores(features), strict=True)]
    return sorted(scored, key=lambda candidate: (-candidate.score, candidate.file, candidate.edit)) + far


def search(
    project: Project,
    order: Order,
    gains: Gains | None = None,
    budget: Budget | None = None,
    *,
    focus: Focus | None = None,
    on_run: Callable[[int, Candidate], None] = lambda number, candidate: None,
) -> Search:
    """Search for an edit, where `focus` says so or anywhere, with which the project's test passes.

    Files of tests are not edited. `on_run` is told of each candidate before it is run.
    """
    budget = budget or Budget()
    end = time.monotonic() + budget.seconds
    first = project.run(trace=True)
    if first.passed:
        return Search(first, 0, 0, None)
    texts = {name: text for name, text in editable(project, first) if focus is None or name == focus.file}
    candidates = ordered(texts, first.failures, order, gains, FIRST_LOOK * budget.runs, focus)
    for number, candidate in enumerate(candidates[: budget.runs], 1):
        if time.monotonic() > end:
            return Search(first, len(candidates), number - 1, None)
        on_run(number, candidate)
        before = texts[candidate.file]
        after = candidate.edit.apply(before)
        run = project.run({candidate.file: after})
        if run.passed:
            fix = Fix(candidate.file, before, after, candidate.edit, number, run)
            return Search(first, len(candidates), number, fix)
    return Search(first, len(candidates), min(budget.runs, len(candidates)), None)


def editable(project: Project, first: TestRun) -> Iterator[tuple[str, str]]:
    """Files that may hold the bug: of those that ran, the ones that are no tests and that Python parses.

    Those that the failure names come first.
    """
    for name in sorted(first.failures, key=lambda name: (not first.failures[name].at, name)):
        if name in project.files and name.endswith(".py") and not is_test(name):
            try:
                text = project.read(name)
                SourceText(text)
            except (OSError, ValueError, SyntaxError, RecursionError):
                continue
            yield name, text


def is_test(name: str) -> bool:
    """Whether a file of a project holds tests, by its name."""
    path = Path(name)
    return path.stem.startswith("test_") or path.stem.endswith("_test") or path.stem == "conftest" or "tests" in path.parts[:-1]


def _suspects(failure: Observed, within: range | None) -> set[int]:
    """The lines that may hold the bug; none where nothing is known."""
    lines = set(failure.lines) | set(failure.at)
    if within is not None:
        lines = lines & set(within) or set(within)
    return lines
