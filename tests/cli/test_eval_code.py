"""`axl eval humaneval|mbpp|infilling|humaneval-x`: figures beside rivals, files of samples, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import Trained, call

from code_problems import GAP, HUMANEVAL, JAVASCRIPT, MBPP, lines
from held import needs_sandbox
from multiscale_transformer.sandbox.run import Sandbox

pytestmark = needs_sandbox
SHORT = ("--max-bytes", "16", "--threads", "1")


def test_figures_of_a_model_beside_rivals_and_again_from_its_samples(trained: Trained, work: Path) -> None:
    lines(work / "he.jsonl.gz", HUMANEVAL)
    words = ("eval", "humaneval", "--data", "he.jsonl.gz", "--model", trained.folder, "--samples", "s.jsonl", *SHORT, "--json")
    answer = call(*words)
    assert answer.status == 0, answer
    figures = json.loads(answer.out)
    assert (figures["benchmark"], figures["problems"], figures["published"], figures["each"]) == ("HumanEval", 2, 2, 1)
    assert set(figures["scores"]) == {"this model", "memory alone", "nearest function"}
    model = figures["scores"]["this model"]
    assert model["passes"]["1"]["mean"] == 0.0
    assert 0.5 < model["passes"]["1"]["high"] < 1.0
    assert model["bits_per_byte"] > 0
    kept = (work / "s.jsonl").read_text()
    assert [json.loads(line)["task_id"] for line in kept.splitlines()] == ["HumanEval/0", "HumanEval/1"]
    (work / "s.jsonl").write_text(kept.splitlines(keepends=True)[0])  # as if it had been interrupted
    assert call(*words).out == answer.out
    assert (work / "s.jsonl").read_text() == kept
    assert "other settings" in call(*words, "--seed", "1").err
    shown = call("eval", "humaneval", "--data", "he.jsonl.gz", "--from", "s.jsonl")
    assert "0 % (at most 65.8)" in shown.out
    assert "s.jsonl" in shown.out


def test_several_completions_have_several_ks(trained: Trained, work: Path) -> None:
    lines(work / "mbpp.jsonl", MBPP)
    words = ("--each", "3", "--most", "2", "--no-rivals", *SHORT, "--model", trained.folder)
    figures = json.loads(call("eval", "mbpp", "--data", "mbpp.jsonl", *words, "--json").out)
    assert (figures["problems"], figures["published"], figures["temperature"]) == (2, 3, 0.8)
    assert set(figures["scores"]["this model"]["passes"]) == {"1", "3"}
    assert figures["scores"]["this model"]["completions"] == 6


def test_gaps_have_the_index_alone_as_their_rival(trained: Trained, work: Path) -> None:
    lines(work / "gaps.jsonl", [GAP])
    words = ("eval", "infilling", "--data", "gaps.jsonl", "--model", trained.folder, *SHORT)
    answer = call(*words, "--memory", "none")
    assert answer.status == 0, answer
    for word in ("HumanEval infilling: 1 of 1 problem", "greedy", "this model", "copying from the problem", "bits per byte"):
        assert word in answer.out


def test_right_programs_made_elsewhere_pass(work: Path) -> None:
    lines(work / "js.jsonl", JAVASCRIPT)
    lines(work / "he.jsonl", HUMANEVAL)
    lines(work / "right.jsonl", [{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in HUMANEVAL[:1]])
    answer = call("eval", "humaneval", "--data", "he.jsonl", "--from", "right.jsonl", "--json")
    score = json.loads(answer.out)["scores"]["right.jsonl"]
    assert score["passes"]["1"]["mean"] == 1.0
    assert score["results"] == {"passed": 1}
    assert "completions of 1 of 2 problems" in answer.err


@pytest.mark.parametrize("name", ["humaneval", "mbpp", "infilling", "humaneval-x"])
def test_another_file_is_refused_before_anything_runs(refused: Callable[..., str], work: Path, name: str) -> None:
    (work / "foreign.jsonl").write_text('{"task_id": true}\n')
    assert "is no file of" in refused("eval", name, "--data", "foreign.jsonl")
    assert "there is no file" in refused("eval", name, "--data", "none.jsonl")


@pytest.mark.parametrize("words", ["--each 2", "--temperature 0", "--max-bytes 9", "--memory none", "--candidates 1"])
def test_what_a_model_would_be_asked_is_refused_beside_a_file_of_completions(refused: Callable[..., str], words: str) -> None:
    name = "infilling" if "candidates" in words else "humaneval"
    option, value = words.split()
    said = refused("eval", name, "--data", "unread.jsonl", "--from", "made.jsonl", option, value)
    assert option in said
    assert "go with a model, not with --from" in said


def test_nothing_runs_where_the_sandbox_does_not_hold(
    refused: Callable[..., str], work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines(work / "he.jsonl", HUMANEVAL)
    monkeypatch.setattr(Sandbox, "_broken_claims", lambda self, rung: "a claim does not hold")
    assert "not run here" in refused("eval", "humaneval", "--data", "he.jsonl")
