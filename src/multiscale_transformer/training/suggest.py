"""The size that a budget can really train, on this machine, found by measuring it.

Compute-optimal training says that the compute of a run should be split evenly between a larger model and more text
(Hoffmann et al. 2022, arXiv 2203.15556): the best cost per byte grows with the square root of the budget. The constant is our
own, fitted to sweeps of three minutes on two cores (docs/log.md); the machine's speed is measured here in a few seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig, Recipe, RecipeTraining
from multiscale_transformer.training.machine import compute_dtype, matmul_rate
from multiscale_transformer.training.model_builder import training_memory
from multiscale_transformer.training.settings import FIRST_WINDOW

UTILISATION = 0.45  # share of the matrix-product rate that training reaches at these sizes
BEST_COST, AT_BUDGET = 5e6, 3.5e13  # training FLOPs per byte that won at a budget of this many FLOPs (docs/log.md)
WIDTHS = (64, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024)


@dataclass(frozen=True)
class Suggestion:
    """A size and what a budget does with it."""

    name: str
    config: ModelConfig
    bytes_per_second: float
    megabytes: float
    memory_gb: float
    best: bool


def shape(width: int) -> ModelConfig:
    """The small three-scale model of a width: the shape that won our sweeps at three minutes (docs/log.md)."""
    heads = max(1, width // 64)
    heads = next(h for h in range(heads, 0, -1) if width % h == 0 and (width // h) % 2 == 0)
    return ModelConfig(
        d_model=width, n_heads=heads, d_ff=round(8 * width / 3 / 32) * 32, n_layers_per_scale=(2, 1, 1), cross_d_ff=0
    )


def suggest(minutes: float, threads: int, ram_gb: float = math.inf) -> list[Suggestion]:
    """All sizes that fit into `ram_gb`, with the one that `minutes` can really train marked.

    Raises AxlError when nothing fits or the budget is not positive.
    """
    if not minutes > 0 or not ram_gb > 0:
        raise AxlError("minutes and memory must be positive; try axl suggest --minutes 3 --ram 8")
    rate = UTILISATION * matmul_rate(compute_dtype(threads), threads)
    fitting = [config for config in map(shape, WIDTHS) if training_memory(config, "muon") / 1e9 <= ram_gb]
    if not fitting:
        raise AxlError(f"no size trains in {ram_gb:g} GB of memory; the smallest needs {_memory_gb(shape(WIDTHS[0])):.1f} GB")
    budget = rate * minutes * 60
    wanted = BEST_COST * math.sqrt(budget / AT_BUDGET)
    best = min(fitting, key=lambda config: abs(math.log(_cost(config) / wanted)))
    return [
        Suggestion(
            name=f"AXL-{size_name(config)}",
            config=config,
            bytes_per_second=rate / _cost(config),
            megabytes=budget / _cost(config) / 1e6,
            memory_gb=_memory_gb(config),
            best=config is best,
        )
        for config in fitting
    ]


def suggest_size(minutes: float, threads: int) -> Recipe:
    """The best size for `minutes` on this machine as a recipe."""
    best = next(row for row in suggest(minutes, threads) if row.best)
    return Recipe(name=best.name, model=best.config, training=RecipeTraining(optimizer="muon", minutes=minutes))


def size_name(config: ModelConfig) -> str:
    """Parameters as people say them: 566464 as '570K', 12716306 as '12.7M'."""
    count = config.parameters()
    return f"{round(count / 1e4) * 10}K" if count < 1e6 else f"{count / 1e6:.1f}M"


def _cost(config: ModelConfig) -> float:
    return config.flops_per_byte(FIRST_WINDOW, training=True)


def _memory_gb(config: ModelConfig) -> float:
    return training_memory(config, "muon") / 1e9
