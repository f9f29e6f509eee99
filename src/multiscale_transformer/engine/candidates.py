"""Filling a gap with the best of several texts: written in one batch, and ordered by how likely the whole is with each of them.

A model that fills in the middle has seen the suffix, but what it writes greedily seldom leads there. Read from left to right,
the same model tells well which text fits: the one with which the text itself and what follows it are the likeliest together.
So a few are written, the greedy one, one that goes on from the prefix alone, and some that are drawn, and that order chooses.
In three unseen projects it nearly doubles how often one-line gaps are filled exactly (docs/log.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from multiscale_transformer.engine.continuations import log_probabilities
from multiscale_transformer.engine.decoding import CANCELLED, FAILED, STOP, OutputChunk, Request
from multiscale_transformer.engine.engine import Engine
from multiscale_transformer.engine.infill import Gap

TEMPERATURE = 0.6  # at which the others are drawn at least
TIME_TO_WRITE = 0.7  # of the time that a request has, after which candidates that have not ended are none
_STRIDE = 0x9E3779B97F4A7C15  # between their seeds, so that answers with neighbouring seeds draw different ones

Score = Callable[[list[int], list[list[int]]], list[float]]  # a prompt and continuations to their log-probabilities


def candidate_requests(request: Request) -> list[Request]:
    """A request for the best of several as requests for each: as it is, from the left alone, and drawn with other seeds.

    There are none where one text is wanted or there is no gap.
    """
    gap, sampling = request.gap, request.sampling
    if gap is None or sampling.candidates == 1:
        return []
    first = replace(request, gap=None)
    drawn = sampling.model_copy(update={"temperature": max(sampling.temperature, TEMPERATURE)})
    seed = 0 if sampling.seed is None and not sampling.temperature else sampling.seed  # a greedy request has one answer
    seeds = [None if seed is None else (seed + number * _STRIDE) % 2**63 for number in range(1, sampling.candidates - 1)]
    samplings = [sampling, *(drawn.model_copy(update={"seed": seed}) for seed in seeds)]
    prompts = [gap.before, *[request.prompt] * len(seeds)]
    constraint, now = request.constraint, time.monotonic()
    deadline = None if request.deadline is None else now + TIME_TO_WRITE * (request.deadline - now)
    return [first] + [
        replace(
            first,
            prompt=prompt,
            sampling=own,
            constraint=None if constraint is None else constraint.copy(),
            deadline=deadline,
        )
        for prompt, own in zip(prompts, samplings, strict=True)
    ]


def best_text(gap: Gap, texts: Sequence[str], context: int, score: Score) -> str:
    """The text with which it and what follows the gap are the likeliest, in a window of `context` ids.

    An empty one is the best only where there is no other.
    """
    different = list(dict.fromkeys(text for text in texts if text))
    if len(different) < 2:
        return different[0] if different else ""
    # CRLF is how texts are shown, not what models have read. What is too long for the window loses its end.
    continuations = [[*text.replace("\r\n", "\n").encode(), *gap.after][: context - 1] for text in different]
    scores = score(gap.before[-(context - max(map(len, continuations))) :], continuations)
    return different[scores.index(max(scores))]


class Choice:
    """A request whose candidates are being written: `take` what they become, and `choose` when all have `ended`."""

    def __init__(self, request: Request) -> None:
        self.request, self.parts = request, candidate_requests(request)
        self.later = self.parts[2:]  # they have the prompt of the first, and use its pages when it is read
        self._written = {part: OutputChunk() for part in self.parts}

    @property
    def ended(self) -> bool:
        """Whether all candidates are there."""
        return all(chunk.ended is not None for chunk in self._written.values())

    def take(self, part: Request, chunk: OutputChunk) -> None:
        """What a step wrote for a candidate."""
        self._written[part].add(chunk)

    def choose(self, engine: Engine) -> OutputChunk:
        """All of the best candidate among those that had the time to end; of the first where it failed or the time is over."""
        first, *others = self._written.values()
        late = self.request.deadline is not None and time.monotonic() >= self.request.deadline
        if late or first.ended in (CANCELLED, FAILED):
            return first
        assert self.request.gap is not None
        most = self.request.sampling.max_new_tokens
        chunks = [first, *(chunk for chunk in others if chunk.ended == STOP or len(chunk.drawn) >= most)]

        def score(prompt: list[int], continuations: list[list[int]]) -> list[float]:
            return log_probabilities(engine, prompt, continuations, self.request.memory)

        best = best_text(self.request.gap, [chunk.text for chunk in chunks], engine.config.max_seq_len, score)
        return next(chunk for chunk in chunks if chunk.text == best)
