"""What the runs so far say of the repairs that are left: the features that reorder them after every run.

A repair that failed is no waste. Where an edit changed no result at all, others at the same place will hardly do; where
one made another test pass, or brought a value nearer to the expected one, its neighbours deserve to be next. Each repair
that is left is described by its relation to those that were run and by what these did; how much that is worth was learnt
(`agents.debug_learn`).
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from numbers import Real

from multiscale_transformer.agents.subjects import Seen
from multiscale_transformer.tasks.observe import Observed
from multiscale_transformer.tasks.restoring import CALL, WRAPPERS
from multiscale_transformer.tasks.source_text import Edit
from multiscale_transformer.tasks.symptoms import symptom

EFFECTS = ("nothing", "more pass", "fewer pass", "nearer", "farther", "new error", "timeout", "other")
RELATIONS = ("same place", "same line", "same kind", "elsewhere")
MOST_COUNTED = 3  # runs of a kind beyond which further ones say nothing new
MOST_COMPARED = 200  # characters of two values that are compared
MOST_BEFORE = 40  # characters before an edit that are looked at
OWN = "a function of the file"
RESTORED = "restored"  # how the kinds of edits in `tasks.restoring` end
_BEFORE = re.compile(r"(\w+\s*\(|\breturn|\bin|[-+*/%<>=]+|,|\[)\s*$")
_OBJECT = re.compile(r"<(?:generator|(\w+)) object")


def effect(before: Seen, after: Seen) -> str:
    """What an edit did to the tests, in one of EFFECTS."""
    was, now = set(before.failing), set(after.failing)
    if any(after.tests[name].error == "Timeout" for name in now):
        return "timeout"
    if now - was:
        return "fewer pass"
    if was - now:
        return "more pass"
    if all(_told(before.tests[name]) == _told(after.tests[name]) for name in now):
        return "nothing"
    if any(after.tests[name].error != before.tests[name].error for name in now):
        return "new error"
    moves = Counter(_move(before.tests[name], after.tests[name]) for name in now)
    return "nearer" if moves["nearer"] > moves["farther"] else "farther" if moves["farther"] > moves["nearer"] else "other"


def relation(edit: Edit, other: Edit) -> str:
    """How an edit stands to one that was run, in one of RELATIONS."""
    if edit.start < max(other.end, other.start + 1) and other.start < max(edit.end, edit.start + 1):
        return "same place"
    if edit.line == other.line:
        return "same line"
    return "same kind" if edit.operator == other.operator else "elsewhere"


def learnt(edit: Edit, runs: Iterable[tuple[Edit, str]]) -> dict[str, float]:
    """Features of an edit by the edits of the same text that were run, and their effects."""
    counts = Counter(f"{relation(edit, other)}, {did}" for other, did in runs)
    return {name: float(min(MOST_COUNTED, count)) for name, count in counts.items()}


def described(edits: Sequence[Edit], name: str, text: str, seen: Seen) -> list[dict[str, float]]:
    """Features of edits of a file by the run of its text: lines of all tests, values, and what puts back what was dropped."""
    failing = [seen.tests[test] for test in seen.failing]
    ran = {test: set(of_test.get(name, ())) for test, of_test in seen.lines.items()}
    failed = [ran[test] for test in seen.failing if test in ran]
    passed = {line for test, lines in ran.items() if test not in seen.failing for line in lines}
    features = []
    for edit in edits:
        of_lines = {
            "ran wherever it failed": float(bool(failed) and all(edit.line in lines for lines in failed)),
            "ran where it passed": float(edit.line in passed),
        }
        of_values = _watched(seen.watched.get((name, edit)), seen)
        restored = _restoring(edit, text, failing) if edit.operator.endswith(RESTORED) else {}
        features.append({**of_lines, **of_values, **restored})
    return features


def _watched(number: int | None, seen: Seen) -> dict[str, float]:
    """What an edit would have changed in the states of the run, where it was watched."""
    if number is None:
        return {"not watched": 1.0} if seen.watched else {}
    failing = [seen.tests[name].watched.get(number) for name in seen.failing]
    passing = [observed.watched.get(number) for observed in seen.tests.values() if observed.error is None]
    reached = [one for one in failing if one is not None]
    return {
        "not reached": float(not reached),
        "changes no value": float(bool(reached) and not any(one.changes for one in reached)),
        "changes a value wherever it failed": float(len(reached) == len(failing) and all(one.changes for one in reached)),
        "changes a value where it passed": float(any(one is not None and one.changes for one in passing)),
        "gives another type": float(any(one.retypes for one in reached)),
        "raises where nothing was raised": float(any(one.raises for one in reached)),
        "raises nothing where it was raised": float(any(one.recovers for one in reached)),
        "returns what is expected": float(any(one.expected for one in reached)),
        "returns what is expected wherever it failed": float(
            len(reached) == len(failing) and all(one.expected for one in reached)
        ),
    }


def _restoring(edit: Edit, text: str, failing: Sequence[Observed]) -> dict[str, float]:
    """What is put back, where, and whether it makes what is expected out of what came."""
    kinds = {symptom(observed) for observed in failing}
    found = {edit.operator: 1.0, **{f"{edit.operator}, {kind}": 1.0 for kind in kinds}}
    if edit.operator == CALL:
        called = edit.text.partition("(")[0]
        name, where = called if called in WRAPPERS else OWN, _place(text[max(0, edit.start - MOST_BEFORE) : edit.start])
        types = {(type_of(observed.actual), type_of(observed.expected)) for observed in failing}
        found |= {f"{name} around": 1.0, f"{name} around, {where}": 1.0}
        found |= {f"{name} around, {kind}": 1.0 for kind in kinds}
        found |= {f"{name} around, {came} for {wanted}": 1.0 for came, wanted in types}
        if any(wanted == name and came != name for came, wanted in types):
            found["makes the type that is expected"] = 1.0
            found[f"makes the type that is expected, {where}"] = 1.0
    return found


def _place(before: str) -> str:
    """What stands before an edit: a word or sign of Python, or the call of a function that is often put around a value."""
    place = _BEFORE.search(before)
    if place is None:
        return "elsewhere"
    token = "".join(place[1].split())
    return "call(" if token.endswith("(") and token[:-1] not in WRAPPERS else token


def type_of(shown: str | None) -> str:
    """The type of a value by its repr; empty where that does not say it."""
    if shown is None:
        return ""
    lazy = _OBJECT.match(shown)
    if lazy is not None:
        return lazy[1] or "generator"
    try:
        return type(ast.literal_eval(shown)).__name__
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return ""


def _told(observed: Observed) -> tuple[object, ...]:
    return observed.error, observed.message, observed.actual, observed.expected


def _move(before: Observed, after: Observed) -> str:
    """Whether a wrong value came nearer to the expected one."""
    was, now = _distance(before), _distance(after)
    if was is None or now is None or was == now:
        return "other"
    return "nearer" if now < was else "farther"


def _distance(observed: Observed) -> float | None:
    """Between the value that came and the expected one: the difference of numbers, else how unlike their texts are."""
    if observed.actual is None or observed.expected is None:
        return None
    values: list[object] = []
    for shown in (observed.actual, observed.expected):
        try:
            values.append(ast.literal_eval(shown))
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            values.append(shown)
    actual, expected = values
    if isinstance(actual, Real) and isinstance(expected, Real):
        with contextlib.suppress(OverflowError):
            return abs(float(actual) - float(expected))
    texts = observed.actual[:MOST_COMPARED], observed.expected[:MOST_COMPARED]
    return 1 - difflib.SequenceMatcher(None, *texts, autojunk=False).ratio()
