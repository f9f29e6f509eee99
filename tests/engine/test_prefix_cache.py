"""A page of the prefix cache outlives a memory that changed elsewhere, and none that says something else there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.engine.engine import Engine, Read, load_engine
from multiscale_transformer.engine.scheduler import Request, Scheduler
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.reader import no_features
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.model.vocabulary import BOS
from tiny import words

KNOWN, OTHER = words(400, 1), b"\x01\x02\x03 nothing of this stands anywhere else \x04\x05"
SAMPLING = Sampling(temperature=0.8, max_new_tokens=12, seed=3)
PAGES = 3


def memory_of(*texts: bytes) -> CorpusMemory:
    return CorpusMemory([build_shard(Documents.from_items([(str(n), text)]))[0] for n, text in enumerate(texts)])


def written(engine: Engine, prompt: list[int], memory: CorpusMemory) -> tuple[list[int], int]:
    """What is written, and how many ids of the prompt were read for it."""
    scheduler, rows = Scheduler(engine), []
    forward = engine._forward

    def counting(batch: object, logits: object) -> None:
        rows.append(len(batch.rows_R))  # type: ignore[attr-defined]
        forward(batch, logits)  # type: ignore[arg-type]

    engine._forward = counting  # type: ignore[method-assign]
    try:
        chunks = list(scheduler.stream(Request(prompt, SAMPLING, memory, draft=False)))
    finally:
        engine._forward = forward  # type: ignore[method-assign]
    return [drawn.id for chunk in chunks for drawn in chunk.drawn], sum(rows) - SAMPLING.max_new_tokens + 1


def prompt_of(engine: Engine, text: bytes = KNOWN) -> list[int]:
    return [BOS, *text[: PAGES * engine.cache.page + 10]]


def test_a_document_that_changed_elsewhere_costs_no_page(folder: Path, engine: Engine) -> None:
    prompt = prompt_of(engine)
    before, after = memory_of(KNOWN), memory_of(KNOWN, OTHER)
    _, first = written(engine, prompt, before)
    assert first == len(prompt)
    text, read = written(engine, prompt, after)
    assert read == len(prompt) - PAGES * engine.cache.page
    assert text == written(load_engine(folder), prompt, after)[0], "as if nothing had been there"
    assert written(engine, prompt, after)[1] == read, "found by its ids from now on"


def test_a_page_of_which_the_memory_says_something_else_is_read_again(folder: Path, engine: Engine) -> None:
    page = engine.cache.page
    text = KNOWN[: page + 20] + words(200, 2)  # a memory of the whole differs from one of the beginning in the second page
    prompt = prompt_of(engine, text)
    written(engine, prompt, memory_of(text[: page + 10]))
    whole = memory_of(text[: page + 10], text)
    found, read = written(engine, prompt, whole)
    assert len(prompt) - PAGES * page < read <= len(prompt)
    assert found == written(load_engine(folder), prompt, whole)[0]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 250)), min_size=2, max_size=6))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_read_before_the_bits_are_those_of_a_fresh_engine(
    folder: Path, engine: Engine, asked: list[tuple[int, int]]
) -> None:
    memories = [memory_of(KNOWN), memory_of(KNOWN, OTHER), memory_of(words(300, 5)), memory_of(KNOWN[:300], words(300, 5))]
    for which, length in asked:
        prompt = [BOS, *KNOWN[:length]]
        assert written(engine, prompt, memories[which])[0] == written(load_engine(folder), prompt, memories[which])[0]


def test_texts_that_were_read_at_once_end_in_the_same_pages(engine: Engine) -> None:
    page = engine.cache.page
    ids, before = prompt_of(engine, words(400, 9)), engine.cache.available
    texts = [engine.new_sequence(ids, root) for root in ("one memory", "another")]
    for begin in range(0, 2 * page, page // 2):
        part = ids[begin : begin + page // 2]
        engine.read([Read(text, part, no_features(len(part))) for text in texts])
    for text in texts:
        text.commit()
    assert texts[0].pages == texts[1].pages
    assert [engine.new_sequence(ids, root).length for root in ("one memory", "another")] == [0, 2 * page]
    for text in texts:
        text.close()
    assert before - engine.cache.available <= 2  # those of the sequence that was found at last


def test_old_memories_are_not_held_on_to(engine: Engine) -> None:
    import gc
    import weakref

    memory = memory_of(KNOWN)
    written(engine, prompt_of(engine), memory)
    gone = weakref.ref(memory)
    del memory
    gc.collect()
    assert gone() is None


def test_a_page_has_one_key_however_many_memories_come(engine: Engine) -> None:
    for number in range(4):
        written(engine, prompt_of(engine), memory_of(KNOWN, OTHER * (number + 1)))
    cache = engine.cache
    assert len(cache._page_of_key) == len(cache._key_of_page) <= len(cache._content_of_page)
    assert all(cache._page_of_key[key] == page for page, key in cache._key_of_page.items())
    assert np.all(cache._users >= 0)
