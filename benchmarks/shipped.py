"""The model in the package, measured: what an index is worth to weights that stay as they are.

On the Python library: an index of its training files, files held out. On a project that neither training nor index has seen:
the same weights without an index, with one of the project's other files, and beside them models that are trained on those files
alone. All on the same held-out files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import torch
import typer

from benchmarks.command import BASE_DATA, LIBRARY, Seeds, main
from benchmarks.comparison import FLAT_WITH_MEMORY, Candidate, candidates_of, corpus_of, loaded
from benchmarks.memory import LINES, score_in_order, strongest_primed, unseen_baselines, unseen_packages
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.options import Checkpoint, Minutes, Threads
from multiscale_transformer.data.corpus import Corpus, split
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.evaluation.compression_baselines import LABELS, compression_figures
from multiscale_transformer.evaluation.lines import Line, draw_lines, score_lines
from multiscale_transformer.machine import available_cores
from multiscale_transformer.memory.index import MEMORY_FOLDER, build_index
from multiscale_transformer.memory.lookup import CorpusMemory, open_memory
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.run import RunRequest, train_run
from multiscale_transformer.zoo.shipped import shipped_model


class Scores(Row):
    """Held-out bits per byte, and next lines."""

    bits_per_byte: float
    lines_exact: float
    lines_similarity: float


class Unseen(Row):
    """Bits per byte of a package: each file by itself, and each after those before it are indexed."""

    alone: float
    in_order: float


class Library(Row):
    """The model on held-out files of the Python library and on unseen packages."""

    parameters: int
    held_out_bytes: int
    with_index: Scores
    without_index: Scores
    baselines: dict[str, float]
    unseen: dict[str, Unseen]
    unseen_baselines: dict[str, dict[str, float]]


class TrainedAlone(Row):
    """A model that was trained on the project alone."""

    name: str
    seed: int
    minutes: float
    bits_per_byte: float


class Swap(Row):
    """Bits per byte on a project: the shipped weights by index, models trained on it alone, and compressors."""

    project: str
    weights: dict[str, float]
    trained: list[TrainedAlone]
    baselines: dict[str, float]
    train_bytes: int
    held_out_bytes: int


class ShippedResult(Result):
    """The model on the library, and on a project that it has never seen."""

    kind: Literal["shipped"] = "shipped"
    library: Library
    swap: Swap


def run(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    project: Annotated[str, typer.Option(metavar="PACKAGE", help="An installed package not trained on.")] = "hypothesis",
    minutes: Minutes = 3.0,
    seeds: Seeds = 3,
    threads: Threads = None,
) -> ShippedResult:
    """The model in the package: with an index and without, on unseen packages, and against training on a project alone."""
    threads = threads or available_cores()
    torch.set_num_threads(threads)
    library, untrained = corpus_of(LIBRARY), corpus_of(BASE_DATA).held_out
    corpus = split(unseen_packages((project,))[project])
    (rival,) = candidates_of({"flat with memory": FLAT_WITH_MEMORY}, minutes, threads, corpus)
    swap = measure_swap(model, library, project, corpus, rival, seeds)
    return ShippedResult(
        **origin("shipped", threads).model_dump(), library=measure_library(model, library, untrained), swap=swap
    )


def measure_library(checkpoint: Path, corpus: Corpus, untrained: Documents) -> Library:
    """Bits per byte and next lines on those files of `corpus.held_out` that are in `untrained`, with an index and without.

    `untrained` are files that the training of the checkpoint held out too: of the others it may have read a near-duplicate.
    """
    model = loaded(checkpoint)
    held_out = _common(corpus.held_out, untrained)
    lines, packages = draw_lines(held_out, LINES), unseen_packages()
    with _index(corpus.train) as folder:
        memory = open_memory([folder], threads=torch.get_num_threads())
        return Library(
            parameters=model.config.parameters(),
            held_out_bytes=held_out.nbytes,
            with_index=_score(model, held_out, memory, lines),
            without_index=_score(model, held_out, None, lines),
            baselines=compression_figures(corpus.train, held_out, zpaq=True),
            unseen={
                name: Unseen(
                    alone=score_documents(model, documents, memory=memory).bits_per_byte,
                    in_order=score_in_order(model, documents, memory),
                )
                for name, documents in packages.items()
            },
            unseen_baselines=unseen_baselines(corpus.train, packages),
        )


def measure_swap(checkpoint: Path, library: Corpus, name: str, project: Corpus, rival: Candidate, seeds: int) -> Swap:
    """Bits per byte on `project.held_out`: the weights with other indexes, and `rival` trained on `project.train` alone."""
    model, threads = loaded(checkpoint), torch.get_num_threads()
    with _index(library.train) as of_library, _index(project.train) as of_project:
        indexes = {
            "no index": None,
            "index of the library": [of_library],
            "index of the project": [of_project],
            "index of both": [of_library, of_project],
        }
        weights = {
            label: score_documents(
                model, project.held_out, memory=None if folders is None else open_memory(folders, threads=threads)
            ).bits_per_byte
            for label, folders in indexes.items()
        }
    return Swap(
        project=name,
        weights=weights,
        trained=[_trained_alone(rival, seed, project) for seed in range(seeds)],
        baselines=compression_figures(project.train, project.held_out, zpaq=True),
        train_bytes=project.train.nbytes,
        held_out_bytes=project.held_out.nbytes,
    )


def _trained_alone(rival: Candidate, seed: int, project: Corpus) -> TrainedAlone:
    settings = rival.settings.model_copy(update={"seed": seed})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        train_run(RunRequest(rival.name, rival.config, settings, project.sources, folder), project)
        memory = open_memory([folder / MEMORY_FOLDER], threads=settings.threads) if rival.config.memory else None
        score = score_documents(loaded(folder), project.held_out, memory=memory)
    return TrainedAlone(name=rival.name, seed=seed, minutes=settings.minutes, bits_per_byte=score.bits_per_byte)


def _score(model: MultiScaleTransformer, held_out: Documents, memory: CorpusMemory | None, drawn: Sequence[Line]) -> Scores:
    lines = score_lines(model, drawn, memory)
    return Scores(
        bits_per_byte=score_documents(model, held_out, memory=memory).bits_per_byte,
        lines_exact=lines.exact,
        lines_similarity=lines.similarity,
    )


@contextmanager
def _index(documents: Documents) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "index"
        build_index(folder, documents)
        yield folder


def _common(documents: Documents, others: Documents) -> Documents:
    items = set(others)
    return documents.subset([number for number, item in enumerate(documents) if item in items])


def table(result: ShippedResult) -> str:
    """The model on the library's held-out files, on unseen packages, and on a project that it has never seen."""
    library = result.library
    strongest = strongest_primed(library.baselines)
    primed = library.baselines[strongest]
    lines = [
        f"| | held-out bits per byte | of {LABELS[strongest].short} | next line exact | next line similar |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, scores in (
        ("with an index of the library's training files", library.with_index),
        ("the same weights without", library.without_index),
    ):
        bits = scores.bits_per_byte
        cells = f"{bits:.3f} | {bits / primed:.2f} | {scores.lines_exact:.1%} | {scores.lines_similarity:.1%}"
        lines.append(f"| {name} | {cells} |")
    for key in ("ppmd", "ppmd_primed", "zpaq", "zpaq_primed"):
        if key in library.baselines:
            bits = library.baselines[key]
            lines.append(f"| {LABELS[key].full} | {bits:.3f} | {bits / primed:.2f} | | |")
    text = "\n".join(lines) + f"\n\n{library.held_out_bytes:,} held-out bytes.\n"
    return text + _unseen_table(library) + _swap_table(result.swap)


