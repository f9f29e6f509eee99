"""A shape of your own: rows at word ends between two byte layers, trained beside a flat stack for the same time.

    python examples/custom_model.py ~/src/project --minutes 3

A `ModelConfig` is all that a model is. It counts its own cost before anything is built; `axl train --config FILE.yaml` takes
the same fields.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from multiscale_transformer.data.corpus import load_corpus
from multiscale_transformer.machine import available_cores
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.training.held_out import measure_run
from multiscale_transformer.training.run import RunRequest, train_run
from multiscale_transformer.training.settings import TrainSettings

FLAT = ModelConfig(d_model=128, n_heads=2, d_ff=352, n_layers_per_scale=3, downsample_factors=(1,), conv_taps=7)
WORDS = FLAT.model_copy(update={"n_layers_per_scale": 2, "word_layers": 4})


def main(project: str, minutes: float) -> None:
    """Train both and compare."""
    corpus = load_corpus([project])
    settings = TrainSettings(minutes=minutes, optimizer="muon", threads=available_cores())
    with tempfile.TemporaryDirectory() as folder:
        for name, config in (("flat", FLAT), ("words", WORDS)):
            print(f"{name}: {config.parameters():,} parameters, {config.flops_per_byte():,} FLOPs a byte")
            out = Path(folder) / name
            train_run(RunRequest(name, config, settings, corpus.sources, out), corpus)
            record = measure_run(out, corpus)
            assert record.held_out is not None
            print(f"{name}: {record.held_out.bits_per_byte:.3f} bits per byte after {record.steps} steps")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("project")
    options.add_argument("--minutes", type=float, default=3.0)
    main(**vars(options.parse_args()))
