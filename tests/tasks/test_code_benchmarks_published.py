"""The published files, where a folder of them is named: AXL_BENCHMARKS=FOLDER, and AXL_BENCHMARKS_MOST=N for fewer of each.

The folder holds the files anywhere below it, under their published names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from held import needs_sandbox
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.code_benchmarks.execution import LIMITS, judge
from multiscale_transformer.tasks.code_benchmarks.humaneval import humaneval, infilling
from multiscale_transformer.tasks.code_benchmarks.humaneval_x import humaneval_x
from multiscale_transformer.tasks.code_benchmarks.mbpp import mbpp
from multiscale_transformer.tasks.code_benchmarks.measure import chosen
from multiscale_transformer.tasks.code_benchmarks.problem import Problem

FOLDER = os.environ.get("AXL_BENCHMARKS", "")
MOST = int(os.environ.get("AXL_BENCHMARKS_MOST", "0")) or None
pytestmark = [needs_sandbox, pytest.mark.slow, pytest.mark.skipif(not FOLDER, reason="AXL_BENCHMARKS names no folder")]
FILES: dict[str, tuple[Callable[[str], list[Problem]], int]] = {
    "HumanEval.jsonl.gz": (humaneval, 164),
    "HumanEval-SingleLineInfilling.jsonl.gz": (infilling, 1033),
    "HumanEval-RandomSpanInfillingLight.jsonl.gz": (infilling, 164),
    "mbpp.jsonl": (mbpp, 500),
    "sanitized-mbpp.json": (mbpp, 257),
    "humaneval_js.jsonl.gz": (humaneval_x, 163),
    "humaneval_rust.jsonl.gz": (humaneval_x, 158),
}
TOOLS = {"humaneval_js.jsonl.gz": "node", "humaneval_rust.jsonl.gz": "rustc"}
# Solutions of two that their own tests refuse, and one that takes longer than programs are given.
KNOWN = {"JavaScript/112": "failed", "JavaScript/155": "failed", "Mbpp/123": "timed out"}


@pytest.mark.parametrize("name", FILES)
def test_canonical_solutions_pass(name: str) -> None:
    load, count = FILES[name]
    found = next(iter(sorted(Path(FOLDER).rglob(name))), None)
    if found is None or (name in TOOLS and shutil.which(TOOLS[name]) is None):
        pytest.skip(f"{name} or what runs it is not there")
    problems = load(str(found))
    assert len(chosen(problems, None)) == count
    with Sandbox(LIMITS) as box:
        verdicts = {
            problem.task_id: judge(box, problem, problem.solution(problem.canonical)) for problem in chosen(problems, MOST)
        }
    wrong = {task_id: verdict.result for task_id, verdict in verdicts.items() if not verdict.passed}
    assert wrong == {task_id: KNOWN[task_id] for task_id in verdicts if task_id in KNOWN}
