"""The size that a budget can really train, on this machine, found by measuring it.

A few seconds of real training steps say what this machine does. Compute-optimal training says that the compute of a run
should be split evenly between a larger model and more text (Hoffmann et al. 2022, arXiv 2203.15556): the best cost per byte
grows with the square root of the budget. The constants are our own, from three minutes on two cores (docs/log.md). A memory
leaves less for a net to do, so beside one a smaller one is enough. The proposed shape is one stack in both cases
(docs/adr/0005).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.parallel import Workers
from multiscale_transformer.model.placement import moved
from multiscale_transformer.training.device import free_memory
from multiscale_transformer.training.machine import CPU, compute_dtype, synchronise
from multiscale_transformer.training.micro_batching import training_ram
from multiscale_transformer.training.settings import FIRST_WINDOW
from multiscale_transformer.zoo.recipes import Recipe, RecipeTraining

BEST_COST, BEST_COST_WITH_MEMORY, AT_BUDGET = 4.6e6, 3.3e6, 2.2e13  # training FLOPs per byte that won at a budget of so many
MEASURED_SECONDS = 2.0
CONV_TAPS = 7  # with the embedding convolution, copying from the context comes within minutes (docs/log.md)
SIZES_WITH_MEMORY = (  # width, layers
    *((64, 2), (96, 2), (128, 2), (128, 3), (160, 3), (192, 3), (192, 4), (256, 4), (256, 6)),
    *((320, 6), (384, 6), (512, 8), (640, 10), (768, 12), (1024, 16)),
)
SIZES = (  # width, layers; with fewer than three layers, copying from the context is not learned in minutes (docs/log.md)
    *((64, 3), (96, 3), (128, 3), (160, 3), (192, 4), (256, 4), (256, 6)),
    *((320, 6), (384, 6), (512, 8), (640, 10), (768, 12), (1024, 16)),
)


@dataclass(frozen=True)
class Suggestion:
    """A size and what a budget does with it."""

    name: str
    config: ModelConfig
    bytes_per_second: float
    megabytes: float
    ram_gb: float
    best: bool


def shape(width: int, layers: int, *, memory: bool = False) -> ModelConfig:
    """The shape that pays in minutes: one stack over the bytes and, with a memory, what that says of the next one."""
    return ModelConfig(**stack_of(width), n_layers_per_scale=layers, downsample_factors=(1,), memory=memory)


def shape_with_words(width: int, word_layers: int, *, fine_layers: int = 2, memory: bool = False) -> ModelConfig:
    """The shape with rows where words end: depth in the word stack, which runs once a word; `axl bench train` compares it."""
    return ModelConfig(
        **stack_of(width), n_layers_per_scale=fine_layers, downsample_factors=(1,), word_layers=word_layers, memory=memory
    )


def stack_of(width: int) -> dict[str, int]:
    """Fields of a config that follow from its width: heads, feed-forward width and embedding convolution."""
    heads = next(h for h in range(max(1, width // 64), 0, -1) if width % h == 0 and (width // h) % 2 == 0)
    return {"d_model": width, "n_heads": heads, "d_ff": round(8 * width / 3 / 32) * 32, "conv_taps": CONV_TAPS}


def suggest(
    minutes: float, threads: int, ram_gb: float = math.inf, *, memory: bool = True, device: torch.device = CPU
) -> list[Suggestion]:
    """All sizes that fit into `ram_gb`, beside a memory or without, with the one that `minutes` on `device` can really train
    marked.

    Raises AxlError when nothing fits or the budget is not positive.
    """
    if not 0 < minutes < math.inf or not ram_gb > 0:
        raise AxlError("minutes and RAM must be positive; try axl suggest --minutes 3 --ram 8")
    sizes = [shape(*size, memory=memory) for size in (SIZES_WITH_MEMORY if memory else SIZES)]
    fitting = [config for config in sizes if _ram_gb(config) <= ram_gb]
    if not fitting:
        raise AxlError(f"no size trains in {ram_gb:g} GB of RAM; the smallest needs {_ram_gb(sizes[0]):.1f} GB")
    rate = training_rate(threads, device)
    budget = rate * minutes * 60
    wanted = (BEST_COST_WITH_MEMORY if memory else BEST_COST) * math.sqrt(budget / AT_BUDGET)
    best = min(fitting, key=lambda config: abs(math.log(_cost(config) / wanted)))
    return [
        Suggestion(
            name=f"AXL-{size_name(config)}",
            config=config,
            bytes_per_second=rate / _cost(config),
            megabytes=budget / _cost(config) / 1e6,
            ram_gb=_ram_gb(config),
            best=config is best,
        )
        for config in fitting
    ]


def suggest_size(minutes: float, threads: int, *, memory: bool = True, device: torch.device = CPU) -> Recipe:
    """The best size for `minutes` on a device of this machine, in the memory that it has free, as a recipe."""
    rows = suggest(minutes, threads, free_memory(device) / 1e9, memory=memory, device=device)
    best = next(row for row in rows if row.best)
    return Recipe(name=best.name, model=best.config, training=RecipeTraining(optimizer="muon", minutes=minutes))


def training_rate(threads: int, device: torch.device = CPU) -> float:
    """FLOP/s of forward and backward passes of a small model on a device, the median of about two seconds."""
    config = shape(128, 3)
    model = MultiScaleTransformer(config).to(device).train()
    model.compute_dtype = compute_dtype(threads, device)
    parameters = list(model.parameters())
    count = threads if device.type == "cpu" else 1
    pieces = moved(torch.randint(0, 256, (4096 // FIRST_WINDOW, FIRST_WINDOW + 1)), device).chunk(count)
    flops = config.flops_per_byte(FIRST_WINDOW, training=True) * 4096

    def work(ids_BT: Tensor) -> None:
        logits = model(ids_BT[:, :-1]).flatten(0, 1)
        torch.autograd.grad(F.cross_entropy(logits, ids_BT[:, 1:].flatten()), parameters, allow_unused=True)

    seconds: list[float] = []
    end = time.perf_counter() + MEASURED_SECONDS
    with Workers(count) as workers:
        while time.perf_counter() < end or len(seconds) < 3:
            start = time.perf_counter()
            for _ in workers.map(work, pieces):
                pass
            synchronise(device)
            seconds.append(time.perf_counter() - start)
    return flops / sorted(seconds)[len(seconds) // 2]


def size_name(config: ModelConfig) -> str:
    """Parameters as people say them: 566464 as '570K', 12716306 as '12.7M'."""
    count = config.parameters()
    return f"{round(count / 1e4) * 10}K" if count < 995_000 else f"{count / 1e6:.1f}M"


def _cost(config: ModelConfig) -> float:
    return config.flops_per_byte(FIRST_WINDOW, training=True)


def _ram_gb(config: ModelConfig) -> float:
    return training_ram(config, "muon") / 1e9
