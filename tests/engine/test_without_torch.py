"""Completing with a memory needs no PyTorch: with its import blocked the engine, the scheduler and look-ups work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
sys.modules["torch"] = None  # any import of it fails

from pathlib import Path
from multiscale_transformer.engine import (
    compiled_model, decoding, detokenizer, engine, infill, kv_cache, prompt_scoring, scheduler, self_test, speculative,
    stop_rules, structured_output, thread_choice, warm_up, weights,
)
from multiscale_transformer.kernels import memory_features
from multiscale_transformer.memory import document, index, lookup, provenance, reader, selection, shard, update
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.quantization import engine_file, quantize, tuning
from multiscale_transformer.zoo.shipped import shipped_model
SHIPPED_FOLDER = shipped_model()

loaded = engine.load_engine(SHIPPED_FOLDER, cache_bytes=1 << 26)
self_test.user_cache_path = lambda *_, **__: Path(sys.argv[1])
print(self_test.check(loaded, SHIPPED_FOLDER))
memory = lookup.CorpusMemory([shard.build_shard([("a.py", b"def area(side):\\n    return side * side\\n")])[0]])
request = scheduler.Request([256, *b"def area(side):\\n    return "], Sampling(max_new_tokens=8, temperature=0.0), memory)
print(repr("".join(chunk.text for chunk in scheduler.Scheduler(loaded).stream(request))))
"""


def test_the_shipped_model_completes_and_says_that_it_was_not_compared(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env=environment,
        text=True,
        capture_output=True,
        timeout=500,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    note, text = done.stdout.splitlines()
    assert "not compared with the reference" in note
    assert "side" in text
