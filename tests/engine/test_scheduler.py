"""Continuous batching: drafts, neighbours, cancelling and joining change nothing that is written."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multiscale_transformer.engine.detokenizer import stream_text
from multiscale_transformer.engine.engine import Engine
from multiscale_transformer.engine.scheduler import CANCELLED, LENGTH, STOP, OutputChunk, Request, Scheduler
from multiscale_transformer.engine.stop_rules import StopRules
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.model.vocabulary import BOS, EOS
from tiny import corpus_memory

NO_END = {EOS: -100.0}
PROMPTS = [[BOS, *text] for text in (b"def area(", b"class Circle:\n    pa", b"import os\n" * 15, b"x")]


@pytest.fixture(scope="module")
def memory() -> CorpusMemory:
    return corpus_memory()


def written(pieces: list[OutputChunk]) -> list[int]:
    return [drawn.id for piece in pieces for drawn in piece.drawn]


def alone(engine: Engine, request: Request) -> list[int]:
    return written(list(Scheduler(engine).stream(request)))


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_drafts_change_nothing(engine: Engine, memory: CorpusMemory, prompt: list[int], temperature: float) -> None:
    sampling = Sampling(temperature=temperature, max_new_tokens=60, seed=7)
    with_drafts, without = (alone(engine, Request(prompt, sampling, memory, draft=draft)) for draft in (True, False))
    assert with_drafts == without
    assert len(without) == 60 or without[-1] == EOS


def test_drafts_save_steps_where_the_memory_knows(engine: Engine, memory: CorpusMemory) -> None:
    """A bias makes this random net write what the memory knows, so that drafts are accepted."""
    known = b"class Circle:\n    pass\n" * 4
    sampling = Sampling(temperature=0.0, max_new_tokens=24, logit_bias={known[0]: 100.0})
    prompt = [BOS, *known[:1] * 40]
    chunks = {draft: list(Scheduler(engine).stream(Request(prompt, sampling, memory, draft=draft))) for draft in (True, False)}
    assert written(chunks[True]) == written(chunks[False])
    assert len(chunks[False]) == 24  # a step for each byte
    assert len(chunks[True]) < 24


def test_the_engine_writes_what_the_reference_writes(folder: Path, engine: Engine, memory: CorpusMemory) -> None:
    sampling = Sampling(temperature=0.0, max_new_tokens=40)
    text = "".join(piece.text for piece in Scheduler(engine).stream(Request(PROMPTS[0], sampling, memory)))
    assert text[:20] == "".join(stream_text(load_model(folder), PROMPTS[0], sampling, memory))[:20]


def test_a_text_longer_than_the_context_goes_on_as_in_the_reference(folder: Path, engine: Engine) -> None:
    sampling = Sampling(temperature=0.0, max_new_tokens=300)
    text = "".join(piece.text for piece in Scheduler(engine).stream(Request(PROMPTS[2], sampling)))
    assert text == "".join(stream_text(load_model(folder), PROMPTS[2], sampling))


def test_a_prompt_longer_than_the_context_is_read_from_its_end(folder: Path, engine: Engine, memory: CorpusMemory) -> None:
    prompt = [BOS, *(b"value = other.value\n" * 40)]
    sampling = Sampling(temperature=0.0, max_new_tokens=20)
    text = "".join(piece.text for piece in Scheduler(engine).stream(Request(prompt, sampling, memory)))
    assert text == "".join(stream_text(load_model(folder), prompt, sampling, memory))


def test_what_rules_leave_nothing_of_is_written_once_more(folder: Path, engine: Engine) -> None:
    known = ord("a")
    sampling = Sampling(temperature=0.0, max_new_tokens=20, logit_bias={known: 100.0})
    rules = StopRules(rest=b"aaaa")
    chunks = list(Scheduler(engine).stream(Request(PROMPTS[0], sampling, rules=rules)))
    text = "".join(piece.text for piece in chunks)
    assert len(text) == 1
    assert text != "a"
    assert chunks[-1].ended == STOP
    assert text == "".join(stream_text(load_model(folder), PROMPTS[0], sampling, rules=rules))


def test_where_the_model_wants_nothing_nothing_is_written(folder: Path, engine: Engine) -> None:
    sampling, rules = Sampling(temperature=0.0, logit_bias={EOS: 100.0}), StopRules(rest=b"aaaa")
    chunks = list(Scheduler(engine).stream(Request(PROMPTS[0], sampling, rules=rules)))
    assert [(piece.text, len(piece.drawn), piece.ended) for piece in chunks] == [("", 1, STOP)]
    assert list(stream_text(load_model(folder), PROMPTS[0], sampling, rules=rules)) == []


requests = st.lists(
    st.tuples(
        st.integers(0, 3),  # prompt
        st.integers(0, 5),  # step at which it joins
        st.integers(0, 40),  # bytes to write
        st.sampled_from([0.0, 0.7, 1.5]),
        st.integers(0, 3),  # seed
        st.booleans(),  # memory
        st.none() | st.integers(0, 12),  # step at which it is cancelled
    ),
    min_size=1,
    max_size=7,
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests)
def test_requests_that_join_leave_and_are_cancelled_change_no_other(engine: Engine, memory: CorpusMemory, plan: list) -> None:
    made = [
        (Request(PROMPTS[p], Sampling(temperature=t, max_new_tokens=n, seed=seed), memory if m else None), joins, leaves)
        for p, joins, n, t, seed, m, leaves in plan
    ]
    batcher, out, ended = Scheduler(engine), {request: [] for request, _, _ in made}, {}
    for step in range(400):
        for request, joins, leaves in made:
            if step == joins:
                batcher.submit(request)
            if leaves is not None and step == joins + leaves:
                batcher.cancel(request)
        for request, piece in batcher.step():
            out[request] += written([piece])
            if piece.ended:
                ended[request] = piece.ended
        if not batcher.busy and step > 20:
            break
    for request, _, leaves in made:
        expected = alone(engine, request)
        if ended.get(request) in (CANCELLED, None):
            assert leaves is not None
            assert out[request] == expected[: len(out[request])]
        else:
            assert out[request] == expected
    assert not batcher.busy


def test_stop_strings_end_a_request_and_are_not_shown(engine: Engine) -> None:
    request = Request(PROMPTS[3], Sampling(temperature=1.0, max_new_tokens=200, seed=3, logit_bias=NO_END))
    text = bytes(alone(engine, request))
    stop = text[20:22]
    pieces = list(
        Scheduler(engine).stream(
            Request(PROMPTS[3], Sampling(temperature=1.0, max_new_tokens=200, seed=3, stop=(stop,), logit_bias=NO_END))
        )
    )
    first = text.find(stop)
    assert pieces[-1].ended == STOP
    assert "".join(piece.text for piece in pieces) == text[:first].decode("utf-8", "replace")


def test_a_deadline_ends_a_request_with_what_there_is(engine: Engine) -> None:
    request = Request(PROMPTS[0], Sampling(max_new_tokens=10_000, seed=0, logit_bias=NO_END), deadline=time.monotonic() + 0.2)
    pieces = list(Scheduler(engine).stream(request))
    assert pieces[-1].ended == LENGTH
    assert 0 < len(written(pieces)) < 10_000


def test_nothing_to_write_and_nothing_to_read(engine: Engine) -> None:
    assert [piece.ended for piece in Scheduler(engine).stream(Request(PROMPTS[0], Sampling(max_new_tokens=0)))] == [LENGTH]
    with pytest.raises(AxlError, match="empty"):
        Scheduler(engine).submit(Request([], Sampling()))


def test_a_closed_stream_gives_its_pages_back(engine: Engine) -> None:
    before, batcher = engine.cache.available, Scheduler(engine)
    stream = batcher.stream(Request(PROMPTS[1], Sampling(max_new_tokens=1000, seed=0, logit_bias=NO_END)))
    next(stream)
    assert engine.cache.available < before
    stream.close()
    assert engine.cache.available == before
    assert not batcher.busy


def test_a_warm_prefix_is_not_read_again(engine: Engine) -> None:
    prompt = [BOS, *np.random.default_rng(5).integers(97, 123, 180).tolist()]
    batcher, steps = Scheduler(engine), []
    for _ in range(2):
        batcher.submit(Request(prompt, Sampling(max_new_tokens=2, temperature=0.0)))
        count = 0
        while batcher.busy:
            batcher.step()
            count += 1
        steps.append(count)
    assert steps[1] < steps[0]