def _unseen_table(library: Library) -> str:
    packages = list(library.unseen)
    lines = ["", "| a package that no training and no index has seen | " + " | ".join(packages) + " |"]
    lines.append("|---|" + "---:|" * len(packages))

    def row(label: str, figures: Sequence[float]) -> str:
        return f"| {label} | " + " | ".join(f"{bits:.3f}" for bits in figures) + " |"

    lines.append(row("each file by itself", [library.unseen[name].alone for name in packages]))
    lines.append(row("each file after those before it are indexed", [library.unseen[name].in_order for name in packages]))
    for key, label in (
        ("ppmd_apart", "PPMd, each file by itself"),
        ("ppmd", "PPMd, the package as one stream"),
        ("zpaq", "zpaq, the package as one stream"),
    ):
        if all(key in library.unseen_baselines[name] for name in packages):
            lines.append(row(label, [library.unseen_baselines[name][key] for name in packages]))
    return "\n".join(lines) + "\n"


def _swap_table(swap: Swap) -> str:
    lines = ["", f"| on held-out files of {swap.project} | bits per byte |", "|---|---:|"]
    lines += [f"| shipped weights, {name} | {bits:.3f} |" for name, bits in swap.weights.items()]
    for row in swap.trained:
        minutes = f"{row.minutes:g} minutes on the project alone"
        lines.append(f"| {row.name}, {minutes}, seed {row.seed} | {row.bits_per_byte:.3f} |")
    for key in ("ppmd_primed", "zpaq_primed"):
        if key in swap.baselines:
            lines.append(f"| {LABELS[key].short} with the project's other files | {swap.baselines[key]:.3f} |")
    return "\n".join(lines) + f"\n\n{swap.train_bytes:,} bytes to index or train on, {swap.held_out_bytes:,} held out.\n"


RESULT = ShippedResult

if __name__ == "__main__":
    main("shipped")
