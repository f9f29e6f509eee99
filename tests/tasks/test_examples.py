"""Examples: pairs that ruff makes, splits by package without near-duplicates, and files that are the same every time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.edit_format import hunks_between, written
from multiscale_transformer.tasks.examples import (
    SPLITS,
    Example,
    capped,
    read_examples,
    split_examples,
    split_of,
    write_examples,
)
from multiscale_transformer.tasks.lint import lint, pairs_in, same_function

CODE = """\
import os


class Shop:
    def price(self, item):
        if item in self.prices:
            return self.prices[item]
        else:
            return 0

    def clean(self, é):
        return é


def empty(a):
    return not a == 1
"""


def example(number: int, package: str, rule: str = "A", prompt: str = "") -> Example:
    words = prompt or " ".join(f"word{number}x{k}" for k in range(30))
    return Example(task="refactor", prompt=words, answer=f"answer {number}", package=package, rule=rule, licence="MIT")


def test_pairs_are_functions_before_and_after_a_fix() -> None:
    pairs = {pair.rule: pair for _, pair in pairs_in({"shop.py": CODE, "broken.py": "def f(:", "empty.py": ""})}
    assert set(pairs) == {"RET505", "SIM201"}
    returned = pairs["RET505"]
    assert returned.before.startswith("    def price(self, item):")
    assert returned.before in CODE
    assert returned.line == 4
    assert written(hunks_between(returned.before, returned.after)) == (
        "-        else:\n-            return 0\n+        return 0\n"
    )
    assert pairs["SIM201"].after == "def empty(a):\n    return a != 1"


def test_findings_say_where_and_what() -> None:
    findings = lint({"a": "def f():\n    x = dict()\n    return x\n"})
    assert {(finding.name, finding.rule, finding.line) for finding in findings} >= {("a", "C408", 2)}
    fixed = next(finding.fixed for finding in findings if finding.rule == "C408")
    assert fixed == "def f():\n    x = {}\n    return x\n"


def test_one_function_is_told_from_another() -> None:
    assert same_function("def f(): return 1", "def f():\n    return 1")
    assert not same_function("def f(): return 1", "def f(): return 2")
    assert same_function("def f(): return 1", "def f(): return 2", or_changed=True)
    assert not same_function("def f(): return 1", "def g(): return 2", or_changed=True)
    assert not same_function("def f(): return 1", "def f(: return 2", or_changed=True)


def test_packages_are_never_split() -> None:
    names = [*(f"package{number}" for number in range(48)), "networkx", "pyyaml"]
    splits = split_examples(example(number, names[number % 50]) for number in range(500))
    packages = [{one.package for one in splits[split]} for split in SPLITS]
    assert sum(map(len, packages)) == 50
    assert packages[SPLITS.index("test")] == {"networkx", "pyyaml"}
    assert all(packages)
    assert all(split_of(one.package) == split for split in SPLITS for one in splits[split])


def test_lessons_of_one_function_may_be_alike_but_none_is_like_a_test() -> None:
    words = " ".join(f"word{n}" for n in range(80))
    lessons = [example(n, "one", prompt=f"{words} call {n}\n") for n in range(5)]
    package = next(f"p{n}" for n in range(99) if split_of(f"p{n}") == "train")
    alike = [one.model_copy(update={"package": package}) for one in lessons]
    assert len(split_examples(alike)["train"]) == 5
    tested = example(9, "networkx", prompt=f"{words} call 9\n")
    assert split_examples([*alike, tested])["train"] == []


def test_training_has_no_near_duplicate_of_a_test() -> None:
    test = "hypothesis"
    train = next(f"p{n}" for n in range(100) if split_of(f"p{n}") == "train")
    text = " ".join(f"token{k}" for k in range(60))
    splits = split_examples([example(1, test, prompt=text), example(2, train, prompt=f"{text} more"), example(3, train)])
    assert [one.answer for one in splits["train"]] == ["answer 3"]
    assert split_examples([example(3, train)], drop=lambda one: True)["train"] == []


def test_rules_and_packages_are_capped_in_an_order_of_their_own() -> None:
    examples = [example(number, f"p{number % 3}", f"R{number % 2}") for number in range(60)]
    kept = capped(examples, rule=5, package=4)
    assert kept == capped(examples[::-1] + examples, rule=5, package=4)
    assert max(Counter((one.rule, split_of(one.package)) for one in kept).values()) == 5
    assert max(Counter(one.package for one in kept).values()) <= 4


def test_files_are_the_same_every_time(tmp_path: Path) -> None:
    splits = split_examples(example(number, f"package{number}") for number in range(30))
    write_examples(tmp_path / "a", splits, {"x": "1.0"})
    write_examples(tmp_path / "b", {split: list(reversed(found)) for split, found in splits.items()}, {"x": "1.0"})
    for name in ("train.jsonl", "test.jsonl", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert sorted(read_examples(tmp_path / "a", "train"), key=lambda one: one.digest) == sorted(
        splits["train"], key=lambda one: one.digest
    )
    with pytest.raises(AxlError, match="axl data make"):
        read_examples(tmp_path, "train")
    (tmp_path / "train.jsonl").write_text("{}\n")
    with pytest.raises(AxlError, match="holds no examples"):
        read_examples(tmp_path, "train")
