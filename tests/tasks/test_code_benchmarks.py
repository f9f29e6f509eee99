"""Benchmarks that run code: files are read as published, right programs pass and no others, and what is interrupted goes on."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from code_problems import DOUBLE, GAP, HUMANEVAL, JAVASCRIPT, MBPP, RUST, SANITIZED, SPAN, lines
from held import needs_sandbox
from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.code_benchmarks import execution, reading
from multiscale_transformer.tasks.code_benchmarks.authors import Written
from multiscale_transformer.tasks.code_benchmarks.execution import LIMITS, judge
from multiscale_transformer.tasks.code_benchmarks.humaneval import humaneval, infilling
from multiscale_transformer.tasks.code_benchmarks.humaneval_x import humaneval_x
from multiscale_transformer.tasks.code_benchmarks.mbpp import mbpp
from multiscale_transformer.tasks.code_benchmarks.measure import chosen, evaluate
from multiscale_transformer.tasks.code_benchmarks.problem import Problem
from multiscale_transformer.tasks.code_benchmarks.samples import FileAuthor, SampleFile

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
needs_rust = pytest.mark.skipif(shutil.which("rustc") is None, reason="there is no rustc")


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(LIMITS) as sandbox:
        yield sandbox


@pytest.fixture
def functions(tmp_path: Path) -> list[Problem]:
    return humaneval(lines(tmp_path / "HumanEval.jsonl.gz", HUMANEVAL))


class Scripted:
    """Writes what it is given for each problem, and remembers what it was asked."""

    def __init__(self, texts: dict[str, list[str]], dies_at: int | None = None) -> None:
        self.texts, self.asked, self.dies_at = texts, list[str](), dies_at

    def write(self, problems: Sequence[Problem]) -> list[list[Written]]:
        self.asked += [problem.task_id for problem in problems]
        return [[Written(completion=text) for text in self.texts[problem.task_id]] for problem in problems]

    def canonical_bits(self, problem: Problem) -> float | None:
        if self.dies_at is not None and self.asked.index(problem.task_id) >= self.dies_at:
            raise KeyboardInterrupt
        return 8.0 * len(problem.canonical.encode())


def results(box: Sandbox, problem: Problem, *completions: str) -> list[str]:
    return [judge(box, problem, problem.solution(completion)).result for completion in completions]


def test_humaneval_asks_for_the_function_and_stops_as_published(functions: list[Problem]) -> None:
    first = functions[0]
    assert (first.task_id, first.prompt, first.suffix) == ("HumanEval/0", DOUBLE["prompt"], None)
    assert first.stops == ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    assert first.solution("X") == DOUBLE["prompt"] + "X"
    assert first.test.endswith("check(double)\n")


def test_infilling_takes_a_line_with_its_end_or_a_span_as_it_is(tmp_path: Path) -> None:
    line, span = infilling(lines(tmp_path / "x.jsonl", [GAP, SPAN]))
    assert line.suffix == line.tail == GAP["suffix"]
    assert [line.finished("    a = 1", stopped=stopped) for stopped in (True, False)] == ["    a = 1\n"] * 2
    assert span.finished("a", stopped=False) == "a"
    assert span.stops == ()


def test_mbpp_measures_on_11_to_510_with_and_without_solved_tasks(tmp_path: Path) -> None:
    path = lines(tmp_path / "mbpp.jsonl", MBPP)
    problems = mbpp(path)
    assert [problem.task_id for problem in problems] == ["Mbpp/11", "Mbpp/12", "Mbpp/510"]
    assert problems[0].prompt == '"""\nWrite a function to add 4.\nassert add(1) == 5\nassert add(-4) == 0\n"""\n'
    assert problems[0].function == "add"
    shown = mbpp(path, shots=True)[0]
    assert shown.stops == ("[DONE]",)
    assert shown.prompt.count("[BEGIN]") == 4
    assert shown.prompt.count("[DONE]") == 3
    assert "return value + 1\n[DONE]" in shown.prompt  # task 2
    assert shown.prompt.endswith("assert add(1) == 5\nassert add(-4) == 0\n[BEGIN]\n")
    sanitized = tmp_path / "sanitized-mbpp.json"
    sanitized.write_text(json.dumps(SANITIZED))
    assert mbpp(str(sanitized))[0].test.startswith("import math\n")
    with pytest.raises(AxlError, match="lacks task 2"):
        mbpp(str(sanitized), shots=True)


def test_humaneval_x_leaves_out_what_needs_a_package(tmp_path: Path) -> None:
    twice, digest = humaneval_x(lines(tmp_path / "js.jsonl.gz", JAVASCRIPT))
    assert (twice.needs, digest.needs) == ((), ("js-md5",))
    assert twice.finished("  return 1;", stopped=True) == "  return 1;\n}\n"
    assert twice.finished("  return 1;", stopped=False) == "  return 1;"
    twice, digest = humaneval_x(lines(tmp_path / "rust.jsonl.gz", RUST))
    assert (twice.needs, digest.needs) == ((), ("md5",))
    assert "use rand" in twice.prompt
    assert "use rand" not in twice.head
    assert "use std::collections::HashMap;" in twice.head
    assert chosen([twice, digest], None) == [twice]
    with pytest.raises(AxlError, match="JavaScript and Rust"):
        humaneval_x(lines(tmp_path / "go.jsonl", [JAVASCRIPT[0] | {"task_id": "Go/0"}]))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is empty"),
        (b"{", "line 1"),
        (b"[1, 2", "is no file of HumanEval"),
        (b"[" * 100_000, "is no file of HumanEval"),
        (b"3\n", "row 1"),
        (b'{"task_id": "a"}\n', "row 1: prompt"),
        (b"\xff\xfe", "cannot be read"),
        (b"\x1f\x8bnothing", "cannot be read"),
        (gzip.compress(b"{}" * 5000, mtime=0)[:-30], "cannot be read"),
        (json.dumps(MBPP[0]).encode(), "row 1: task_id"),
        (json.dumps(DOUBLE | {"entry_point": "f(); import os"}).encode(), "no name of a function"),
        (json.dumps(DOUBLE | {"prompt": "\ud800"}).encode(), "row 1: the row: .* no Unicode"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "file.jsonl"
    path.write_bytes(content)
    with pytest.raises(AxlError, match=why) as refused:
        humaneval(str(path))
    assert len(str(refused.value).splitlines()) == 1
    assert str(path) in str(refused.value)


def test_files_are_missing_folders_bombs_or_double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AxlError, match="there is no file"):
        humaneval(str(tmp_path / "none"))
    with pytest.raises(AxlError, match="is a folder"):
        humaneval(str(tmp_path))
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(b" " * 100_000))
    with pytest.raises(AxlError, match="larger than"):
        humaneval(str(bomb))
    monkeypatch.undo()
    with pytest.raises(AxlError, match="stands twice"):
        chosen(humaneval(lines(tmp_path / "double.jsonl", [DOUBLE, DOUBLE])), None)


def test_the_hub_gives_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def load_dataset(**where: Any) -> list[dict[str, Any]]:
        asked.append(where)
        return (
            HUMANEVAL
            if "humaneval" in where["path"]
            else [row for row in MBPP if (row["task_id"] < 11) == (where["split"] == "prompt")]
        )

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    assert humaneval("hub") == humaneval("hub:you/humaneval") == humaneval(lines(tmp_path / "a.jsonl", HUMANEVAL))
    assert [where["path"] for where in asked] == ["openai/openai_humaneval", "you/humaneval"]
    assert mbpp("hub", shots=True) == mbpp(lines(tmp_path / "b.jsonl", MBPP), shots=True)
    assert {where["name"] for where in asked[2:]} == {"full"}
    with pytest.raises(AxlError, match="name a file"):
        humaneval_x("hub")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(AxlError, match="pip install"):
        humaneval("hub")


def test_a_smaller_choice_is_part_of_a_larger_one(tmp_path: Path) -> None:
    rows = [DOUBLE | {"task_id": f"HumanEval/{number}"} for number in range(40)]
    problems = humaneval(lines(tmp_path / "many.jsonl", rows))
    ids = [{problem.task_id for problem in chosen(problems, most)} for most in (5, 20, None)]
    assert [len(kept) for kept in ids] == [5, 20, 40]
    assert ids[0] < ids[1] < ids[2]
    assert chosen(problems, 20) == [problem for problem in problems if problem.task_id in ids[1]]


@needs_sandbox
def test_right_python_passes_and_nothing_else(box: Sandbox, functions: list[Problem], monkeypatch: pytest.MonkeyPatch) -> None:
    problem = functions[0]
    assert results(box, problem, problem.canonical, "    return number + number\n") == ["passed", "passed"]
    assert results(box, problem, "    return 5\n", "", "    return (\n", "    pass\n    return\x00\n") == [
        "failed",
        "failed",
        "does not parse",
        "does not parse",
    ]
    early = ("    return 4\nexit()\n", "    return 4\nimport os\nos._exit(0)\n", "    raise SystemExit(0)\n")
    assert results(box, problem, *early) == ["failed"] * 3
    monkeypatch.setattr(execution, "LIMITS", LIMITS.model_copy(update={"cpu_seconds": 1, "seconds": 20.0}))
    assert results(box, problem, "    while True: pass\n") == ["timed out"]


@needs_sandbox
def test_gaps_and_mbpp_are_run_with_what_stands_around(box: Sandbox, tmp_path: Path) -> None:
    sanitized = tmp_path / "sanitized-mbpp.json"
    sanitized.write_text(json.dumps(SANITIZED))
    every = [
        *infilling(lines(tmp_path / "gaps.jsonl", [GAP, SPAN])),
        *mbpp(lines(tmp_path / "m.jsonl", MBPP)),
        *mbpp(str(sanitized)),
    ]
    assert [results(box, problem, problem.canonical, "x = 1\n") for problem in every[:1]] == [["passed", "does not parse"]]
    assert {results(box, problem, problem.canonical)[0] for problem in every} == {"passed"}
    assert results(box, every[-1], "def root(n):\n    return n\n") == ["failed"]


@needs_sandbox
@needs_node
def test_javascript_passes_where_no_assertion_fails(box: Sandbox, tmp_path: Path) -> None:
    problem = humaneval_x(lines(tmp_path / "js.jsonl", JAVASCRIPT))[0]
    wrong = ("  return 3;\n}\n", "  return 4;\n", "  return 4;\n}\nprocess.exit(0);\n", "  throw 1;\n}\n", "// \ud800\n}\n")
    found = ["passed", "failed", "does not parse", "failed", "failed", "does not parse"]
    assert results(box, problem, problem.canonical, *wrong) == found


@needs_sandbox
@needs_rust
@pytest.mark.slow
def test_rust_passes_where_its_tests_have_run(box: Sandbox, tmp_path: Path) -> None:
    problem = humaneval_x(lines(tmp_path / "rust.jsonl", RUST))[0]
    wrong = ("    3\n}\n", "    nothing\n}\n", "    std::process::exit(0);\n}\n", "    loop {}\n}\n")
    found = ["passed", "failed", "does not parse", "failed", "timed out"]
    assert results(box, problem, problem.canonical, *wrong) == found
    reads = '    include_str!("/etc/passwd").len() as i32\n}\n'
    assert results(box, problem, reads) == ["does not parse"]  # compilers run in the sandbox, too


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    execution._rust_root.cache_clear()
    for problem in (humaneval_x(lines(tmp_path / "js", JAVASCRIPT))[0], humaneval_x(lines(tmp_path / "rust", RUST))[0]):
        with pytest.raises(AxlError, match="is not installed"):
            execution.need_tools(problem.language)


@needs_sandbox
def test_scores_are_sums_of_what_came_of_the_completions(box: Sandbox, functions: list[Problem]) -> None:
    right, wrong = str(DOUBLE["canonical_solution"]), "    return (\n"
    author = Scripted({"HumanEval/0": [right, wrong, right, wrong], "HumanEval/1": [wrong, "    return 1\n"] * 2})
    score = evaluate(box, author, functions, each=4)
    assert {k: passed.mean for k, passed in score.passes.items()} == {1: pytest.approx(0.25), 4: pytest.approx(0.5)}
    assert score.parses == 0.5
    assert score.results == {"passed": 2, "does not parse": 4, "failed": 2}
    assert score.bits_per_byte == pytest.approx(8.0)


@needs_sandbox
def test_an_interrupted_evaluation_goes_on_and_ends_alike(box: Sandbox, functions: list[Problem], tmp_path: Path) -> None:
    texts = {"HumanEval/0": ["    return 2 * number\n"], "HumanEval/1": ["    return 7 # \ud800 €\n"]}
    path, whole = tmp_path / "samples.jsonl", tmp_path / "whole.jsonl"
    expected = evaluate(box, Scripted(texts), functions, samples=SampleFile(whole, "run"))
    with pytest.raises(KeyboardInterrupt):
        evaluate(box, Scripted(texts, dies_at=1), functions, samples=SampleFile(path, "run"))
    assert len(path.read_text().splitlines()) == 1
    again, calls = Scripted(texts), []
    assert evaluate(box, again, functions, samples=SampleFile(path, "run"), on_problem=lambda: calls.append(1)) == expected
    assert again.asked == ["HumanEval/1"]
    assert len(calls) == 2
    assert path.read_bytes() == whole.read_bytes()
    with pytest.raises(AxlError, match="other settings"):
        SampleFile(path, "another run")


@needs_sandbox
def test_files_are_what_evalplus_reads_and_are_scored_alike(box: Sandbox, functions: list[Problem], tmp_path: Path) -> None:
    texts = {"HumanEval/0": ["    return 2 * number\n"] * 2, "HumanEval/1": ["    return 7\n"] * 2}
    path = tmp_path / "samples.jsonl"
    score = evaluate(box, Scripted(texts), functions, each=2, samples=SampleFile(path, "run"))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[0]["solution"] == DOUBLE["prompt"] + rows[0]["completion"]
    for kept in ({"task_id", "completion"}, {"task_id", "solution"}, set(rows[0])):
        elsewhere = tmp_path / "elsewhere.jsonl.gz"
        lines(elsewhere, [{key: row[key] for key in kept} for row in rows])
        author = FileAuthor(elsewhere, functions)
        assert author.each == 2
        again = evaluate(box, author, functions, each=2)
        assert (again.passes, again.results, again.bits_per_byte) == (score.passes, score.results, None)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"task_id": "HumanEval/7", "completion": ""}, "has no problem 'HumanEval/7'"),
        ({"task_id": "HumanEval/0"}, "neither"),
        ({"completion": "x"}, "line 1"),
        ({"task_id": 0, "completion": "x"}, "no problem 'Mbpp/0'"),
        ([1], "line 1"),
    ],
)
def test_files_of_other_samples_are_refused(functions: list[Problem], tmp_path: Path, row: Any, why: str) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(AxlError, match=why):
        FileAuthor(path, functions)
    with pytest.raises(AxlError, match="other samples"):
        SampleFile(path)


def test_mbpps_numbers_are_its_ids(tmp_path: Path) -> None:
    problems = mbpp(lines(tmp_path / "mbpp.jsonl", MBPP))
    path = tmp_path / "samples.jsonl"
    lines(path, [{"task_id": 11, "completion": "a"}, {"task_id": "Mbpp/12", "solution": "b"}])
    author = FileAuthor(path, problems)
    assert [written.program(problem) for problem in problems[:2] for written in author.write([problem])[0]] == ["a", "b"]
    assert problems[2] not in author
