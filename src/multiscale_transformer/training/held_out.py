"""The figure of a run: bits per byte on the files it held out, beside compressors on the same files.

A checkpoint remembers where its data came from and the hash of the whole corpus, so that `axl eval bpb` can load the same
held-out files again, and refuses to call other files by that name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from multiscale_transformer import files
from multiscale_transformer.data.corpus import Corpus, load_corpus, load_documents
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.selection import Selection
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.bits_per_byte import Score, score_documents
from multiscale_transformer.evaluation.compression_baselines import has_zpaq, peers
from multiscale_transformer.memory.lookup import CorpusMemory, memory_of
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.folder import TRAINING_FILE
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.machine import compute_dtype
from multiscale_transformer.training.model_card import write_card


def measure_run(
    folder: Path, corpus: Corpus, *, primed: bool = False, on_bytes: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Score the checkpoint in `folder` and the compressors on `corpus.held_out`; write both into `training.json`, and the card.

    Returns the content of `training.json`. `primed` adds PPMd primed with the training files, which takes a while.
    Raises AxlError when `corpus` is not what the run was trained on.
    """
    facts = read_training(folder)
    _check_same(folder, facts, corpus)
    model = load_model(folder)
    score = _score(model, corpus.held_out, None, run_memory(folder, model), on_bytes)
    facts["held_out"] = {
        "bits_per_byte": score.bits_per_byte,
        "bytes": score.bytes,
        **peers(corpus.train if primed else None, corpus.held_out),
    }
    files.write_json(folder / TRAINING_FILE, facts)
    write_card(folder, facts)
    return facts


def evaluate_bpb(
    folder: Path,
    data: Sequence[str] | None,
    *,
    context: int | None = None,
    memory: Sequence[Path] | None = None,
    with_peers: bool = False,
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
        corpus = load_corpus(run_sources(folder), selection=run_selection(folder), without=[folder])
        _check_same(folder, read_training(folder), corpus)
        train, documents, what = corpus.train, corpus.held_out, "held out by the run"
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if on_bytes is not None:
            on_bytes(done, documents.nbytes)

    known = run_memory(folder, model, memory)
    score = _score(model, documents, context, known, advance)
    return {
        "bits_per_byte": score.bits_per_byte,
        "bytes": score.bytes,
        "documents": len(documents),
        "data": what,
        "context": context or model.config.max_seq_len,
        **(peers(train, documents, zpaq=has_zpaq()) if with_peers else {}),
    }


def run_memory(folder: Path, model: MultiScaleTransformer, indexes: Sequence[Path] | None = None) -> CorpusMemory | None:
    """What `model` of the checkpoint in `folder` looks up in, on all threads: see `memory_of`."""
    return memory_of(folder, model.config.memory, indexes, threads=torch.get_num_threads())


def needs_measuring(folder: Path) -> bool:
    """Whether the run in `folder` ended and only its figure is missing."""
    return (folder / TRAINING_FILE).is_file() and "held_out" not in read_training(folder)


def run_sources(folder: Path) -> list[str]:
    """The paths that the run in `folder` was trained on. Raises AxlError when it is not finished or damaged."""
    return list(read_training(folder)["data"]["sources"])


def run_selection(folder: Path) -> Selection:
    """What the run in `folder` included and excluded of its sources. Raises AxlError as `run_sources` does."""
    return Selection.from_json(read_training(folder)["data"].get("selection", {}))


def read_training(folder: Path) -> dict[str, Any]:
    """`training.json` of a checkpoint. Raises AxlError when it is missing or damaged."""
    path = folder / TRAINING_FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AxlError(f"{folder} is not a finished run (no {TRAINING_FILE}); give the folder that axl train wrote") from error
    except (OSError, ValueError) as error:
        raise AxlError(f"{path} is damaged ({error}); restore it or train again") from error
    data = facts.get("data") if isinstance(facts, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("sources"), list) or "sha256" not in data:
        raise AxlError(f"{path} does not say what the run was trained on; restore it or train again")
    return facts  # type: ignore[no-any-return]


def _check_same(folder: Path, facts: dict[str, Any], corpus: Corpus) -> None:
    if corpus.sha256 != facts["data"]["sha256"]:
        raise AxlError(f"the files that {folder} was trained from have changed; name what to score with axl eval bpb --data")


def _score(
    model: MultiScaleTransformer,
    documents: Documents,
    context: int | None,
    memory: CorpusMemory | None,
    on_bytes: Callable[[int], None] | None,
) -> Score:
    model.compute_dtype = compute_dtype(torch.get_num_threads())
    return score_documents(model, documents, context=context, memory=memory, on_bytes=on_bytes)
