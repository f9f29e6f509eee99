"""Models compared at equal wall-clock: the same minutes, data, machine and measurement, interleaved over seeds.

Each finished run is added to the result file at once, so an interrupted comparison goes on where it stopped. The machine's
matrix-product rate is measured anew before every run, because a shared machine changes its mind.

The baseline is a flat byte transformer of the nanoGPT kind given the same care as the three scales: one stack of the very
blocks that the fine scale is made of (pre-norm, QK-norm, RoPE, SwiGLU, the same kernels, zero output maps, tied head), so a
difference between the two is a difference of scales and nothing else. Each has the best size we found for three minutes.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import Field

from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.ui import errors
from multiscale_transformer.data.corpus import Corpus, load_corpus
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.evaluation.compression_baselines import labelled
from multiscale_transformer.evaluation.statistics import summary, verdict
from multiscale_transformer.machine import available_cores
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.held_out import run_memory
from multiscale_transformer.training.logger import read_metrics
from multiscale_transformer.training.machine import compute_dtype, matmul_rate
from multiscale_transformer.training.run import RunRequest, train_run
from multiscale_transformer.training.settings import TrainSettings, batch_for, stages_for
from multiscale_transformer.training.suggest import shape, shape_with_words, stack_of
from multiscale_transformer.training.trainer import Callback, Progress
from multiscale_transformer.zoo.training_record import read_training

LOSS_MARK = 2.5  # bits per byte of smoothed training loss: "steps to a loss" counts the steps until this

# Depth in the fine scale, one layer in each other one, all six cross-scale paths, no feed-forward in them.
THREE_SCALES = ModelConfig(**stack_of(128), n_layers_per_scale=(3, 1, 1), cross_d_ff=0)
FLAT = shape(128, 3)  # what `axl train --no-memory` trains by default
WORDS = shape_with_words(128, 4)
FLAT_WITH_MEMORY = shape(128, 2, memory=True)  # what `axl train` trains by default
BASELINES = ("flat", "flat with memory")  # what the others of a comparison are judged against

Measure = Callable[[MultiScaleTransformer, CorpusMemory | None], dict[str, Any]]


class Candidate(Row):
    """A model and how it is trained; the seed comes from the comparison."""

    name: str
    config: ModelConfig
    settings: TrainSettings


class Run(Row):
    """One trained model."""

    name: str
    seed: int
    minutes: float
    learning_rate: float | None
    bits_per_byte: float
    parameters: int
    optimizer: str
    optimizer_state_bytes: int
    steps: int
    steps_to_mark: int | None
    bytes_read: int
    seconds: float
    lookup_share: float | None = None
    flops_per_second: float
    matmul_flops_per_second: float
    threads: int
    when: str

    @property
    def mfu(self) -> float:
        """Model FLOP/s utilisation: of the matrix-product rate that was measured before the run."""
        return self.flops_per_second / self.matmul_flops_per_second


class Comparison(Result):
    """The runs on one corpus, and what compressors make of its held-out files."""

    corpus: str
    held_out_bytes: int
    runs: Sequence[Run]
    baselines: dict[str, float] = Field(default_factory=dict)


C = TypeVar("C", bound=Comparison)


def compare(
    kind: type[C],
    candidates: Sequence[Candidate],
    corpus: Corpus,
    seeds: Sequence[int],
    path: Path,
    *,
    score_every: int = 1,
    measure: Measure = lambda model, memory: {},
) -> C:
    """Run what is missing in the result at `path`, seed by seed, all candidates in turn.

    `score_every` n scores every n-th held-out file only: enough to choose by, not to quote. What `measure` finds out about a
    trained model is added to its row.

    Raises AxlError when the result was made from other data.
    """
    held_out = corpus.held_out.subset(range(0, len(corpus.held_out), score_every))
    result = _begun(kind, candidates, corpus, held_out, path)
    for seed in seeds:
        for candidate in candidates:
            settings = candidate.settings.model_copy(update={"seed": seed})
            key = {"name": candidate.name, "seed": seed, "minutes": settings.minutes, "learning_rate": settings.learning_rate}
            if any(all(getattr(run, field) == value for field, value in key.items()) for run in result.runs):
                continue
            figures = _train(candidate, settings, corpus, held_out, measure)
            result = kind.model_validate({**result.model_dump(), "runs": [*result.model_dump()["runs"], {**key, **figures}]})
            result.write(path)
    return result


def candidates_of(configs: Mapping[str, ModelConfig], minutes: float, threads: int | None, corpus: Corpus) -> list[Candidate]:
    """Each config under its name, trained as comparisons train."""
    return [
        Candidate(name=name, config=config, settings=settings_for(config, minutes, threads, corpus))
        for name, config in configs.items()
    ]


def settings_for(config: ModelConfig, minutes: float, threads: int | None, corpus: Corpus) -> TrainSettings:
    """The defaults of training, without what only helps completion."""
    return TrainSettings(
        minutes=minutes,
        threads=threads or available_cores(),
        batch_bytes=batch_for(config),
        stages=stages_for(config, corpus.train.nbytes),
        fim_rate=0.0,
        aux_loss_weight=0.0,
        memory_dropout=0.0,
    )


def corpus_of(data: Sequence[str]) -> Corpus:
    """The files at `data`, whose paths hold from any folder."""
    from multiscale_transformer.cli.reading import absolute

    return load_corpus(absolute(data))


def loaded(checkpoint: Path) -> MultiScaleTransformer:
    """A model as benchmarks score it, on as many threads as PyTorch has."""
    model = load_model(checkpoint)
    model.compute_dtype = compute_dtype(torch.get_num_threads())
    return model


def _begun(kind: type[C], candidates: Sequence[Candidate], corpus: Corpus, held_out: Documents, path: Path) -> C:
    if not path.exists():
        name = kind.model_fields["kind"].default
        made = origin(name, candidates[0].settings.threads)
        return kind(**made.model_dump(), kind=name, corpus=corpus.sha256, held_out_bytes=held_out.nbytes, runs=[])
    try:
        result = kind.read(path)
    except AxlError as error:
        raise AxlError(f"{path} is damaged or of another benchmark; move it away to start afresh") from error
    if result.corpus != corpus.sha256:
        raise AxlError(f"{path} was measured on other data; move it away to start afresh")
    return result


def _train(
    candidate: Candidate, settings: TrainSettings, corpus: Corpus, held_out: Documents, measure: Measure
) -> dict[str, Any]:
    dtype = compute_dtype(settings.threads)
    matmul_rate.cache_clear()
    rate = matmul_rate(dtype, settings.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        request = RunRequest(candidate.name, candidate.config, settings, corpus.sources, folder)
        train_run(request, corpus, callbacks=(_progress(candidate.name, settings.seed),))
        model, record, metrics = load_model(folder), read_training(folder), read_metrics(folder / "metrics.csv")
        model.compute_dtype = dtype
        torch.set_num_threads(settings.threads)
        memory = run_memory(folder, model)
        score = score_documents(model, held_out, memory=memory)
        measured = measure(model, memory)
    reached = [step for step, loss in zip(metrics["step"], metrics["train_bpb"], strict=True) if loss <= LOSS_MARK]
    return {
        "bits_per_byte": score.bits_per_byte,
        **measured,
        "parameters": candidate.config.parameters(),
        "optimizer": settings.optimizer,
        "optimizer_state_bytes": record.optimizer_state_bytes,
        "steps": record.steps,
        "steps_to_mark": int(reached[0]) if reached else None,
        "bytes_read": record.bytes,
        "seconds": record.seconds,
        "lookup_share": record.lookup_seconds / record.seconds,
        "flops_per_second": record.flops / record.seconds,
        "matmul_flops_per_second": rate,
        "threads": settings.threads,
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
    }


def _progress(name: str, seed: int) -> Callback:
    """A line now and then, on the error console, so that a long comparison is seen to live."""
    shown = 0.0

    def show(progress: Progress) -> None:
        nonlocal shown
        if progress.fraction - shown >= 0.25:
            shown = progress.fraction
            errors.print(f"  {name}, seed {seed}: {progress.fraction:.0%}, {progress.train_bpb:.3f} bits/byte in training")

    return show


def mean_of(runs: Sequence[Run], field: str) -> float:
    """The mean of a figure over runs."""
    return statistics.fmean(getattr(run, field) for run in runs)


def bits_of(runs: Sequence[Run]) -> str:
    """Held-out bits per byte with their spread."""
    return summary([run.bits_per_byte for run in runs])


Columns = Mapping[str, Callable[[Sequence[Any]], str]]  # heading: the cell of the runs of one name
COLUMNS: Columns = {
    "held-out bits per byte": bits_of,
    "parameters": lambda runs: f"{runs[0].parameters:,}",
    "MB read": lambda runs: f"{mean_of(runs, 'bytes_read') / 1e6:.1f}",
    "steps": lambda runs: f"{mean_of(runs, 'steps'):,.0f}",
    "share of the matmul rate": lambda runs: f"{mean_of(runs, 'mfu'):.0%}",
}


def comparison_table(result: Comparison, columns: Columns = COLUMNS) -> str:
    """A row for each candidate and compressor, verdicts against the baseline, and what was measured on."""
    names = dict.fromkeys(run.name for run in result.runs)
    runs = {name: [run for run in result.runs if run.name == name] for name in names}
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    lines += [f"| {name} | " + " | ".join(cell(runs[name]) for cell in columns.values()) + " |" for name in names]
    lines += [f"| {label} | {bits:.3f} |" + " |" * (len(columns) - 1) for label, bits in labelled(result.baselines)]
    bits = {name: [run.bits_per_byte for run in runs[name]] for name in names}
    baseline = next((name for name in BASELINES if name in bits), None)
    conclusion = "".join(
        "\n" + verdict(name.capitalize(), bits[name], baseline, bits[baseline]) + ".\n"
        for name in names
        if baseline is not None and name != baseline
    )
    first = result.runs[0]
    return "\n".join(lines) + (
        f"\n{conclusion}\n{first.minutes:g} minutes a run, {first.threads} threads, {result.held_out_bytes:,} held-out bytes; "
        f"measured {min(run.when for run in result.runs)[:10]}.\n"
    )
