"""Train a model on a repository, know how good it is on files it never read, and let it complete.

    python examples/train_on_a_repository.py ~/src/project checkpoints/project --minutes 3

What `axl train` does, in the library's own words: read and split, choose a size for the minutes, train, measure, write.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from multiscale_transformer.data.corpus import load_corpus
from multiscale_transformer.engine.infill import continue_text
from multiscale_transformer.engine.session import open_session
from multiscale_transformer.machine import available_cores
from multiscale_transformer.memory.lookup import memory_of
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.training.held_out import measure_run
from multiscale_transformer.training.run import RunRequest, train_run
from multiscale_transformer.training.settings import TrainSettings
from multiscale_transformer.training.suggest import suggest_size


def main(repository: str, out: Path, minutes: float) -> None:
    """Train, measure and complete."""
    corpus = load_corpus([repository])
    print(f"{len(corpus.train)} files to learn from, {len(corpus.held_out)} held out")
    recipe = suggest_size(minutes, available_cores())  # a flat stack that looks up in an index of the training files
    settings = TrainSettings(minutes=minutes, optimizer="muon", threads=available_cores())
    train_run(RunRequest(recipe.name, recipe.model, settings, corpus.sources, out), corpus)

    held_out = measure_run(out, corpus).held_out
    assert held_out is not None
    print(f"{held_out.bits_per_byte:.3f} bits per byte on the files held out (xz {held_out.xz:.3f})")

    session = open_session(out, memory_of(out, recipe.model.memory, None))
    cursor = continue_text(b"def main(", recipe.model.max_seq_len)
    print("def main(" + "".join(session.stream(cursor, Sampling(max_new_tokens=60, temperature=0.0))))


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("repository")
    options.add_argument("out", type=Path)
    options.add_argument("--minutes", type=float, default=3.0)
    main(**vars(options.parse_args()))
