"""Continuations that are scored behind one text get what a request to score the whole text gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiscale_transformer.engine.continuations import log_probabilities
from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.engine.prompt_scoring import ScoreRequest
from multiscale_transformer.engine.scheduler import Scheduler
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.shard import build_shard
from tiny import SHAPES, TEXT, checkpoint

CONTINUATIONS = [b"", b"x", b"    return radius\n" * 5, b"    return radius * 2", b"x"]


@pytest.mark.parametrize("shape", ["memory", "words", "convolution"])
@pytest.mark.parametrize("length", [1, 63, 64, 100])
def test_they_get_what_scoring_the_whole_gives(shape: str, length: int, tmp_path: Path) -> None:
    checkpoint(SHAPES[shape], tmp_path)
    engine, prompt = load_engine(tmp_path), TEXT[:length]
    memory = CorpusMemory([build_shard([("a.py", b"def area(radius):\n    return 3 * radius * radius\n" * 4)])[0]])
    for _ in range(2):  # once more from the prefix cache
        found = log_probabilities(engine, prompt, [list(text) for text in CONTINUATIONS], memory)
        for text, total in zip(CONTINUATIONS, found, strict=True):
            request = ScoreRequest([*prompt, *text], memory, top=0)
            scheduler = Scheduler(engine)
            scheduler.submit(request)
            while scheduler.busy:
                scheduler.step()
            expected = sum(token.logprob for token in request.costs[len(prompt) - 1 :])
            assert total == pytest.approx(expected, abs=1e-3)
    assert engine.cache.available == len(engine.cache.pages.kv)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    checkpoint(SHAPES["flat"], tmp_path)
    engine = load_engine(tmp_path)
    for prompt, text in (([], b"x"), (TEXT[:200], b"x" * 60)):
        with pytest.raises(AxlError, match="1 to 256 ids"):
            log_probabilities(engine, prompt, [list(text)])
