"""What a memory saves at each byte: the engine and the reference agree, and it adds up to the difference of two scores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.engine.scheduler import Scheduler
from multiscale_transformer.evaluation.attribution import bits_saved, engine_costs, reference_costs
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.shard import build_shard
from tiny import SHAPES, TEXT, checkpoint


def test_both_ways_agree_with_the_scores(tmp_path: Path) -> None:
    model = checkpoint(SHAPES["memory"], tmp_path)
    memory = CorpusMemory([build_shard([("a.py", bytes(TEXT[1:150]))])[0]])
    ids, count = TEXT[:200], 60
    by_engine = bits_saved(engine_costs(Scheduler(load_engine(tmp_path, bits=8))), ids, memory, count)
    by_reference = bits_saved(reference_costs(model), ids, memory, count)
    assert len(by_engine) == len(by_reference) == count
    np.testing.assert_allclose(by_engine, by_reference, atol=0.25)
    document = [("t", bytes(ids[1:]))]
    alone, together = (score_documents(model, document, memory=one).bits for one in (None, memory))
    whole = bits_saved(reference_costs(model), ids, memory, len(ids) - 1)
    assert whole.sum() == pytest.approx(alone - together, rel=1e-3, abs=1e-2)
    assert len(bits_saved(reference_costs(model), ids, memory, 0)) == 0


def test_a_text_longer_than_the_context(tmp_path: Path) -> None:
    model = checkpoint(SHAPES["memory"], tmp_path)
    memory = CorpusMemory([build_shard([("a.py", bytes(TEXT[1:150]))])[0]])
    ids = (TEXT + TEXT[1:])[:400]
    assert len(ids) > model.config.max_seq_len
    for costs in (reference_costs(model), engine_costs(Scheduler(load_engine(tmp_path, bits=8)))):
        saved = bits_saved(costs, ids, memory, 50)
        assert saved.shape == (50,)
        assert np.isfinite(saved).all()


def test_the_engine_needs_no_pytorch(tmp_path: Path) -> None:
    checkpoint(SHAPES["memory"], tmp_path)
    program = f"""
import sys
sys.modules["torch"] = None  # an import of it fails
from pathlib import Path
from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.engine.scheduler import Scheduler
from multiscale_transformer.evaluation.attribution import bits_saved, engine_costs
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.shard import build_shard
memory = CorpusMemory([build_shard([("a.py", bytes({TEXT[1:150]}))])[0]])
print(len(bits_saved(engine_costs(Scheduler(load_engine(Path({str(tmp_path)!r}), bits=8))), {TEXT[:200]}, memory, 60)))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert answer.stdout.strip() == "60", answer.stderr[-500:]
