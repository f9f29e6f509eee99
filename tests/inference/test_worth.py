"""What a memory saves at each byte: the engine and the reference agree, and it adds up to the difference of two scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.test_engine import SHAPES, TEXT, checkpoint
from multiscale_transformer.inference.batching import Batcher
from multiscale_transformer.inference.engine import load_engine
from multiscale_transformer.inference.scoring import score_documents
from multiscale_transformer.inference.worth import engine_costs, reference_costs, worth
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.shard import build_shard


def test_both_ways_agree_with_the_scores(tmp_path: Path) -> None:
    model = checkpoint(SHAPES["memory"], tmp_path)
    memory = CorpusMemory([build_shard([("a.py", bytes(TEXT[1:150]))])[0]])
    ids, count = TEXT[:200], 60
    by_engine = worth(engine_costs(Batcher(load_engine(tmp_path, bits=8))), ids, memory, count)
    by_reference = worth(reference_costs(model), ids, memory, count)
    assert len(by_engine) == len(by_reference) == count
    np.testing.assert_allclose(by_engine, by_reference, atol=0.25)
    document = [("t", bytes(ids[1:]))]
    alone, together = (score_documents(model, document, memory=one).bits for one in (None, memory))
    whole = worth(reference_costs(model), ids, memory, len(ids) - 1)
    assert whole.sum() == pytest.approx(alone - together, rel=1e-3, abs=1e-2)
    assert len(worth(reference_costs(model), ids, memory, 0)) == 0


def test_a_text_longer_than_the_context(tmp_path: Path) -> None:
    model = checkpoint(SHAPES["memory"], tmp_path)
    memory = CorpusMemory([build_shard([("a.py", bytes(TEXT[1:150]))])[0]])
    ids = (TEXT + TEXT[1:])[:400]
    assert len(ids) > model.config.max_seq_len
    for costs in (reference_costs(model), engine_costs(Batcher(load_engine(tmp_path, bits=8)))):
        saved = worth(costs, ids, memory, 50)
        assert saved.shape == (50,)
        assert np.isfinite(saved).all()
