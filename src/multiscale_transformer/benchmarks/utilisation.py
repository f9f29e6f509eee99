"""How much of the machine training uses: model FLOP/s as a share of its matrix-product rate, measured in turns.

Each round times one plain matrix product loop and then a few training steps, whole ones: data, forward, backward, optimizer.
The share is the median over rounds, so what the rest of the machine does falls on both sides of the fraction.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.model.config import Recipe
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.machine import available_memory, compute_dtype, matmul_rate
from multiscale_transformer.training.settings import TrainSettings, batch_for
from multiscale_transformer.training.trainer import Trainer

STEPS = 3  # training steps of a round
WINDOW = 512


def measure_utilisation(recipe: Recipe, seconds: float, threads: int) -> dict[str, Any]:
    """Alternate products and training steps of `recipe` for `seconds`; figures by name, rates in FLOP/s."""
    torch.set_num_threads(threads)
    dtype = compute_dtype(threads)
    trainer = _trainer(recipe, threads, dtype)
    shares, rates, products = [], [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        matmul_rate.cache_clear()
        products.append(matmul_rate(dtype, threads))
        rates.append(_training_rate(trainer))
        shares.append(rates[-1] / products[-1])
    return {
        "model": recipe.name,
        "optimizer": recipe.training.optimizer,
        "dtype": str(dtype).removeprefix("torch."),
        "threads": threads,
        "rounds": len(shares),
        "share": statistics.median(shares),
        "share_quartiles": statistics.quantiles(shares, n=4)[::2] if len(shares) > 1 else shares * 2,
        "flops_per_second": statistics.median(rates),
        "matmul_flops_per_second": statistics.median(products),
    }


def _training_rate(trainer: Trainer) -> float:
    """FLOP/s over a few whole steps."""
    before = trainer.progress.flops
    start = time.perf_counter()
    for _ in range(STEPS):
        trainer.step()
    return (trainer.progress.flops - before) / (time.perf_counter() - start)


def _trainer(recipe: Recipe, threads: int, dtype: torch.dtype) -> Trainer:
    torch.manual_seed(0)
    model = MultiScaleTransformer(recipe.model)
    model.compute_dtype = dtype
    noise = np.random.default_rng(0).integers(32, 127, 1 << 20, dtype=np.uint8).tobytes()
    settings = TrainSettings(
        minutes=1e6,
        optimizer=recipe.training.optimizer,
        threads=threads,
        batch_bytes=batch_for(recipe.model),
        stages=((0.0, WINDOW),),
    )
    trainer = Trainer(model, recipe.model, Documents.from_items([("noise", noise)]), settings, available_memory())
    _training_rate(trainer)  # the first steps allocate
    return trainer
