"""A memory of edits: templates say the edit that they are from, go on to code that they have not seen, and touch no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.tasks.edit_matching import MAX_EXPRESSION, edited
from multiscale_transformer.tasks.edit_memory import PLACE, EditMemory, EditPair, learn, load_memory, save_memory
from multiscale_transformer.tasks.edit_templates import templates_of
from multiscale_transformer.tasks.edit_tokens import lines_from, tokens_of

EDITS = {  # before, after, line of the finding; another before, and what has to become of it
    "brackets": ("    raise A.B()", "    raise A.B", 1, "        raise E()  # no", "        raise E  # no"),
    "arguments": (
        "self.assertEqual(dict(d), {k: v})",
        "assert dict(d) == {k: v}",
        1,
        "self.assertEqual(f(a, b), 1)",
        "assert f(a, b) == 1",
    ),
    "block": (
        "if a:\n    return 1\nelse:\n    b = 2\n    return b",
        "if a:\n    return 1\nb = 2\nreturn b",
        3,
        "if a:\n    return 1\nelse:\n    for x in a:\n        print(x)\n\n    return 3\n",
        "if a:\n    return 1\nfor x in a:\n    print(x)\n\nreturn 3\n",
    ),
    "part of a name": (
        "for k, v in e.items():\n    f(v)",
        "for _k, v in e.items():\n    f(v)",
        1,
        "for item in x:\n    y()",
        "for _item in x:\n    y()",
    ),
    "order": (
        "if 'x' == a.b:\n    pass",
        "if a.b == 'x':\n    pass",
        1,
        "if NAME == f(1):\n    pass",
        "if f(1) == NAME:\n    pass",
    ),
    "text of a string": (
        "return '<{}>'.format(self.x)",
        "return f'<{self.x}>'",
        1,
        "return 'a {:>8} b'.format(f(1, 2))",
        "return f'a {f(1, 2):>8} b'",
    ),
    "a word for a text": ("a = dict(b=c)", "a = {'b': c}", 1, "return dict(size=len(x))", "return {'size': len(x)}"),
    "begins before": (
        "    found = []\n    for x in y:\n        found.append(f(x))",
        "    found = [f(x) for x in y]",
        3,
        "r = []\nfor line in open(p):\n    r.append(line.strip())\nreturn r",
        "r = [line.strip() for line in open(p)]\nreturn r",
    ),
    "at the end": (
        "def f(a):\n    if a:\n        return 1",
        "def f(a):\n    if a:\n        return 1\n    return None",
        1,
        "    def g(self):\n        for x in self:\n            while x:\n                return x",
        "    def g(self):\n        for x in self:\n            while x:\n                return x\n        return None",
    ),
    "everywhere": (
        "def f():\n    _a = 1\n    return _a",
        "def f():\n    a_ = 1\n    return a_",
        2,
        "_b = g()\nprint(_b, _bc)",
        "b_ = g()\nprint(b_, _bc)",
    ),
    "a name that goes": ("    out = run(x)", "    run(x)", 1, "m = b.shape[0]", "b.shape[0]"),
    "nothing is left": ("    x = 1\n    return 2", "    return 2", 1, "    x = 1\n    return 3", "    return 3"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_template_says_its_own_edit_and_goes_on_to_others(name: str) -> None:
    before, after, line, other, wanted = EDITS[name]
    templates = templates_of(before, after, line)
    assert all(after in edited(template, before, line) for template in templates)
    place = len(other.rstrip().split("\n")) if name == "begins before" else line
    made = {text for template in templates for text in edited(template, other, place if name != "begins before" else 3)}
    assert wanted in made


@given(
    st.lists(st.text(st.sampled_from(list("ab_1 '\"{}()[]:=%s.,\\#é")), max_size=24), min_size=1, max_size=5), st.integers(0, 8)
)
def test_tokens_are_the_lines(texts: list[str], base: int) -> None:
    lines = [f"{'  ' * number}{text}".rstrip() for number, text in enumerate(texts)]
    lines[0] = " " * base + (lines[0].strip() or "x")
    assert lines_from(tokens_of(lines, base), base) == lines


@given(st.sampled_from(sorted(EDITS)), st.sampled_from(sorted(EDITS)))
def test_lines_before_and_behind_stay(one: str, other: str) -> None:
    before, after, line, _, _ = EDITS[one]
    text = EDITS[other][3]
    if one in ("at the end", "everywhere", "block"):
        return
    for template in templates_of(before, after, line):
        for made in edited(template, f"first(1)\n{text}\nlast(2)", 2 + max(0, line - 1)):
            assert "first(1)" in made
            assert made.endswith("last(2)")


def test_lines_of_any_length_cost_a_bounded_search(monkeypatch: pytest.MonkeyPatch) -> None:
    (template, *_) = templates_of("zip(a, b)", "zip(a, b, strict=True)", 1)
    assert list(edited(template, "zip(c, d)", 1)) == ["zip(c, d, strict=True)"]
    many = ", ".join(f"a{n}" for n in range(3 * MAX_EXPRESSION))
    assert list(edited(template, f"zip({many})", 1)) == []
    monkeypatch.setattr("multiscale_transformer.tasks.edit_matching.STEPS", 3)
    assert list(edited(template, "zip(c, d)", 1)) == []


def test_a_memory_is_learnt_from_what_several_pairs_say(tmp_path: Path) -> None:
    pairs = [EditPair("R", f"raise {name}()", f"raise {name}", 1) for name in ("A", "B.C", "D")]
    memory = learn([*pairs, EditPair("S", "one = 1", "two = 2 + zwei", 1)])
    assert list(memory.rules) == ["R"]  # nothing says that the other edit is good for anything else
    assert memory.edits("R", "x = 1\n    raise Error()", 2, 4)[0] == "x = 1\n    raise Error"
    assert memory.edits("S", "one = 1", 1, 4) == memory.edits("unknown", "raise E()", 1, 4) == []
    save_memory(memory, tmp_path / "memory.json")
    assert load_memory(tmp_path / "memory.json").rules == memory.rules


def test_the_more_precise_comes_first() -> None:
    wrong = [EditPair("R", f"x = f({n})", f"x = f(-{n})", 1) for n in range(2)]
    right = [EditPair("R", f"x = f(a{n}, 1)", f"x = f(a{n})", 1) for n in range(8)]
    memory = learn([*wrong, *right])
    assert [known.precision for known in memory.rules["R"]] == sorted(
        (known.precision for known in memory.rules["R"]), reverse=True
    )
    assert memory.edits("R", "x = f(other, 1)", 1, 1) == ["x = f(other)"]


def test_the_memory_in_the_package_knows_the_linter_s_rules() -> None:
    memory = load_memory(PLACE)
    assert memory.edits("RSE102", "def f():\n    raise ValueError()", 2, 1) == ["def f():\n    raise ValueError"]
    assert len(memory.rules) > 50
    assert all(known.right <= known.tried for of in memory.rules.values() for known in of)
    assert EditMemory({}).edits("RSE102", "raise ValueError()", 1, 3) == []
