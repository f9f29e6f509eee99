"""The model in the package, measured: what an index is worth to weights that stay as they are.

On the Python library: an index of its training files, files held out. On a project that neither training nor index has seen:
the same weights without an index, with one of the project's other files, and beside them models that are trained on those files
alone. All on the same held-out files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.contest import Contender
from benchmarks.memory import score_in_order, unseen_packages, unseen_peers
from multiscale_transformer.data.corpus import Corpus
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.evaluation.compression_baselines import peers
from multiscale_transformer.evaluation.lines import draw_lines, score_lines
from multiscale_transformer.memory.index import build_index
from multiscale_transformer.memory.lookup import CorpusMemory, open_memory
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.machine import compute_dtype
from multiscale_transformer.training.run import RunRequest, train_run

LINES = 200


def measure_library(checkpoint: Path, corpus: Corpus, untrained: Documents) -> dict[str, Any]:
    """Bits per byte and next lines on those files of `corpus.held_out` that are in `untrained`, with an index and without.

    `untrained` are files that the training of the checkpoint held out too: of the others it may have read a near-copy.
    """
    model = _load(checkpoint)
    held_out = _common(corpus.held_out, untrained)
    drawn = draw_lines(held_out, LINES)
    with _index(corpus.train) as folder:
        memory = open_memory([folder], threads=torch.get_num_threads())
        found = {name: _score(model, held_out, known, drawn) for name, known in (("with", memory), ("without", None))}
        packages = unseen_packages()
        unseen = {
            name: {
                "alone": score_documents(model, documents, memory=memory).bits_per_byte,
                "in_order": score_in_order(model, documents, memory),
            }
            for name, documents in packages.items()
        }
    return {
        "parameters": model.config.parameters(),
        "held_out_bytes": held_out.nbytes,
        "library": found,
        "peers": peers(corpus.train, held_out),
        "unseen": unseen,
        "unseen_peers": unseen_peers(corpus.train, packages),
    }


def measure_swap(checkpoint: Path, library: Corpus, project: Corpus, rivals: Sequence[Contender]) -> dict[str, Any]:
    """Bits per byte on `project.held_out`: the weights with other indexes, and `rivals` trained on `project.train` alone."""
    model, threads = _load(checkpoint), torch.get_num_threads()
    with _index(library.train) as of_library, _index(project.train) as of_project:
        memories = {
            "no index": None,
            "index of the library": [of_library],
            "index of the project": [of_project],
            "index of both": [of_library, of_project],
        }
        weights = {
            name: score_documents(
                model, project.held_out, memory=None if folders is None else open_memory(folders, threads=threads)
            ).bits_per_byte
            for name, folders in memories.items()
        }
    return {
        "weights": weights,
        "trained": [_trained(rival, project) for rival in rivals],
        "peers": peers(project.train, project.held_out),
        "train_bytes": project.train.nbytes,
        "held_out_bytes": project.held_out.nbytes,
    }


def _trained(rival: Contender, project: Corpus) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        train_run(RunRequest(rival.name, rival.config, rival.settings, project.sources, folder), project)
        memory = open_memory([folder / "memory"], threads=rival.settings.threads) if rival.config.memory else None
        score = score_documents(_load(folder), project.held_out, memory=memory)
    return {
        "name": rival.name,
        "seed": rival.settings.seed,
        "minutes": rival.settings.minutes,
        "bits_per_byte": score.bits_per_byte,
    }


def seeded(contender: Contender, seeds: int) -> list[Contender]:
    """The same contender once for each seed."""
    return [replace(contender, settings=contender.settings.model_copy(update={"seed": seed})) for seed in range(seeds)]


def _score(model: MultiScaleTransformer, held_out: Documents, memory: CorpusMemory | None, drawn: Any) -> dict[str, float]:
    lines = score_lines(model, drawn, memory)
    return {
        "bits_per_byte": score_documents(model, held_out, memory=memory).bits_per_byte,
        "lines_exact": lines.exact,
        "lines_similarity": lines.similarity,
    }


def _load(checkpoint: Path) -> MultiScaleTransformer:
    model = load_model(checkpoint)
    model.compute_dtype = compute_dtype(torch.get_num_threads())
    return model


@contextmanager
def _index(documents: Documents) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "index"
        build_index(folder, documents)
        yield folder


def _common(documents: Documents, others: Documents) -> Documents:
    known = set(others)
    return documents.subset([number for number, item in enumerate(documents) if item in known])
