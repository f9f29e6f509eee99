"""Refactoring the functions of a file: findings one after the other, each with edits that are tried until one is verified.

ruff proposes where it has a fix of its own, which is right about its finding by construction; where ruff only finds, a memory
of edits that were learnt from pairs proposes, and then the model. An edit is kept where the text parses, has the functions
that it had, loses a finding and brings no new one. Fixes
that ruff calls safe need no more. All others have to show that the code still does the same: the tests pass, or calls of the
function give the same as before.
"""

from __future__ import annotations

import ast
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.calls import Call, Result, calls_in, results_of, steady_results
from multiscale_transformer.tasks.lint import Finding, lint
from multiscale_transformer.tasks.module_driver import Module
from multiscale_transformer.tasks.random_calls import random_calls
from multiscale_transformer.tasks.refactor import SAMPLES, propose, remembered
from multiscale_transformer.tasks.source_text import SourceText, first_line, parses, qualified_functions
from multiscale_transformer.tasks.writer import Writer

MAX_EDITS = 100  # of a file
MAX_FOLLOWED = 3  # fixes of what a fix brings
MIN_CALLS = 5  # that have to get to the finding and give the same value after, where calls are the witness
RANDOM_CALLS = 40

By = Literal["ruff", "pairs", "model"]
Tests = Callable[[str], bool]  # whether the tests pass with this text of the file


@dataclass(frozen=True)
class Refactoring:
    """An edit that was kept: in which function (empty: at the top), of which finding, who proposed it, and what verified it."""

    function: str
    rule: str
    message: str
    by: By
    verified: str


@dataclass
class Refactored:
    """The text after all edits that were kept, what they were, and findings whose edits nothing could verify."""

    text: str
    edits: list[Refactoring] = field(default_factory=list)
    unverified: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Proposal:
    text: str
    by: By
    safe: bool


class FileRefactoring:
    """One file, with what proposes and what verifies. Without a sandbox only safe fixes are kept."""

    def __init__(
        self, module: Module, writer: Writer | None, sandbox: Sandbox | None, tests: Tests | None = None, *, seed: int = 0
    ) -> None:
        self._module, self._writer, self._sandbox, self._tests, self._seed = module, writer, sandbox, tests, seed
        self._reaching = lru_cache(maxsize=1)(self._count_reaching)  # all proposals for a finding ask for the same

    def run(self, functions: Sequence[str], on_finding: Callable[[Finding], None] = lambda finding: None) -> Refactored:
        """Edit the functions of these qualified names. Raises AxlError where ruff is not installed."""
        done, given_up = Refactored(self._module.text), set[tuple[str, str]]()
        while len(done.edits) < MAX_EDITS:
            findings = _findings(done.text)
            place = next(_open(done.text, findings, functions, given_up), None)
            if place is None:
                break
            finding, function = place
            on_finding(finding)
            edit = self._edited(done.text, findings, finding, function)
            if edit is None:
                given_up.add(_key(done.text, finding))
                done.unverified[finding.rule] += 1
            else:
                done.text = edit[0]
                done.edits.append(edit[1])
        return done

    def _edited(
        self, text: str, findings: Sequence[Finding], finding: Finding, function: str
    ) -> tuple[str, Refactoring] | None:
        for proposal in self._proposals(text, findings, finding, function):
            if not _keeps_functions(text, proposal.text) or not _better(findings, proposal.text, finding.rule):
                continue
            verified = self._witness(text, proposal, finding, function)
            if verified is not None:
                return proposal.text, Refactoring(function, finding.rule, finding.message, proposal.by, verified)
        return None

    def _proposals(self, text: str, findings: Sequence[Finding], finding: Finding, function: str) -> Iterator[_Proposal]:
        if finding.fixed is not None:
            yield _followed(findings, _Proposal(finding.fixed, "ruff", finding.safe))
        source = SourceText(text)
        node = dict(qualified_functions(source.tree)).get(function)
        if node is None:
            return
        begin, end = source.whole_lines(node)
        before, line = text[begin:end], finding.line - first_line(node) + 1
        for after in remembered(before, line, finding.rule):
            yield _Proposal(text[:begin] + after + text[end:], "pairs", safe=False)
        if self._writer is not None:
            for after in propose(self._writer, before, line, finding.rule, samples=SAMPLES, seed=self._seed):
                yield _Proposal(text[:begin] + after + text[end:], "model", safe=False)

    def _witness(self, text: str, proposal: _Proposal, finding: Finding, function: str) -> str | None:
        """What says that the code still does the same; None where nothing does."""
        if self._tests is not None:
            return "the tests pass" if self._tests(proposal.text) else None
        if proposal.safe:
            return "a fix that ruff calls safe"
        if self._sandbox is None or "." in function:
            return None
        calls, results, count = self._reaching(text, finding.line, function)
        if count < MIN_CALLS or results_of(self._sandbox, self._module.changed(proposal.text), calls) != results:
            return None
        return f"{count} calls that reach it give the same"

    def _count_reaching(self, text: str, line: int, function: str) -> tuple[list[Call], list[Result], int]:
        """Calls that give the same twice, what they give, and how many of those that give a value get to a line."""
        assert self._sandbox is not None
        stopped = _with_raise(text, line)
        if stopped is None:
            return [], [], 0
        node = dict(qualified_functions(SourceText(text).tree))[function]
        tried = [*calls_in([text], function), *random_calls(node, RANDOM_CALLS, random.Random(self._seed))]
        steady = steady_results(self._sandbox, self._module.changed(text), tried)
        steady = [(call, result) for call, result in steady if result.kind in ("value", "raised")]
        calls, results = [call for call, _ in steady], [result for _, result in steady]
        without = results_of(self._sandbox, self._module.changed(stopped), calls)
        count = sum(now != result for now, result in zip(without, results, strict=True) if result.kind == "value")
        return calls, results, count


