"""Measuring who writes code on a benchmark: pass@k, how much of it parses, and bits per byte of the canonical solutions.

pass@k of a small model is often 0, and then the bits are what moves. A zero is said with the upper end of its interval.
"""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.pass_at_k import Rate, pass_at_k, rate
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.code_benchmarks.authors import Author, Written
from multiscale_transformer.tasks.code_benchmarks.execution import judge
from multiscale_transformer.tasks.code_benchmarks.problem import Problem
from multiscale_transformer.tasks.code_benchmarks.samples import Sample, SampleFile

KS = (1, 10, 100)  # that are reported where there are so many completions
BATCH = 16  # completions that are written at the same time


class Score(BaseModel):
    """What one author reaches. `passes` are estimates of pass@k by k, `results` counts of completions by what came of them,
    `parses` the share of completions that parse (in Rust: compile), `bits_per_byte` those of the canonical solutions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    passes: dict[int, Rate]
    parses: float
    completions: int
    results: dict[str, int]
    bits_per_byte: float | None = None


class CodeFigures(BaseModel):
    """Scores by author on `problems` of the `published` ones of a benchmark; `unjudged` need what is not here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmark: str
    problems: int
    published: int
    unjudged: tuple[str, ...] = ()
    each: int
    temperature: float | None = None  # of a model; a file does not say
    seed: int | None = None
    scores: dict[str, Score]


def chosen(problems: Sequence[Problem], most: int | None) -> list[Problem]:
    """The problems that can be judged, `most` of them, in the order of the file; a smaller choice is part of a larger one.

    Raises AxlError where two have one id, or none is left.
    """
    twice = [task_id for task_id, count in Counter(problem.task_id for problem in problems).items() if count > 1]
    if twice:
        raise AxlError(f"the problem {twice[0]!r} stands twice in the file; fetch it again")
    judged = [problem for problem in problems if not problem.needs]
    by_hash = sorted(judged, key=lambda problem: hashlib.sha256(problem.task_id.encode()).digest())
    kept = {problem.task_id for problem in by_hash[:most]}
    if not kept:
        raise AxlError("the file has no problem that is judged; name another one")
    return [problem for problem in judged if problem.task_id in kept]


def evaluate(
    sandbox: Sandbox,
    author: Author,
    problems: Sequence[Problem],
    *,
    each: int = 1,
    samples: SampleFile | None = None,
    on_problem: Callable[[], None] = lambda: None,
) -> Score:
    """Let the author write what `samples` does not hold yet, judge it, and sum everything up.

    `each` is how many completions of a problem there are at least. Raises AxlError where what runs programs is not installed.
    """
    samples = samples or SampleFile(None)
    left = [problem for problem in problems if problem not in samples]
    for _ in range(len(problems) - len(left)):
        on_problem()
    size = max(1, BATCH // each)
    for begin in range(0, len(left), size):
        batch = left[begin : begin + size]
        for problem, written in zip(batch, author.write(batch), strict=True):
            samples.add(problem, list(_judged(sandbox, author, problem, written)))
            on_problem()
    return score([(problem, samples.of(problem)) for problem in problems], each)


def _judged(sandbox: Sandbox, author: Author, problem: Problem, written: Sequence[Written]) -> Iterator[Sample]:
    bits, known = author.canonical_bits(problem), {}
    for one in written:
        program = one.program(problem)
        if program not in known:  # many of a hundred completions are the same
            known[program] = judge(sandbox, problem, program)
        verdict = known[program]
        yield Sample(
            task_id=problem.task_id,
            completion=one.completion,
            solution=program,
            passed=verdict.passed,
            result=verdict.result,
            parses=verdict.parses,
            canonical_bits=bits,
        )


def score(judged: Sequence[tuple[Problem, Sequence[Sample]]], each: int) -> Score:
    """Sum up judged samples, of which there are `each` of a problem or more. Raises AxlError for no problems."""
    counts = [(len(of_problem), sum(sample.passed for sample in of_problem)) for _, of_problem in judged]
    ks = sorted({*(k for k in KS if k <= each), each})
    every = [sample for _, of_problem in judged for sample in of_problem]
    bits = [of_problem[0].canonical_bits for _, of_problem in judged]
    total = sum(len(problem.canonical.encode()) for problem, _ in judged)
    return Score(
        passes={k: rate([pass_at_k(tries, passed, k) for tries, passed in counts]) for k in ks},
        parses=statistics.fmean(sample.parses for sample in every),
        completions=len(every),
        results=dict(Counter(sample.result for sample in every)),
        bits_per_byte=sum(one for one in bits if one is not None) / total if total and None not in bits else None,
    )
