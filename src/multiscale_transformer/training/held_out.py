"""The figure of a run: bits per byte on the files it held out, beside compressors on the same files.

A checkpoint remembers where its data came from and the hash of the whole corpus, so that `axl eval bpb` can load the same
held-out files again, and refuses to call other files by that name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from multiscale_transformer.data.corpus import Corpus, load_corpus, load_documents
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.selection import Selection
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.bits_per_byte import Score, score_documents
from multiscale_transformer.evaluation.compression_baselines import compression_figures, has_zpaq
from multiscale_transformer.memory.lookup import CorpusMemory, memory_of
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.folder import TRAINING_FILE
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.machine import CPU, compute_dtype
from multiscale_transformer.training.model_card import write_model_card
from multiscale_transformer.zoo.training_record import FinishedRecord, HeldOutRecord, read_training, write_training


def measure_run(
    folder: Path,
    corpus: Corpus,
    *,
    device: torch.device = CPU,
    primed: bool = False,
    on_bytes: Callable[[int], None] | None = None,
) -> FinishedRecord:
    """Score the checkpoint in `folder` and the compressors on `corpus.held_out`; write both into `training.json`, and the card.

    Returns what `training.json` holds then. The model computes on `device`. `primed` adds PPMd primed with the training files,
    which takes a while.
    Raises AxlError when `corpus` is not what the run was trained on.
    """
    record = read_training(folder)
    _check_same(folder, record, corpus)
    model = load_model(folder).to(device)
    score = _score(model, corpus.held_out, None, run_memory(folder, model), on_bytes)
    record.held_out = HeldOutRecord(
        bits_per_byte=score.bits_per_byte,
        bytes=score.bytes,
        **compression_figures(corpus.train if primed else None, corpus.held_out),
    )
    write_training(folder, record)
    write_model_card(folder, record)
    return record


def evaluate_bpb(
    folder: Path,
    data: Sequence[str] | None,
    *,
    context: int | None = None,
    memory: Sequence[Path] | None = None,
    with_baselines: bool = False,
    on_bytes: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Bits per byte of the checkpoint on `data`, or on its own held-out files; figures by name.

    It looks up in the indexes of `memory`, in none if that is empty, or in its own if it is None. `on_bytes` is told after each
    batch how many bytes are scored, and of how many.
    Raises AxlError when the run's data changed since.
    """
    model, train = load_model(folder), None
    if data:
        documents, what = load_documents(data), f"of {', '.join(data)}"
    else:
        corpus = run_corpus(folder)
        train, documents, what = corpus.train, corpus.held_out, "held out by the run"
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if on_bytes is not None:
            on_bytes(done, documents.nbytes)

    score = _score(model, documents, context, run_memory(folder, model, memory), advance)
    return {
        "bits_per_byte": score.bits_per_byte,
        "bytes": score.bytes,
        "documents": len(documents),
        "data": what,
        "context": context or model.config.max_seq_len,
        **(compression_figures(train, documents, zpaq=has_zpaq()) if with_baselines else {}),
    }


def run_memory(folder: Path, model: MultiScaleTransformer, indexes: Sequence[Path] | None = None) -> CorpusMemory | None:
    """What `model` of the checkpoint in `folder` looks up in, on all threads: see `memory_of`."""
    return memory_of(folder, model.config.memory, indexes, threads=torch.get_num_threads())


def needs_measuring(folder: Path) -> bool:
    """Whether the run in `folder` ended and only its figure is missing."""
    return (folder / TRAINING_FILE).is_file() and read_training(folder).held_out is None


def run_data(folder: Path) -> tuple[list[str], Selection]:
    """The paths that the run in `folder` was trained on, and what it included and excluded of them.

    Raises AxlError when the run is not finished or damaged.
    """
    data = read_training(folder).data
    return data.sources, Selection.from_json(data.selection or {})


def run_corpus(folder: Path) -> Corpus:
    """The corpus that the run in `folder` was trained on, read again. Raises AxlError when it has changed since."""
    paths, selection = run_data(folder)
    corpus = load_corpus(paths, selection=selection, without=[folder])
    _check_same(folder, read_training(folder), corpus)
    return corpus


def _check_same(folder: Path, record: FinishedRecord, corpus: Corpus) -> None:
    if corpus.sha256 != record.data.sha256:
        raise AxlError(f"the files that {folder} was trained from have changed; name what to score with --data")


def _score(
    model: MultiScaleTransformer,
    documents: Documents,
    context: int | None,
    memory: CorpusMemory | None,
    on_bytes: Callable[[int], None] | None,
) -> Score:
    model.compute_dtype = compute_dtype(torch.get_num_threads(), model.device)
    return score_documents(model, documents, context=context, memory=memory, on_bytes=on_bytes)
