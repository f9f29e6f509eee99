"""Choosing among candidates for a gap: the likeliest whole wins, whoever else is in the batch, and nothing is left behind."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from multiscale_transformer.engine.candidates import Choice, best_text, candidate_requests
from multiscale_transformer.engine.continuations import log_probabilities, reference_log_probabilities
from multiscale_transformer.engine.decoding import FAILED
from multiscale_transformer.engine.engine import Engine, load_engine
from multiscale_transformer.engine.infill import AFTER, Gap, continue_text, fill_gap
from multiscale_transformer.engine.scheduler import LENGTH, STOP, OutputChunk, Request, Scheduler
from multiscale_transformer.engine.session import EngineSession, ReferenceSession
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.sampling import FIM_CANDIDATES, Sampling, default_sampling
from multiscale_transformer.model.vocabulary import BOS, EOS
from tiny import corpus_memory

BEFORE, BEHIND = b"def area(radius):\n    return ", b"\n\n\nclass Circle:\n    pass\n"
SAMPLING = Sampling(temperature=0.0, max_new_tokens=24, candidates=5, logit_bias={EOS: -100.0})


@pytest.fixture(scope="module")
def memory() -> CorpusMemory:
    return corpus_memory()


def asked(
    engine: Engine, memory: CorpusMemory | None, sampling: Sampling = SAMPLING, before: bytes = BEFORE, behind: bytes = BEHIND
) -> Request:
    cursor = fill_gap(before, behind, engine.config.max_seq_len)
    return Request(cursor.ids, sampling, memory, gap=cursor.gap, crlf=cursor.crlf)


def text(engine: Engine, request: Request) -> str:
    return "".join(piece.text for piece in Scheduler(engine).stream(request))


def test_the_likeliest_whole_is_written(folder: Path, engine: Engine, memory: CorpusMemory) -> None:
    request = asked(engine, memory)
    assert request.gap is not None
    texts = [text(engine, part) for part in candidate_requests(request)]
    assert len(texts) == 5
    assert texts[0] == text(engine, replace(request, gap=None))
    assert len(set(texts)) > 2, "nothing to choose from"
    model = load_model(folder)
    continuations = [[*one.encode(), *request.gap.after] for one in texts]
    scores = reference_log_probabilities(model, request.gap.before, continuations, memory)
    assert log_probabilities(engine, request.gap.before, continuations, memory) == pytest.approx(scores, rel=1e-2)
    assert text(engine, request) == texts[scores.index(max(scores))]


def test_drawn_candidates_read_the_prompt_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    sampling, rows = SAMPLING.model_copy(update={"max_new_tokens": 1}), []
    request = asked(engine, None, sampling, before=bytes(range(97, 123)) * 8)
    read = engine.read
    monkeypatch.setattr(engine, "read", lambda reads: (rows.extend(len(one.ids) for one in reads), read(reads))[1])
    text(engine, request)
    assert request.gap is not None
    once = len(request.prompt) + len(request.gap.before)
    scored = 5 * (1 + len(request.gap.after))
    assert once <= sum(rows) <= once + scored + 5 * engine.cache.page


def test_neighbours_and_repetition_change_nothing(engine: Engine, memory: CorpusMemory) -> None:
    requests = [asked(engine, memory, before=before) for before in (BEFORE, b"import os\n", b"x = [1, 2")]
    wanted = [text(engine, request) for request in requests]
    scheduler, found = Scheduler(engine), {}
    for request in requests:
        scheduler.submit(request)
    while scheduler.busy:
        found |= {request: chunk for request, chunk in scheduler.step() if chunk.ended}
    assert [found[request].text for request in requests] == wanted
    assert set(found) == set(requests), "candidates are nobody's business"


def test_both_engines_choose_alike_and_one_candidate_is_the_greedy_text(
    folder: Path, engine: Engine, memory: CorpusMemory
) -> None:
    cursor = fill_gap(BEFORE, BEHIND, engine.config.max_seq_len)
    sessions = EngineSession(Scheduler(engine), memory), ReferenceSession(load_model(folder), memory)
    for count in (1, 2, 4):
        sampling = SAMPLING.model_copy(update={"candidates": count})
        compiled, reference = ("".join(session.stream(cursor, sampling)) for session in sessions)
        assert compiled == reference


def test_carriage_returns_are_shown_and_not_scored(engine: Engine) -> None:
    before, behind = (one.replace(b"\n", b"\r\n") for one in (BEFORE, BEHIND))
    request = asked(engine, None, before=before, behind=behind)
    assert request.crlf
    assert request.gap == fill_gap(BEFORE, BEHIND, engine.config.max_seq_len).gap
    assert text(engine, request).replace("\r\n", "\n") == text(engine, asked(engine, None))


def test_an_empty_text_is_the_last_choice() -> None:
    gap = Gap([BOS], [10])

    def shortest(prompt: list[int], continuations: list[list[int]]) -> list[float]:
        assert all(ids[-1:] == gap.after or len(ids) == 7 for ids in continuations)
        return [-float(len(ids)) for ids in continuations]

    assert best_text(gap, ["", "abc", "", "ab"], 100, shortest) == "ab"
    assert best_text(gap, ["", ""], 100, shortest) == ""
    assert best_text(gap, ["", "a"], 100, lambda *_: pytest.fail("there is no choice")) == "a"
    assert best_text(gap, ["b" * 20, "abcdef"], 8, shortest) == "b" * 20  # what is too long for the window loses its end


def test_the_gap_fits_the_window_and_seldom_moves() -> None:
    context = 256
    for length in range(0, 2000, 7):
        gap = fill_gap(b"a" * length, BEHIND * 100, context).gap
        assert gap is not None
        assert len(gap.before) + len(gap.after) <= context
        assert len(gap.before) > min(length, context // 2 - context // 8)
        assert gap.after == [*(BEHIND * 100)[:AFTER]]
    assert fill_gap(b"x = ", b"  \n", context).gap is None  # at the end of a file there is nothing to choose by
    assert continue_text(b"x = ", context).gap is None


def test_greedy_requests_repeat_and_neighbouring_seeds_draw_others(engine: Engine) -> None:
    greedy, drawn = (
        [part.sampling for part in candidate_requests(asked(engine, None, SAMPLING.model_copy(update=update)))]
        for update in ({}, {"temperature": 0.9, "seed": 3})
    )
    assert [one.seed for one in greedy] == [one.seed for one in candidate_samplings(engine)]
    assert [one.temperature for one in greedy] == [0.0, 0.0, 0.6, 0.6, 0.6]
    assert [one.temperature for one in drawn] == [0.9] * 5
    beside = [one.seed for one in candidate_samplings(engine, temperature=0.9, seed=4)]
    assert not {one.seed for one in drawn} & set(beside)
    assert default_sampling(fim=True).candidates == FIM_CANDIDATES
    assert default_sampling(fim=False).candidates == 1


def candidate_samplings(engine: Engine, **update: float) -> list[Sampling]:
    return [part.sampling for part in candidate_requests(asked(engine, None, SAMPLING.model_copy(update=update)))]


def test_a_deadline_gives_what_the_first_has(engine: Engine) -> None:
    long = SAMPLING.model_copy(update={"max_new_tokens": 5000})
    request = replace(asked(engine, None, long), deadline=time.monotonic() + 0.3)
    (piece,) = Scheduler(engine).stream(request)
    assert piece.ended == LENGTH
    greedy = text(engine, replace(request, gap=None, deadline=None, sampling=long.model_copy(update={"max_new_tokens": 600})))
    assert 0 < len(piece.text) < 4000
    assert piece.text[:100] == greedy[:100]


def test_a_candidate_that_had_no_time_to_end_is_none(engine: Engine) -> None:
    ended, cut, failed = OutputChunk("ended", ended=STOP), OutputChunk("cut", ended=LENGTH), OutputChunk("x", ended=FAILED)
    for second, wanted in ((ended, {"ended", "first"}), (cut, {"first"}), (failed, {"first"})):
        choice = Choice(asked(engine, None, SAMPLING.model_copy(update={"candidates": 2})))
        assert not choice.ended
        for part, chunk in zip(choice.parts, (OutputChunk("first", ended=STOP), second), strict=True):
            choice.take(part, chunk)
        assert choice.ended
        assert choice.choose(engine).text in wanted
    limited = candidate_requests(replace(asked(engine, None), deadline=time.monotonic() + 100))
    assert limited[0].deadline is not None
    assert all(part.deadline is not None and 20 < limited[0].deadline - part.deadline < 40 for part in limited[1:])


def test_what_is_cancelled_or_closed_leaves_nothing(engine: Engine) -> None:
    long = SAMPLING.model_copy(update={"max_new_tokens": 1000})
    before, scheduler = engine.cache.available, Scheduler(engine)
    for steps in (0, 3):
        request = asked(engine, None, long)
        scheduler.submit(request)
        for _ in range(steps):
            scheduler.step()
        scheduler.cancel(request)
        while scheduler.busy:
            assert request not in [reported for reported, _ in scheduler.step()]
        assert engine.cache.available == before
    stream = scheduler.stream(replace(asked(engine, None, long), deadline=time.monotonic() + 0.1))
    next(stream)
    stream.close()
    scheduler.submit(asked(engine, None, long))
    scheduler.step()
    scheduler.close()
    assert not scheduler.busy
    assert engine.cache.available == before


def test_choices_wait_for_a_window_and_nobody_starves(folder: Path, memory: CorpusMemory) -> None:
    small = load_engine(folder, cache_bytes=0)  # one window
    requests = [asked(small, memory, before=before) for before in (BEFORE, b"import os\n")]
    scheduler, found = Scheduler(small), []
    for request in requests:
        scheduler.submit(request)
        scheduler.submit(Request([BOS, *b"x"], SAMPLING, memory))
    while scheduler.busy:
        found += [request for request, chunk in scheduler.step() if chunk.ended]
    assert len(found) == 4
