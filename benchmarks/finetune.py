"""Fine-tuning the model in the package on a project, against its weights as they are and against training from nothing.

All look up in the same index, that of the project's training files, and are scored on the project's held-out files. What was
learned before must not be forgotten: the tuned weights are scored on the library's held-out files too, with its index.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer

from benchmarks.command import LIBRARY, Results, Seeds, main, results_file
from benchmarks.comparison import FLAT_WITH_MEMORY, corpus_of, loaded, settings_for
from benchmarks.memory import unseen_packages
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.options import Checkpoint, Minutes, Threads
from multiscale_transformer.data.corpus import Corpus, split
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.installed import UNSEEN_PROJECTS
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.evaluation.compression_baselines import LABELS, compression_figures
from multiscale_transformer.machine import available_cores
from multiscale_transformer.memory.index import MEMORY_FOLDER
from multiscale_transformer.memory.lookup import CorpusMemory, open_memory
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.training.run import RunRequest, train_run
from multiscale_transformer.training.settings import FINE_TUNING, TrainSettings, batch_for, stages_for
from multiscale_transformer.zoo.shipped import shipped_model
from multiscale_transformer.zoo.training_record import read_training

TUNED, FROM_NOTHING = "tuned", "from nothing"
HELD_OUT_EVERY = 12  # of a project
MAX_PROJECT, MAX_HELD_OUT = 2_000_000, 250_000  # bytes of a project that are trained on, and scored
OLD_BYTES = 4_000  # of each of the library's held-out files


class Weights(Row):
    """The weights as they are on a project, and compressors."""

    project: str
    train_bytes: int
    held_out_bytes: int
    bits_per_byte: float
    baselines: dict[str, float]


class Trained(Row):
    """One run on a project; `old` are bits per byte on the library's held-out files."""

    project: str
    name: Literal["tuned", "from nothing"]
    seed: int
    minutes: float
    bytes_read: int
    bits_per_byte: float
    old: float | None = None


class FinetuneResult(Result):
    """All projects: the weights as they are, and every run."""

    kind: Literal["finetune"] = "finetune"
    old: float
    weights: list[Weights]
    runs: list[Trained]


def run(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    minutes: Minutes = 3.0,
    seeds: Seeds = 3,
    threads: Threads = None,
    only: Annotated[str | None, typer.Option(metavar="NAME", help="One project alone.")] = None,
    results: Results = None,
) -> FinetuneResult:
    """The model in the package fine-tuned on unseen projects, over its weights as they are and over training from nothing."""
    threads, path = threads or available_cores(), results or results_file("finetune")
    torch.set_num_threads(threads)
    library = corpus_of(LIBRARY)
    old = _beginnings(library.held_out)
    old_memory = CorpusMemory([build_shard(library.train.documents())[0]], threads=threads)
    corpora = {name: project(name) for name in UNSEEN_PROJECTS.values() if only in (None, name)}
    if path.exists():
        result = FinetuneResult.read(path)
    else:
        weights = [_weights(model, name, corpus, threads) for name, corpus in corpora.items()]
        result = FinetuneResult(
            **origin("finetune", threads).model_dump(), old=_score(model, old, old_memory, threads), weights=weights, runs=[]
        )
    for seed in range(seeds):
        for name, corpus in corpora.items():
            for way in (TUNED, FROM_NOTHING):
                if any((run.project, run.name, run.seed, run.minutes) == (name, way, seed, minutes) for run in result.runs):
                    continue
                with tempfile.TemporaryDirectory() as scratch:
                    folder = Path(scratch) / "run"
                    read = _train(folder, way, model, name, corpus, _settings(way, model, corpus, minutes, threads, seed))
                    own = open_memory([folder / MEMORY_FOLDER], threads=threads)
                    bits = _score(folder, corpus.held_out, own, threads)
                    kept = _score(folder, old, old_memory, threads) if way == TUNED else None
                row = Trained(project=name, name=way, seed=seed, minutes=minutes, bytes_read=read, bits_per_byte=bits, old=kept)
                result.runs.append(row)
                result.write(path)
    return result


