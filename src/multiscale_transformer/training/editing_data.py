"""Where `axl eval lines` completes: files that neither training nor index has read, and the index of those beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from multiscale_transformer.data.corpus import load_corpus
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.memory.index import MEMORY_FOLDER
from multiscale_transformer.memory.lookup import CorpusMemory, open_memory
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.training.held_out import run_corpus

HOLD_OUT_EVERY = 4  # of a project: few files are a poor sample, and the others still are most of it


def editing_data(
    checkpoint: Path, data: Sequence[str] | None, folders: Sequence[Path] | None
) -> tuple[Documents, CorpusMemory | None, str]:
    """Files to complete in, what is looked up in (None for a model without a memory), and what both are in words.

    Of a project (`data`) the files that are not held out become an index, beside those in `folders`. Without one the files are
    those that the run held out, and the index is the checkpoint's own, or those of `folders` where they are given.
    Raises AxlError when the run's data changed since or a project has too few files.
    """
    if data:
        corpus = load_corpus(data, hold_out_every=HOLD_OUT_EVERY)
        shards = [build_shard(corpus.train.documents())[0]]
        what = f"{len(corpus.held_out)} files of {', '.join(data)}, the other {len(corpus.train)} indexed"
    else:
        corpus, shards = run_corpus(checkpoint), []
        what = f"{len(corpus.held_out)} files held out by the run"
        folders = [checkpoint / MEMORY_FOLDER] if folders is None else folders
    if not read_config(checkpoint).memory:
        return corpus.held_out, None, what
    return corpus.held_out, open_memory(folders or (), beside=shards) if folders or shards else None, what
