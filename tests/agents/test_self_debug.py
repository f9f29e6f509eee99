"""Self-debug: what a run says of the repairs that are left, and a loop that keeps the best attempt within its runs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from held import needs_sandbox
from multiscale_transformer.agents.debug_learn import FIRST_ORDER, Remembered, learn_order
from multiscale_transformer.agents.evidence import EFFECTS, RELATIONS, described, effect, learnt, relation, type_of
from multiscale_transformer.agents.self_debug import DEBUG_ORDER_FILE, Debugging, best_of, debug_drafts, self_debug
from multiscale_transformer.agents.subjects import PROGRAM, PYTEST, Seen, TestedProgram, TestedProject
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.bugs import LIMITS as SHORT
from multiscale_transformer.tasks.bugs import Checked, bugs_of
from multiscale_transformer.tasks.fix_order import Order, load_order
from multiscale_transformer.tasks.observe import Observed, observe
from multiscale_transformer.tasks.restoring import all_edits, restoring_edits
from multiscale_transformer.tasks.source_text import Edit, SourceText
from multiscale_transformer.tasks.test_runs import LIMITS, Project
from multiscale_transformer.tasks.watching import watch_for

LONGEST = """\
def longest(words):
    best = ''
    for word in words:
        if len(word) > len(best):
            best = word
    return best