def project(name: str) -> Corpus:
    """Files of an installed package, about MAX_PROJECT and MAX_HELD_OUT bytes of them. Raises AxlError when it is not there."""
    corpus = split(unseen_packages((name,))[name], HELD_OUT_EVERY)
    return replace(corpus, train=_up_to(corpus.train, MAX_PROJECT), held_out=_up_to(corpus.held_out, MAX_HELD_OUT))


def _up_to(documents: Documents, most: int) -> Documents:
    """Every n-th document, so that they have `most` bytes at the most or little more."""
    step = max(1, round(documents.nbytes / most))
    return documents.subset(range(0, len(documents), step))


def _beginnings(documents: Documents) -> Documents:
    return Documents.from_items((name, text[:OLD_BYTES]) for name, text in documents)


def _settings(way: str, model: Path, corpus: Corpus, minutes: float, threads: int, seed: int) -> TrainSettings:
    if way == FROM_NOTHING:
        return settings_for(FLAT_WITH_MEMORY, minutes, threads, corpus).model_copy(update={"seed": seed})
    config = read_config(model)
    return TrainSettings(
        minutes=minutes,
        threads=threads,
        seed=seed,
        learning_rate=FINE_TUNING.learning_rate,
        interpolation=FINE_TUNING.interpolation,
        batch_bytes=batch_for(config),
        stages=stages_for(config, corpus.train.nbytes),
    )


def _train(folder: Path, way: str, model: Path, name: str, corpus: Corpus, settings: TrainSettings) -> int:
    """Train into `folder`; returns the bytes read."""
    config, init = (read_config(model), model) if way == TUNED else (FLAT_WITH_MEMORY, None)
    train_run(RunRequest(name, config, settings, (), folder, init=init), corpus)
    return read_training(folder).bytes


def _weights(model: Path, name: str, corpus: Corpus, threads: int) -> Weights:
    memory = CorpusMemory([build_shard(corpus.train.documents())[0]], threads=threads)
    return Weights(
        project=name,
        train_bytes=corpus.train.nbytes,
        held_out_bytes=corpus.held_out.nbytes,
        bits_per_byte=_score(model, corpus.held_out, memory, threads),
        baselines=compression_figures(corpus.train, corpus.held_out, zpaq=True),
    )


def _score(folder: Path, documents: Documents, memory: CorpusMemory, threads: int) -> float:
    torch.set_num_threads(threads)
    return score_documents(loaded(folder), documents, memory=memory, threads=threads).bits_per_byte


def table(result: FinetuneResult) -> str:
    """Bits per byte by project: the weights as they are, tuned, from nothing, and compressors."""
    if not result.runs:
        raise AxlError("no run is finished yet")
    minutes = result.runs[0].minutes
    lines = [
        f"| held-out files, bits per byte | weights as they are | tuned {minutes:g} minutes | over as they are "
        "| from nothing | tuned over it | library files forgotten | PPMd primed | zpaq primed |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in result.weights:
        tuned, nothing = (_of(result, row.project, way) for way in (TUNED, FROM_NOTHING))
        if not tuned or not nothing:
            continue
        forgotten = statistics.median(run.old / result.old - 1 for run in tuned if run.old is not None)
        ours, theirs = (statistics.median(run.bits_per_byte for run in runs) for runs in (tuned, nothing))
        cells = [
            f"{row.bits_per_byte:.3f}",
            _spread(tuned),
            f"{ours / row.bits_per_byte:.3f}",
            _spread(nothing),
            f"{ours / theirs:.3f}",
            f"{forgotten:+.1%}",
            *(f"{row.baselines[key]:.3f}" if key in row.baselines else "" for key in ("ppmd_primed", "zpaq_primed")),
        ]
        lines.append(f"| {row.project} | " + " | ".join(cells) + " |")
    names = ", ".join(LABELS[key].full for key in ("ppmd_primed", "zpaq_primed"))
    return "\n".join(lines) + f"\n\nMedians over seeds, in brackets the least and the most. The last columns: {names}.\n"


def _of(result: FinetuneResult, project: str, way: str) -> list[Trained]:
    return [run for run in result.runs if (run.project, run.name) == (project, way)]


def _spread(runs: list[Trained]) -> str:
    bits = [run.bits_per_byte for run in runs]
    return f"{statistics.median(bits):.3f} ({min(bits):.3f} to {max(bits):.3f})"


RESULT = FinetuneResult

if __name__ == "__main__":
    main("finetune")
