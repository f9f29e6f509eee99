"""Who writes completions: a model behind the compiled engine, or a file that was written elsewhere.

A model writes greedily where one completion of a problem is wanted, and else draws each with a seed of its own, which depends
on the problem and on the number of the completion alone: an evaluation that is interrupted goes on as if it had not been. Gaps
are filled as an editor's are, by default with the best of several texts (`engine.candidates`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from multiscale_transformer.engine.infill import Cursor, continue_text, fill_gap, fitted_fim_ids
from multiscale_transformer.engine.prompt_scoring import ScoreRequest
from multiscale_transformer.engine.scheduler import STOP, OutputChunk, Request, Scheduler
from multiscale_transformer.engine.stop_rules import NO_RULES
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.folder import CONFIG_FILE, WEIGHTS_FILE
from multiscale_transformer.model.sampling import FIM_CANDIDATES, MAX_CANDIDATES, Sampling
from multiscale_transformer.model.vocabulary import EOS
from multiscale_transformer.quantization.engine_file import ENGINE_FILE
from multiscale_transformer.tasks.code_benchmarks.problem import Problem

TEMPERATURE = 0.8  # of several completions, unless another is asked for (Chen et al. 2021, for many of them)
OnText = Callable[[], None]


class Drawing(BaseModel):
    """How many completions of a problem are written and how: greedily where it is one and no temperature is given.

    `max_bytes` shortens completions below what a problem allows; `candidates` are texts for a gap, of which one is chosen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    each: int = Field(1, ge=1)
    temperature: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    seed: int = Field(0, ge=0)
    max_bytes: int | None = Field(None, ge=1)
    candidates: int = Field(FIM_CANDIDATES, ge=1, le=MAX_CANDIDATES)


class Written(BaseModel):
    """One completion of a problem; `solution` where the whole program was written instead."""

    model_config = ConfigDict(frozen=True)

    completion: str = ""
    solution: str | None = None

    def program(self, problem: Problem) -> str:
        """The program without its test."""
        return problem.solution(self.completion) if self.solution is None else self.solution


class Author(Protocol):
    """Whoever writes completions of problems."""

    def write(self, problems: Sequence[Problem]) -> list[list[Written]]:
        """Completions of each problem, in their order."""

    def canonical_bits(self, problem: Problem) -> float | None:
        """Bits of the canonical solution behind what is read of the problem; None from who has no probabilities."""


class ModelAuthor:
    """A model, and the memory that it looks up in."""

    def __init__(
        self, scheduler: Scheduler, memory: CorpusMemory | None, drawing: Drawing, on_text: OnText = lambda: None
    ) -> None:
        if drawing.each > 1 and not drawing.temperature:
            raise AxlError("a greedy model writes one text; give --temperature above 0 for several, or ask for one")
        self._scheduler, self._memory, self._drawing, self._on_text = scheduler, memory, drawing, on_text

    def write(self, problems: Sequence[Problem]) -> list[list[Written]]:
        """Completions of each problem, all in one batch of the scheduler."""
        requests = [[self._request(problem, number) for number in range(self._drawing.each)] for problem in problems]
        chunks = {request: OutputChunk() for of_problem in requests for request in of_problem}
        for request in chunks:
            self._scheduler.submit(request)
        while self._scheduler.busy:
            for answered, chunk in self._scheduler.step():
                if chunk.error is not None:
                    raise chunk.error
                assert isinstance(answered, Request)
                chunks[answered].add(chunk)
                if chunk.ended is not None:
                    self._on_text()
        return [
            [_written(problem, chunks[request]) for request in of_problem]
            for problem, of_problem in zip(problems, requests, strict=True)
        ]

    def canonical_bits(self, problem: Problem) -> float | None:
        """Bits of the canonical solution; of a long problem the nearest part is read that a window has room for."""
        context, wanted = self._scheduler.engine.config.max_seq_len, problem.canonical.encode()
        if not problem.suffix:
            ids = continue_text(problem.prompt.encode(), context).ids
        else:
            room = max(context // 2, context - len(wanted))
            ids = fitted_fim_ids(problem.prompt.encode(), problem.suffix.encode(), room)[0]
        request = ScoreRequest([*ids, *wanted], self._memory, top=0, since=len(ids))
        self._scheduler.score(request)
        return -sum(token.logprob for token in request.costs[-len(wanted) :]) / math.log(2) if wanted else 0.0

    def _request(self, problem: Problem, number: int) -> Request:
        drawing, cursor = self._drawing, self._cursor(problem)
        sampling = Sampling(
            max_new_tokens=min(problem.max_bytes, drawing.max_bytes or problem.max_bytes),
            temperature=drawing.temperature,
            seed=_seed(drawing.seed, problem.task_id, number),
            stop=tuple(stop.encode() for stop in problem.stops),
            candidates=drawing.candidates if cursor.gap is not None and drawing.each == 1 else 1,
        )
        # A line ends as in an editor. Other gaps end anywhere, which no rule of an editor knows, and functions by stop strings.
        rules = cursor.rules if problem.one_line else NO_RULES
        return Request(cursor.ids, sampling, self._memory, rules=rules, gap=cursor.gap)

    def _cursor(self, problem: Problem) -> Cursor:
        context, before = self._scheduler.engine.config.max_seq_len, problem.prompt.encode()
        if problem.suffix is None:
            return continue_text(before, context)
        return fill_gap(before, problem.suffix.encode(), context)


def _written(problem: Problem, chunk: OutputChunk) -> Written:
    stopped = chunk.ended == STOP and not (chunk.drawn and chunk.drawn[-1].id == EOS)
    return Written(completion=problem.finished(chunk.text, stopped=stopped))


def _seed(seed: int, task_id: str, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{task_id}/{number}".encode()).digest()[:7], "big")


def model_digest(checkpoint: Path) -> str:
    """SHA-256 over the files of a checkpoint that decide what it writes. Raises AxlError where one cannot be read."""
    digest = hashlib.sha256()
    for name in (CONFIG_FILE, WEIGHTS_FILE, ENGINE_FILE):
        path = checkpoint / name
        if path.exists() or name != ENGINE_FILE:
            try:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise AxlError(f"{path} cannot be read ({error.strerror}); restore it or train again") from None
    return digest.hexdigest()
