"""One net, several memories: how many bits an index of a project saves the model in the package, which never read it.

    python examples/swap_memories.py ~/src/project

Every fourth file is put aside. The others are indexed, which takes seconds and trains nothing, and the files put aside are
scored with the net alone and with that index.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from multiscale_transformer.data.corpus import load_corpus
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.memory.index import build_index
from multiscale_transformer.memory.lookup import open_memory
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.zoo.shipped import shipped_model


def main(project: str) -> None:
    """Score twice."""
    corpus = load_corpus([project], hold_out_every=4)
    model = load_model(shipped_model()).eval()
    with tempfile.TemporaryDirectory() as folder:
        build_index(Path(folder) / "index", corpus.train)
        memory = open_memory([Path(folder) / "index"])
        alone = score_documents(model, corpus.held_out).bits_per_byte
        with_index = score_documents(model, corpus.held_out, memory=memory).bits_per_byte
    print(f"{len(corpus.train)} files indexed, {len(corpus.held_out)} scored")
    print(f"{alone:.3f} bits per byte without a memory, {with_index:.3f} with the project's index")


if __name__ == "__main__":
    main(sys.argv[1])
