"""Where a completion ends: each rule by example, and nothing that was shown is ever taken back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.engine.stop_rules import StopRules, StopState, rules_at, second_choice, trimmed
from multiscale_transformer.model.vocabulary import EOS

LINES = st.lists(
    st.sampled_from(
        [
            "",
            "    ",
            "x = 1",
            "    x = 1",
            "        pass",
            "    return x",
            "def f():",
            ")",
            "go on " * 9,
            "éa©a" * 9,
            "f(a, b, c, d), f(a, b, c)",
        ]
    ),
    max_size=12,
)
CASES = {
    "text follows on the line": ("foo(", ")\nbar()\n", "a, b\nmore\n", "a, b"),
    "the bracket that follows is written again": ("foo(", ")\n", "a, (b))  # more", "a, (b)"),
    "a bracket that the cursor's line opened and nothing closes": ("foo(bar(", ")\n", "a))\n", "a)"),
    "what follows is written again": ("def area(r): return ", " * r ** 2\n", "pi * r ** 2 + 1\n", "pi"),
    "the suffix is written at once": ("def area(r): return ", " * r ** 2\n", "* r ** 2 + 1\n", ""),
    "the cursor's line is whole": ("    x = ", "\n", "1\n    y = 2\n    z = 3\n", "1"),
    "a call is cut at its line before other text": ("f(", "\nmore = 1\n", "a,\n    b)\n", "a,"),
    "a call goes on": ("f(", "", "a,\n    b)\nmore = 1\n", "a,\n    b)"),
    "the body is there already": ("def f(", "\n    return 1\n", "a):\n    pass\n", "a):"),
    "a line of less indentation": ("def f():\n    ", "", "x = 1\n    y = 2\n\ndef g():\n    pass\n", "x = 1\n    y = 2"),
    "the block that the cursor's line opens": ("    for a in b:", "", "\n        use(a)\n\n    return a\n", "\n        use(a)"),
    "else belongs to the block": (
        "    if a:",
        "",
        "\n        b\n    else:\n        c\n    d\n",
        "\n        b\n    else:\n        c",
    ),
    "a bracket belongs to the block": ("f = [", "", "\n    1,\n]\nmore = 1\n", "\n    1,\n]"),
    "siblings go on": ("    ", "", "x = 1\n    y = 2\n    z = 3\n", "x = 1\n    y = 2\n    z = 3"),
    "one statement before other text": ("    ", "\n\n    return x + y\n", "x = 1\n    y = 2\n", "x = 1"),
    "and what it opens": ("    ", "\n    return x\n", "if x:\n        y = 2\n    a = 4\n", "if x:\n        y = 2"),
    "the first line of the suffix": ("    ", "\n\n    return x + y\n", "if y:\n    return x + y\n", "if y:"),
    "the first line of the suffix, at the end": ("    ", "\n    return 5\n", "if x:\n    return 5", "if x:"),
    "the line before the cursor": ("    run(1)\n    ", "", "run(1)\n    run(1)\n", ""),
    "a repeated line": ("", "", "import os\nimport os\nimport os\n", "import os"),
    "the cursor's line again": ("    ", "", "value = f(x)\n    value = f(x)\n", "value = f(x)"),
    "a run of lines again": ("", "", "a_one = 1\nb_two = 2\na_one = 1\nb_two = 2\n", "a_one = 1\nb_two = 2\na_one = 1"),
    "closing brackets are no repetition": ("", "", "{\n{\n}\n}\n}\n", "{\n{\n}\n}\n}"),
    "blank lines": ("", "", "x = 1\n\n\n\n\n\n", "x = 1"),
    "a phrase again and again": ("count(", "", "labels.get, labels.get, labels.get, labels.get, labels", "labels.get, "),
    "a table is no phrase": ("row = [", "\n", "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]\n", "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"),
    "a phrase from within a character": ("x = ", "", "ébcdefgh©bcdefgh©bcdefgh©bcdefgh©b", "ébcdefgh"),
    "marks without end": ("x = ", "", "1" + "** 2" * 40, "1** 2"),
    "a phrase twice": ("pair = ", "\n", "np.zeros((2, 2)), np.zeros((2, 2))\n", "np.zeros((2, 2)), np.zeros((2, 2))"),
    "spaces": ("x = ", "", "1" + " " * 100, "1"),
    "nothing but blanks": ("x = 1", "", "\n" * 20, ""),
}


@pytest.mark.parametrize(("prefix", "suffix", "written", "expected"), CASES.values(), ids=CASES)
def test_where_it_ends(prefix: str, suffix: str, written: str, expected: str) -> None:
    state = StopState(rules_at(prefix.encode(), suffix.encode()))
    state.feed(written.encode())
    assert written.encode()[: state.finish()].decode() == expected


def test_a_limit_of_indentation_is_held() -> None:
    state = StopState(rules_at(b"        ", b"", min_indent=8))
    state.feed(b"x = 1\n        y = 2\n    z = 3\n")
    assert state.text[: state.finish()] == b"x = 1\n        y = 2"


def test_without_rules_nothing_is_held_back_and_nothing_ends() -> None:
    state = StopState(StopRules())
    assert state.feed(b"x\n\n\n\n\n\n" + b" " * 200) is None
    assert state.safe == len(state.text)


@given(before=LINES, after=LINES, written=LINES, cut=st.integers(0, 20))
def test_what_is_shown_stays(before: list[str], after: list[str], written: list[str], cut: int) -> None:
    text = "\n".join(written).encode()[cut:]
    rules = rules_at("\n".join(before).encode(), "\n".join(after).encode())
    whole = StopState(rules)
    whole.feed(text)
    state, shown = StopState(rules), 0
    for byte in text:
        state.feed(bytes([byte]))
        assert state.safe >= shown
        shown = state.safe
        assert whole.end is None or shown <= whole.end
    assert state.end == whole.end
    assert shown <= state.finish() == whole.finish()


@pytest.mark.parametrize(
    ("text", "suffix", "kept"),
    [
        ("a, b)", ")\n", "a, b"),
        ("bar()", ")", "bar()"),
        ("g(h(x)))", "))", "g(h(x)"),
        ('hello")', '")\nmore', "hello"),
        ("x", "", "x"),
        ("1:", ":\n", "1"),
        ("a", "\na", "a"),
        ("* r ** 2", " * r ** 2\n", ""),
        ("pi * r", " * r ** 2\n", "pi"),
        ("pi* r", " * r ** 2\n", "pi"),
        ("cab", " b\n", "cab"),
    ],
)
def test_what_the_suffix_already_has_is_trimmed(text: str, suffix: str, kept: str) -> None:
    assert trimmed(text.encode(), suffix.encode()).decode() == kept


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ([*b"return"], (0, ord("r"))),
        ([*b"\n    x"], (5, ord("x"))),
        ([*b"\n\n", EOS], None),
        ([EOS], None),
        ([], None),
    ],
)
def test_what_is_drawn_differently_where_nothing_is_left(drawn: list[int], expected: tuple[int, int] | None) -> None:
    assert second_choice(drawn) == expected
