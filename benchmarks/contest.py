"""Contenders at equal wall-clock: the same minutes, data, machine and measurement, interleaved over seeds.

Each finished run is added to the result file at once, so an interrupted contest goes on where it stopped. The machine's
matrix-product rate is measured anew before every run, because a shared machine changes its mind.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from multiscale_transformer import files
from multiscale_transformer.data.corpus import Corpus
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.held_out import run_memory
from multiscale_transformer.training.logger import read_metrics
from multiscale_transformer.training.machine import compute_dtype, matmul_rate
from multiscale_transformer.training.run import RunRequest, train_run
from multiscale_transformer.training.settings import TrainSettings
from multiscale_transformer.training.trainer import Callback
from multiscale_transformer.zoo.training_record import read_training

LOSS_MARK = 2.5  # bits per byte of smoothed training loss: "steps to a loss" counts the steps until this

Measure = Callable[[MultiScaleTransformer, CorpusMemory | None], dict[str, Any]]


@dataclass(frozen=True)
class Contender:
    """A model and how it is trained; the seed comes from the contest."""

    name: str
    config: ModelConfig
    settings: TrainSettings


def contest(
    contenders: Sequence[Contender],
    corpus: Corpus,
    seeds: Sequence[int],
    results: Path,
    *,
    score_every: int = 1,
    callbacks: Callable[[str, int], Sequence[Callback]] = lambda name, seed: (),
    measure: Measure = lambda model, memory: {},
) -> list[dict[str, Any]]:
    """Run what is missing in `results` (JSON), seed by seed, all contenders in turn; returns all rows.

    `score_every` n scores every n-th held-out file only: enough to choose by, not to quote. What `measure` finds out about a
    trained model is added to its row.

    Raises AxlError when `results` was made from other data.
    """
    held_out = corpus.held_out.subset(range(0, len(corpus.held_out), score_every))
    content = _load(results, corpus, held_out)
    for seed in seeds:
        for contender in contenders:
            settings = contender.settings.model_copy(update={"seed": seed})
            key = {"name": contender.name, "seed": seed, "minutes": settings.minutes, "learning_rate": settings.learning_rate}
            if any(all(row.get(k) == v for k, v in key.items()) for row in content["runs"]):
                continue
            row = _run(contender, settings, corpus, held_out, callbacks(contender.name, seed), measure)
            content["runs"].append({**key, **row})
            files.write_json(results, content)
    return content["runs"]  # type: ignore[no-any-return]


def _load(results: Path, corpus: Corpus, held_out: Documents) -> dict[str, Any]:
    if not results.exists():
        return {"corpus": corpus.sha256, "held_out_bytes": held_out.nbytes, "runs": []}
    try:
        content: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
        known = content["corpus"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AxlError(f"{results} is damaged ({error!r}); move it away to start afresh") from error
    if known != corpus.sha256:
        raise AxlError(f"{results} was measured on other data; move it away to start afresh")
    return content


def _run(
    contender: Contender,
    settings: TrainSettings,
    corpus: Corpus,
    held_out: Documents,
    callbacks: Sequence[Callback],
    measure: Measure,
) -> dict[str, Any]:
    dtype = compute_dtype(settings.threads)
    matmul_rate.cache_clear()
    rate = matmul_rate(dtype, settings.threads)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        train_run(RunRequest(contender.name, contender.config, settings, corpus.sources, folder), corpus, callbacks=callbacks)
        model, record, metrics = load_model(folder), read_training(folder), read_metrics(folder / "metrics.csv")
        model.compute_dtype = dtype
        torch.set_num_threads(settings.threads)
        memory = run_memory(folder, model)
        score = score_documents(model, held_out, memory=memory)
        found = measure(model, memory)
    reached = [step for step, loss in zip(metrics["step"], metrics["train_bpb"], strict=True) if loss <= LOSS_MARK]
    return {
        "bits_per_byte": score.bits_per_byte,
        **found,
        "parameters": contender.config.parameters(),
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
