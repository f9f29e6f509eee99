"""`axl eval codebleu`: pairs as people keep them, and what is said where they do not fit."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest
from calling import call

pytest.importorskip("tree_sitter")

from multiscale_transformer.evaluation.codebleu.score import codebleu

WANTED = ["def f(a):\n    return a + 1\n", "def g(a):\n    b = a\n    return b\n"]
WRITTEN = ["def f(a):\n    return a + 2\n", "def g(x):\n    return x\n"]
COMMAND = ("eval", "codebleu")
PYTHON = ("--lang", "python")


def records(path: Path, rows: list[object]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def folder(path: Path, texts: list[str], suffix: str = ".py") -> Path:
    (path / "below").mkdir(parents=True)
    for number, text in enumerate(texts):
        (path / "below" / f"{number}{suffix}").write_text(text)
    return path


def figures(*words: str | Path) -> dict[str, float]:
    answer = call(*COMMAND, *words, "--json")
    assert answer.status == 0, answer
    found: dict[str, float] = json.loads(answer.out)
    return found


def test_all_ways_to_keep_pairs_say_the_same(tmp_path: Path) -> None:
    expected = codebleu([([wanted], written) for wanted, written in zip(WANTED, WRITTEN, strict=True)], "python").codebleu
    texts = records(tmp_path / "wanted.jsonl", list(WANTED)), records(tmp_path / "written.jsonl.gz", list(WRITTEN))
    tasks = (
        records(tmp_path / "tasks.jsonl", [{"task_id": n, "canonical_solution": text} for n, text in enumerate(WANTED)]),
        records(tmp_path / "samples.jsonl", [{"task_id": n, "completion": text} for n, text in enumerate(WRITTEN)]),
    )
    several = records(tmp_path / "several.jsonl", [{"references": [text]} for text in WANTED]), texts[1]
    folders = folder(tmp_path / "a", WANTED), folder(tmp_path / "b", WRITTEN)
    for wanted, written in (texts, tasks, several, folders):
        assert figures(wanted, written, *PYTHON)["codebleu"] == pytest.approx(expected)
    one = figures(folders[0] / "below" / "0.py", folders[1] / "below" / "0.py", *PYTHON)
    assert one["codebleu"] == pytest.approx(codebleu([([WANTED[0]], WRITTEN[0])], "python").codebleu)


def test_a_text_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x = y + 1\nint z = x ;\n")
    (tmp_path / "b.txt").write_text("x = y + 2\nint z = x ;\n")
    found = figures(tmp_path / "a.txt", tmp_path / "b.txt", "--lang", "java")
    assert found["pairs"] == 2
    assert 0 < found["codebleu"] < 1


def test_the_table_names_the_parts_and_says_what_was_broken(tmp_path: Path) -> None:
    wanted, written = (
        records(tmp_path / name, [text]) for name, text in (("a.jsonl", WANTED[0]), ("b.jsonl", "def f(a:\n  ("))
    )
    answer = call(*COMMAND, wanted, written, *PYTHON, "--weights", "0,0,0.5,0.5")
    assert answer.status == 0
    assert all(word in answer.out for word in ("n-grams", "syntax", "data flow", "CodeBLEU", "0.5"))
    assert "cannot be parsed" in answer.err


def test_what_does_not_fit_is_refused_in_a_line(tmp_path: Path) -> None:
    one, two = records(tmp_path / "one.jsonl", ["x"]), records(tmp_path / "two.jsonl", ["x", "y"])
    other = records(tmp_path / "other.jsonl", [{"task_id": 1, "code": "x"}])
    another = records(tmp_path / "another.jsonl", [{"task_id": 2, "code": "x"}])
    (tmp_path / "no.jsonl").write_text("{")
    (tmp_path / "empty").mkdir()
    (tmp_path / "nothing.jsonl").write_text("")
    left, right = folder(tmp_path / "left", WANTED), folder(tmp_path / "right", WANTED[:1])
    linked = folder(tmp_path / "linked", WANTED[:1])
    (linked / "below" / "1.py").symlink_to(left / "below" / "1.py")
    for words, what in [
        ((one, two), "ends before line 2"),
        ((two, one), "ends before line 2"),
        ((other, another), "is task 2"),
        ((one, tmp_path / "no.jsonl"), "is not JSON"),
        ((one, records(tmp_path / "number.jsonl", [3])), "has no hypothesis"),
        ((records(tmp_path / "none.jsonl", [{"hypothesis": "x"}]), one), "has no reference"),
        ((one, left), "must both be"),
        ((left, right), "1.py"),
        ((left, linked), "cannot read"),
        ((tmp_path / "empty", left), "holds no .py"),
        ((tmp_path / "nothing.jsonl", tmp_path / "nothing.jsonl"), "no pair"),
        ((one, tmp_path / "gone.jsonl"), "does not exist"),
        ((one, one, "--weights", "1,2"), "sum to 1"),
        ((one, one, "--weights", "a"), "commas"),
    ]:
        answer = call(*COMMAND, *words, *PYTHON)
        assert (answer.status, answer.err.count("\n"), answer.out) == (2, 1, ""), (words, answer)
        assert what in answer.err
    assert call(*COMMAND, one, one, "--lang", "cobol").status == 2


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tree_sitter_python", None)
    one = records(tmp_path / "one.jsonl", ["x"])
    answer = call(*COMMAND, one, one, *PYTHON)
    assert answer.status == 2
    assert "pip install 'axl[bench]'" in answer.err