@lru_cache(maxsize=8)  # a text is looked at when it is proposed, and again when it has been kept
def _findings(text: str) -> list[Finding]:
    return lint({"": text})


def _open(
    text: str, findings: Sequence[Finding], functions: Sequence[str], given_up: set[tuple[str, str]]
) -> Iterator[tuple[Finding, str]]:
    """Findings in these functions that were not given up, each with the innermost function around it."""
    nodes = [(name, node) for name, node in qualified_functions(SourceText(text).tree) if name in functions]
    for finding in sorted(findings, key=lambda one: one.line):
        around = [(name, node) for name, node in nodes if node.lineno <= finding.line <= (node.end_lineno or node.lineno)]
        if around and _key(text, finding) not in given_up:
            yield finding, max(around, key=lambda one: one[1].lineno)[0]


def _key(text: str, finding: Finding) -> tuple[str, str]:
    """What tells a finding from others when lines have moved: its rule and its line's text."""
    return finding.rule, text.splitlines()[finding.line - 1].strip()


def _with_raise(text: str, line: int) -> str | None:
    """The text with a statement that raises before the one at a line: calls of which the result stays do not get there."""
    source = SourceText(text)
    statements = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno)
    ]
    statement = max(statements, key=lambda node: (node.lineno, node.col_offset), default=None)
    if statement is None:
        return None
    begin = source.offset(statement.lineno, 0)
    indent = text[begin : source.span(statement)[0]]
    changed = f"{text[:begin]}{indent}raise MemoryError\n{text[begin:]}"
    return changed if not indent.strip() and parses(changed) else None


def _keeps_functions(before: str, after: str) -> bool:
    if after == before or not parses(after):
        return False
    old, new = ([name for name, _ in qualified_functions(SourceText(text).tree)] for text in (before, after))
    return old == new


def _followed(findings: Sequence[Finding], proposal: _Proposal) -> _Proposal:
    """A fix with those of the findings that it brings: `"%s" % a` becomes `"{}".format(a)`, and that an f-string."""
    old = Counter(one.rule for one in findings)
    for _ in range(MAX_FOLLOWED):
        now = _findings(proposal.text)
        new = Counter(one.rule for one in now) - old
        fix = next((one for one in now if one.rule in new and one.fixed is not None), None)
        if fix is None or fix.fixed is None:
            break
        proposal = _Proposal(fix.fixed, proposal.by, proposal.safe and fix.safe)
    return proposal


def _better(findings: Sequence[Finding], after: str, rule: str) -> bool:
    """Whether a text has fewer findings of a rule, and no more of any other."""
    old, new = Counter(one.rule for one in findings), Counter(one.rule for one in _findings(after))
    return new[rule] < old[rule] and not new - old
