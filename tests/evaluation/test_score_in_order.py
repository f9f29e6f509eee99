"""Documents that are read in order: each draws on those before it and on the memory, none on itself or on later ones."""

from __future__ import annotations

import pytest

from benchmarks.memory import score_in_order
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.shard import build_shard
from tiny import SHAPES, corpus_memory, model_of, words

FIRST, SECOND, THIRD = (("a.py", words(20, 1)), ("b.py", words(20, 2)), ("c.py", words(20, 1)))


def bits(documents: list[tuple[str, bytes]], before: list[tuple[str, bytes]]) -> float:
    memory = corpus_memory()
    shards = [*memory.shards, build_shard(before)[0]] if before else memory.shards
    return score_documents(model_of(SHAPES["memory"]).eval(), documents, memory=CorpusMemory(shards)).bits


def test_each_document_is_scored_with_those_before_it_indexed() -> None:
    shuffled = Documents.from_items([SECOND, THIRD, FIRST])
    wanted = bits([FIRST], []) + bits([SECOND], [FIRST]) + bits([THIRD], [FIRST, SECOND])
    scored = score_in_order(model_of(SHAPES["memory"]).eval(), shuffled, corpus_memory())
    assert scored == pytest.approx(wanted / shuffled.nbytes)


def test_a_repeated_document_costs_less_than_the_first() -> None:
    """A fresh fusion believes what was seen before, so the order shows."""
    repeated = score_in_order(model_of(SHAPES["memory"]).eval(), Documents.from_items([FIRST, THIRD]), corpus_memory())
    assert repeated < bits([FIRST], []) / len(FIRST[1])
