"""MFU, model FLOP/s utilisation of training: its share of this machine's matrix-product rate, measured in turns.

Each round times a plain matrix product and then a few whole training steps (data, forward, backward, optimizer) at each
window of the run's own schedule. Shares are taken within a round, so what the rest of the machine does falls on both sides of
the fraction, and windows count by the time that a run spends on them.
"""

from __future__ import annotations

import statistics
import time
from typing import Annotated, Literal

import numpy as np
import torch
import typer

from benchmarks.command import main
from benchmarks.result import Result, origin
from multiscale_transformer.cli.options import Threads
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.machine import available_cores, available_ram
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.machine import compute_dtype, matmul_rate
from multiscale_transformer.training.settings import TrainSettings, batch_for, stages_for
from multiscale_transformer.training.trainer import Trainer
from multiscale_transformer.zoo.recipes import Recipe, load_recipe

STEPS = 2  # training steps of a round at each window
TEXT_BYTES = 1 << 20


class MfuResult(Result):
    """MFU over the whole schedule and at each window; rates in FLOP/s."""

    kind: Literal["mfu"] = "mfu"
    model: str
    optimizer: str
    dtype: str
    threads: int
    rounds: int
    mfu: float
    mfu_quartiles: tuple[float, float]
    mfu_at_window: dict[int, float]
    matmul_flops_per_second: float


def run(
    model: Annotated[str, typer.Option(metavar="NAME", help="A shipped model.")] = "AXL-Micro-Lion",
    seconds: Annotated[float, typer.Option(metavar="S", min=5.0, help="How long to train.")] = 60.0,
    threads: Threads = None,
) -> MfuResult:
    """Model FLOP/s while training, as a share of this machine's matrix-product rate in the same run (MFU)."""
    recipe, threads = load_recipe(model), threads or available_cores()
    torch.set_num_threads(threads)
    dtype = compute_dtype(threads)
    trainer = _trainer(recipe, threads, dtype)
    stages = trainer.settings.stages
    products: list[float] = []
    rates: dict[int, list[float]] = {window: [] for _, window in stages}
    for begins, _ in stages:  # the first steps allocate
        _training_rate(trainer, begins)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        matmul_rate.cache_clear()
        products.append(matmul_rate(dtype, threads))
        for begins, window in stages:
            rates[window].append(_training_rate(trainer, begins))
    ends = [*(begins for begins, _ in stages[1:]), 1.0]
    time_share = {window: until - begins for (begins, window), until in zip(stages, ends, strict=True)}
    shares = [
        sum(time_share[window] * rates[window][turn] for window in rates) / product for turn, product in enumerate(products)
    ]
    low, high = statistics.quantiles(shares, n=4)[::2] if len(shares) > 1 else shares * 2
    return MfuResult(
        **origin("mfu", threads).model_dump(),
        model=recipe.name,
        optimizer=recipe.training.optimizer,
        dtype=str(dtype).removeprefix("torch."),
        threads=threads,
        rounds=len(shares),
        mfu=statistics.median(shares),
        mfu_quartiles=(low, high),
        mfu_at_window={
            window: statistics.median(rate / product for rate, product in zip(rates[window], products, strict=True))
            for window in rates
        },
        matmul_flops_per_second=statistics.median(products),
    )


def _training_rate(trainer: Trainer, fraction: float) -> float:
    """FLOP/s over a few whole steps at an elapsed fraction of the run."""
    trainer.progress.fraction = fraction
    before = trainer.progress.flops
    start = time.perf_counter()
    with trainer.at_work():
        for _ in range(STEPS):
            trainer.step()
    return (trainer.progress.flops - before) / (time.perf_counter() - start)


def _trainer(recipe: Recipe, threads: int, dtype: torch.dtype) -> Trainer:
    torch.manual_seed(0)
    model = MultiScaleTransformer(recipe.model).train()
    model.compute_dtype = dtype
    text = np.random.default_rng(0).integers(32, 127, TEXT_BYTES, dtype=np.uint8).tobytes()
    settings = TrainSettings(
        optimizer=recipe.training.optimizer,
        threads=threads,
        batch_bytes=batch_for(recipe.model),
        stages=stages_for(recipe.model, TEXT_BYTES),
    )
    return Trainer(model, recipe.model, Documents.from_items([("text", text)]), settings, available_ram())


def table(result: MfuResult) -> str:
    """A sentence."""
    low, high = result.mfu_quartiles
    return (
        f"{result.model} trains with {result.optimizer} at **{result.mfu:.0%}** of this machine's "
        f"{result.dtype} matrix-product rate (median of {result.rounds} rounds on {result.threads} threads, "
        f"quartiles {low:.0%} and {high:.0%}).\n"
    )


RESULT = MfuResult

if __name__ == "__main__":
    main("mfu")
