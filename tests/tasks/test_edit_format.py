"""Edits as text: what is written is read back, and applied gives what was meant."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from multiscale_transformer.tasks.edit_format import NO_CHANGE, Hunk, applied, hunks_between, read_hunks, written

LINES = st.lists(st.sampled_from(["a", "b", "  a", "", "-x", "+x", "="]), max_size=8)


@settings(max_examples=2000)
@given(LINES, LINES)
@example(["a", "a"], ["a", "b", "a"])
@example([], ["a"])
@example(["a"], [])
@example(["b", "a", "b"], ["  a", "b", "b"])
def test_edits_give_the_text_after(old: list[str], new: list[str]) -> None:
    before, after = "\n".join(old), "\n".join(new)
    hunks = hunks_between(before, after)
    assert applied(before, hunks) == after
    assert (hunks == []) == (before == after)


@given(LINES, LINES)
def test_answers_are_read_back(old: list[str], new: list[str]) -> None:
    hunks = hunks_between("\n".join(old), "\n".join(new))
    assert read_hunks(written(hunks)) == hunks


def test_what_an_answer_looks_like() -> None:
    before = "def f(p):\n    f = open(p)\n    return f.read()\n"
    after = "def f(p):\n    with open(p) as f:\n        return f.read()\n"
    answer = "-    f = open(p)\n-    return f.read()\n+    with open(p) as f:\n+        return f.read()\n"
    assert written(hunks_between(before, after)) == answer
    assert written([]) == f"{NO_CHANGE}\n"
    assert read_hunks("=\n") == []


@pytest.mark.parametrize("answer", ["", "x", "+x", "-a\n+b\n-c", "-a\n b", "= =", "-a\n\n+b"])
def test_what_is_not_in_the_format_is_none(answer: str) -> None:
    assert read_hunks(answer) is None


def test_a_hunk_without_a_place_is_none() -> None:
    assert applied("a\nb", [Hunk(("b",), ("c",)), Hunk(("a",), ("d",))]) is None
    assert applied("a", [Hunk(("A",), ("c",))]) is None