"""
TESTS = ("assert longest(['a', 'abc', 'ab']) == 'abc'", "assert longest([]) == ''", "assert longest(['x', 'y']) == 'x'")


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(LIMITS) as sandbox:
        yield sandbox


def seen(**tests: Observed) -> Seen:
    return Seen(all(test.error is None for test in tests.values()), tests)


def wrong(actual: str, expected: str = "5") -> Observed:
    return Observed(test="t", error="AssertionError", actual=actual, expected=expected)


PASSED = Observed(test="t")


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (seen(a=wrong("1"), b=PASSED), seen(a=wrong("1"), b=PASSED), "nothing"),
        (seen(a=wrong("1"), b=PASSED), seen(a=PASSED, b=PASSED), "more pass"),
        (seen(a=wrong("1"), b=PASSED), seen(a=PASSED, b=wrong("1")), "fewer pass"),
        (seen(a=wrong("1"), b=PASSED), seen(a=wrong("3"), b=PASSED), "nearer"),
        (seen(a=wrong("1"), b=PASSED), seen(a=wrong("9999"), b=PASSED), "farther"),
        (seen(a=wrong("'abx'", "'abcd'")), seen(a=wrong("'abc'", "'abcd'")), "nearer"),
        (seen(a=wrong("1")), seen(a=Observed(test="t", error="KeyError")), "new error"),
        (seen(a=wrong("1")), seen(a=Observed(test="t", error="Timeout")), "timeout"),
    ],
)
def test_what_an_edit_did(before: Seen, after: Seen, what: str) -> None:
    assert effect(before, after) == what
    assert what in EFFECTS


def edits() -> st.SearchStrategy[Edit]:
    return st.builds(
        lambda start, length, kind, line: Edit(start, start + length, "x", kind, line),
        st.integers(0, 9), st.integers(0, 4), st.sampled_from(["name", "constant"]), st.integers(1, 3),
    )  # fmt: skip


@given(edits(), edits(), st.lists(st.tuples(edits(), st.sampled_from(EFFECTS)), max_size=9))
def test_relations_are_mutual_and_counted(edit: Edit, other: Edit, runs: list[tuple[Edit, str]]) -> None:
    assert relation(edit, other) == relation(other, edit)
    assert relation(edit, edit) == RELATIONS[0]
    features = learnt(edit, runs)
    assert len(features) <= len(runs)
    assert all(1 <= value <= 3 for value in features.values())
    assert learnt(edit, []) == {}


@pytest.mark.parametrize(
    ("shown", "name"),
    [
        ("3", "int"),
        ("'a'", "str"),
        ("[1]", "list"),
        ("<map object at 0x7f>", "map"),
        ("<generator object f at 0x7f>", "generator"),
        (None, ""),
        ("deque([1])", ""),
    ],
)
def test_types_of_values(shown: str | None, name: str) -> None:
    assert type_of(shown) == name


def test_what_was_dropped_is_put_back() -> None:
    text = "def f(xs):\n    n = 0\n    for i in range(xs):\n        n = xs[i]\n    return map(abs, xs[:]) if n <= 3 else n\n"
    after = {edit.apply(text) for edit in restoring_edits(SourceText(text))}
    for old, new in (
        ("range(xs)", "range(len(xs))"),
        ("n = xs[i]", "n += xs[i]"),
        ("n <= 3", "n == 3"),
        ("xs[:]", "list(xs[:])"),
        ("<= 3", "<= -3"),
    ):
        assert text.replace(old, new) in after, new
    assert all(edit.line == 3 for edit in restoring_edits(SourceText(text), [3]))
    assert len(all_edits(SourceText(text))) > len(after)


def test_what_an_edit_would_change_is_watched() -> None:
    source = SourceText(LONGEST.replace(">", "<"))
    for edit in all_edits(source):
        watch = watch_for(source, edit)
        if edit.operator == "comparison":
            assert watch is not None
            assert (watch.line, watch.now) == (4, "len(word) < len(best)")
        if watch is not None:
            ast.parse(watch.edited, mode="eval")
            assert watch.now != watch.edited
    calls = SourceText("def f(x):\n    return g(x) + x.pop() + 1\n")
    watches = [watch_for(calls, edit) for edit in all_edits(calls)]
    assert not any("g(" in watch.now or "pop(" in watch.now for watch in watches if watch is not None)


@needs_sandbox
def test_a_watched_edit_does_what_it_was_seen_to_do(box: Sandbox) -> None:
    """The edits that changed no value in a run have no effect when they are run."""
    text = LONGEST.replace(">", "<")
    subject = TestedProgram(box, text, TESTS, limits=SHORT)
    first = subject.run({})
    assert len(first.watched) > 20
    plain = observe(box, text, TESTS, limits=SHORT)
    assert [test.model_dump(exclude={"watched"}) for test in plain.tests] == [
        first.tests[test].model_dump(exclude={"watched"}) for test in TESTS
    ]
    inert = [
        edit
        for (_, edit), number in first.watched.items()
        if not any(number in test.watched and test.watched[number].changes for test in first.tests.values())
    ]
    assert inert
    for edit in inert[:8]:
        assert effect(first, subject.run({PROGRAM: edit.apply(text)})) == "nothing", edit
    watched = [edit for _, edit in first.watched]
    (found,) = [edit for edit in watched if edit.apply(text) == LONGEST]
    features = dict(zip(watched, described(watched, PROGRAM, text, first), strict=True))
    assert features[found]["changes a value wherever it failed"] == 1.0


@needs_sandbox
def test_the_loop_solves_a_bug_and_tells_every_run(box: Sandbox) -> None:
    told = []
    done = self_debug(TestedProgram(box, LONGEST.replace(">", "<"), TESTS, limits=SHORT), most=20, on_run=told.append)
    assert done.solved
    assert done.best.seen.passed
    assert done.best.changed == {PROGRAM: LONGEST}
    assert "+        if len(word) > len(best):" in done.diff
    assert told == list(done.attempts)
    assert len({attempt.changed.get(PROGRAM) for attempt in told}) == len(told)
    again = self_debug(TestedProgram(box, LONGEST.replace(">", "<"), TESTS, limits=SHORT), most=20)
    assert [one.changed for one in again.attempts] == [one.changed for one in done.attempts]


@needs_sandbox
def test_what_passes_is_left_and_what_does_not_parse_ends(box: Sandbox) -> None:
    assert self_debug(TestedProgram(box, LONGEST, TESTS)).runs == 0
    broken = self_debug(TestedProgram(box, "def f(:", ("assert f() == 1",)))
    assert (broken.solved, broken.runs, broken.diff) == (False, 0, "")


class Recorded:
    """Two faults in one function: the tests of each pass where it is mended."""

    text = "def f(x):\n    a = x - 1\n    b = x - 2\n    return a, b\n"

    def __init__(self) -> None:
        self.texts: Mapping[str, str] = {PROGRAM: self.text}
        self.runs: list[str] = []

    def run(self, changed: Mapping[str, str]) -> Seen:
        text = changed.get(PROGRAM, self.text)
        self.runs.append(text)
        tests = {}
        for name, wanted in (("a", "x + 1"), ("b", "x + 2")):
            good = f"{name} = {wanted}" in text
            tests[name] = Observed(
                test=name, lines=(2, 3, 4), **({} if good else {"error": "AssertionError", "actual": "0", "expected": "9"})
            )  # type: ignore[arg-type]
        failed = [test for test in tests.values() if test.error]
        return Seen(not failed, tests, {PROGRAM: failed[0]} if failed else {})


def test_two_faults_are_mended_by_two_edits() -> None:
    subject = Recorded()
    done = self_debug(subject, Order(weights={"arithmetic": 9.0, "second edit": 50.0, "the order of fix": 1.0}), most=400)
    assert done.solved
    assert done.best.changed[PROGRAM] == Recorded.text.replace("- 1", "+ 1").replace("- 2", "+ 2")
    assert done.attempts[done.best.base].effect == "more pass"
    assert len(set(subject.runs)) == len(subject.runs) == done.runs + 1


@given(st.integers(0, 12))
def test_no_more_runs_than_allowed_and_the_best_is_kept(most: int) -> None:
    subject = Recorded()
    done = self_debug(subject, Order(weights={"arithmetic": -9.0}), most=most)
    assert len(subject.runs) == done.runs + 1 <= most + 1
    assert len(done.best.seen.failing) == min(len(attempt.seen.failing) for attempt in done.attempts)


@needs_sandbox
def test_drafts_are_run_and_the_best_is_repaired(box: Sandbox) -> None:
    def tested(text: str) -> TestedProgram:
        return TestedProgram(box, text, TESTS, limits=SHORT)

    assert debug_drafts([], tested) is None
    done = debug_drafts(["def longest(words): return None\n", LONGEST.replace(">", "<"), "x"], tested, most=30)
    assert done is not None
    assert done.solved
    assert done.texts[PROGRAM] == LONGEST.replace(">", "<")
    passed = debug_drafts(["x", LONGEST, "never run"], tested, most=3)
    assert passed is not None
    assert (passed.solved, passed.runs) == (True, 0)


@needs_sandbox
def test_a_projects_tests_are_told_apart(box: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "area.py").write_text(LONGEST.replace(">", "<"))
    cases = "".join(f"def test_{number}():\n    {test}\n\n" for number, test in enumerate(TESTS))
    (tmp_path / "test_area.py").write_text(f"from area import longest\n\n{cases}")
    done = self_debug(TestedProject(Project(tmp_path, ("python", "-m", "pytest", *PYTEST), box)), most=20)
    assert set(done.attempts[0].seen.tests) == {f"test_area.py::test_{number}" for number in range(3)}
    assert set(done.texts) == {"area.py"}
    first = done.attempts[0].seen
    assert first.lines["test_area.py::test_1"] == {"area.py": (2, 3, 6)}
    assert any(test.watched[number].changes for test in first.tests.values() for number in test.watched)
    assert done.solved
    assert done.best.changed == {"area.py": LONGEST}


@needs_sandbox
def test_weights_are_learnt_from_bugs(box: Sandbox) -> None:
    bugs = list(bugs_of(box, [Checked(name="x", code=LONGEST, tests=TESTS)], each=3))
    order = learn_order(box, bugs)
    assert order.weights

    def tried(weights: Order) -> int:
        runs = 0
        for bug in bugs:
            debugging = Debugging(Remembered(box, bug))
            while not debugging.result.solved and debugging.result.runs < 10:
                debugging.try_out(best_of(debugging.choices(), weights))
            runs += debugging.result.runs
        return runs

    assert tried(order) <= tried(FIRST_ORDER)
    assert load_order(DEBUG_ORDER_FILE).weights
