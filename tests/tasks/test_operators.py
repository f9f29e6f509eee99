"""Edits of Python code: what they leave alone, that they parse, and that each kind of mistake can be undone."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiscale_transformer.tasks.operators import edits_of
from multiscale_transformer.tasks.source_text import SourceText, unified_diff

SOURCE = '''\
"""Ein Modul, é < ü."""  # a < b
import math


def area(radius: list[int], scale: float = 1.0) -> list[float]:
    """Of a circle, not(a < b)."""
    total, names = 0, ["ä < ö", ""]
    for index in range(len(radius)):
        if radius[index] <= 0 and not names:  # 1 + 1
            continue
        total += math.pi * radius[index - 1] ** 2 / scale
        names.append(str(index))
    return [total, -scale]
'''


def texts(source: str, operator: str) -> list[str]:
    """What the edits of a kind put in the place of what, one after the other."""
    return [
        f"{source[edit.start : edit.end]} -> {edit.text}" for edit in edits_of(SourceText(source)) if edit.operator == operator
    ]


def test_every_edit_changes_the_syntax_tree_and_can_be_taken_back() -> None:
    edits = edits_of(SourceText(SOURCE))
    assert len(edits) > 40
    for edit in edits:
        after = edit.apply(SOURCE)
        assert ast.dump(ast.parse(after)) != ast.dump(ast.parse(SOURCE)), edit
        assert edit.inverse(SOURCE).apply(after) == SOURCE
        assert SOURCE[: edit.start].count("\n") + 1 <= edit.line <= SOURCE[: edit.end].count("\n") + 1


def test_comments_strings_and_annotations_are_left_alone() -> None:
    for edit in edits_of(SourceText(SOURCE)):
        after = edit.apply(SOURCE)
        for text in (
            '"""Ein Modul, é < ü."""  # a < b',
            "(radius: list[int], scale: float =",
            "-> list[float]",
            '"ä < ö"',
            "# 1 + 1",
        ):
            assert text in after, edit


@pytest.mark.parametrize(
    ("code", "operator", "expected"),
    [
        ("x = a < b", "comparison", ["< -> <=", "< -> >", "< -> >="]),
        ("x = (a) not in (b)", "comparison", ["not in -> in"]),
        ("x = a is\\\n not b", "comparison", ["is\\\n not -> is"]),
        ("x = a - b", "arithmetic", ["- -> *", "- -> +"]),
        ("x = a - b", "operands swapped", ["a - b -> b - a"]),
        ("x //= 2", "assignment", ["//= -> %=", "//= -> *=", "//= -> /=", "//= -> ="]),
        ("x = a and b", "and, or", ["and -> or"]),
        ("if x: pass", "not", ["x -> not x"]),
        ("if not x: pass", "not", ["not x -> x"]),
        ("x = 5", "constant", ["5 -> 0", "5 -> 1", "5 -> 4", "5 -> 6"]),
        ("x = True", "constant", ["True -> False"]),
        ("x = 0x10", "constant", []),
        ("x = a[i]", "one off", ["i -> i + 1", "i -> i - 1"]),
        ("x = a[1:]", "bound", [" -> -1"]),
        ("x = range(n)", "bound", ["n -> 1, n"]),
        ("x = range(1, n)", "bound dropped", ["1,  -> "]),
        ("x = max(a)", "function", ["max -> min"]),
        ("a.append(1)", "function", ["append -> appendleft", "append -> extend"]),
        ("x = f(a, b)", "arguments swapped", ["a, b -> b, a"]),
        ("for x in a:\n    break", "loop", ["break -> continue"]),
        ("if a:\n    pass\nelif b:\n    pass", "branch", ["elif -> if"]),
        ("def f(a, b):\n    return a", "name", ["a -> b"]),
        ("def f(a):\n    return f(a)", "name", []),
    ],
)
def test_what_each_kind_does(code: str, operator: str, expected: list[str]) -> None:
    assert sorted(texts(code, operator)) == sorted(expected)


def test_a_statement_moves_out_of_a_block_and_back_in() -> None:
    inside = "def f(a):\n    for x in a:\n        a += x\n        return a\n"
    outside = "def f(a):\n    for x in a:\n        a += x\n    return a\n"
    assert outside in [edit.apply(inside) for edit in edits_of(SourceText(inside))]
    assert inside in [edit.apply(outside) for edit in edits_of(SourceText(outside))]


UNDONE = [
    "comparison",
    "arithmetic",
    "operands swapped",
    "and, or",
    "not",
    "one off",
    "function",
    "arguments swapped",
    "indentation",
]


def test_what_these_kinds_do_an_edit_undoes() -> None:
    for edit in edits_of(SourceText(SOURCE)):
        if edit.operator in UNDONE:
            broken = edit.apply(SOURCE)
            undone = {ast.dump(ast.parse(back.apply(broken))) for back in edits_of(SourceText(broken))}
            same = edit.operator == "comparison" and SOURCE[edit.start : edit.end] in {"==", "!="}
            assert ast.dump(ast.parse(SOURCE)) in undone or same, edit


def test_lines_choose() -> None:
    assert {edit.line for edit in edits_of(SourceText(SOURCE), [9])} == {9}
    assert edits_of(SourceText(SOURCE), []) == []


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab1 +-<>=()[]:,.\n\tdefif'\"é#\x0c\\"), max_size=60))
def test_any_text_that_parses_can_be_edited(text: str) -> None:
    try:
        source = SourceText(text)
    except (SyntaxError, ValueError):
        return
    for edit in edits_of(source):
        ast.parse(edit.apply(text))


def test_a_diff_is_one_that_patch_takes() -> None:
    assert unified_diff("a\nb", "a\nc", "x.py") == (
        "--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n\\ No newline at end of file\n"
    )
