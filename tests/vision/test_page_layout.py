"""Layouts: the line is the tree, the grammar is the pattern, and what may follow is what follows."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.vision.elements import CHECKED, CLASSES, DISABLED
from multiscale_transformer.vision.layout import (
    END,
    GBNF,
    KINDS,
    LARK,
    LETTERS,
    MAX_CHARACTERS,
    PATTERN,
    Group,
    Leaf,
    Node,
    following,
    leaves,
    line_of,
    normal,
    parse,
    tokens,
)

LINES = st.from_regex(PATTERN, fullmatch=True).filter(lambda line: len(line) <= MAX_CHARACTERS)
ANY = st.text("".join(LETTERS.values()) + "[](){}+- x", max_size=12)
TREES = st.recursive(
    st.builds(Leaf, st.sampled_from(CLASSES)),
    lambda nodes: st.builds(Group, st.sampled_from(["row", "column", "box"]), st.lists(nodes, max_size=4).map(tuple)),
    max_leaves=12,
)


@given(LINES)
def test_a_line_and_its_tree_are_the_same(line: str) -> None:
    tree = parse(line)
    assert line_of(tree) == line
    assert "".join(tokens(line)) == line
    kinds = [KINDS[character] for character in line if character in KINDS]
    assert [leaf.kind for leaf in leaves(tree)] == kinds


@given(LINES)
def test_a_line_can_be_written_with_what_may_follow(line: str) -> None:
    for end in range(len(line)):
        assert line[end] in following(line[:end])
    assert END in following(line)


@given(ANY)
def test_what_may_not_follow_makes_no_line(text: str) -> None:
    try:
        may_end = END in following(text)
    except AxlError:
        may_end = False
    assert may_end == bool(PATTERN.fullmatch(text))


@given(ANY)
def test_what_is_no_line_is_refused(text: str) -> None:
    if PATTERN.fullmatch(text):
        parse(text)
    else:
        with pytest.raises(AxlError, match="not a layout"):
            parse(text)


@given(TREES)
def test_normal_trees_stay_and_keep_their_elements(tree: Node) -> None:
    once = normal(tree)
    if once is None:
        assert not list(leaves(tree))
        return
    assert normal(once) == once
    assert list(leaves(once)) == list(leaves(tree))


def test_what_nobody_can_see_is_not_in_the_layout() -> None:
    a, b = Leaf("heading"), Leaf("text")
    inner = Group("column", (Group("row", (a,)), Group("column", (b,)), Group("box", ())))
    assert normal(inner) == Group("column", (a, b))
    assert normal(Group("box", (Group("column", (a, b)),))) == Group("box", (a, b))
    assert normal(Group("row", (Group("row", (a, b)), a))) == Group("row", (a, b, a))


def test_what_a_line_looks_like() -> None:
    fields = Group("row", (Leaf("field"), Leaf("button", (DISABLED,))))
    ticks = (Leaf("checkbox", (CHECKED,)), Leaf("radio", (CHECKED, DISABLED)))
    page = Group("column", (Group("box", (Leaf("heading"), fields)), *ticks))
    assert line_of(page) == "{H[FB-]}C+R+-"
    assert tokens("{H[FB-]}C+R+-") == ["{", "H", "[", "F", "B-", "]", "}", "C+", "R+-"]


def test_a_very_long_line_is_refused_at_once() -> None:
    with pytest.raises(AxlError, match="not a layout"):
        parse("H" * 1_000_000)


def test_the_engine_takes_both_grammars() -> None:
    for grammar in (GrammarConstraint.lark(LARK), GrammarConstraint.gbnf(GBNF)):
        assert grammar is not None
    assert set(re.findall(r'"(.)"', GBNF)) == set("[](){}+-")
