"""Which parameter gets which rule: the five optimizers behind `--optimizer`, each with its own measured learning rate.

`build_optimizers` returns one or two `torch.optim.Optimizer`s (Muon leaves tables, gates and vectors to AdamW). Every group
remembers its peak rate in `peak_lr`, so that the schedule is one factor for all.
"""

from __future__ import annotations

from typing import cast, get_args

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from multiscale_transformer.errors import unknown_name
from multiscale_transformer.model.config import OptimizerName
from multiscale_transformer.model.layers import Linear
from multiscale_transformer.training.optimizers.galore import GaLore
from multiscale_transformer.training.optimizers.lion import Lion
from multiscale_transformer.training.optimizers.muon import Muon

OPTIMIZERS = get_args(OptimizerName)

# Best of a sweep at the size that three minutes train (docs/log.md, "Optimizers").
LEARNING_RATES: dict[str, float] = {"adamw": 4e-3, "galore": 1e-2, "lion": 5e-4, "muon": 0.02, "sgd": 0.3}
AUXILIARY_LR = 4e-3  # AdamW beside Muon: embedding, gates, sinks, gains
ADAM_BETAS = (0.9, 0.99)


def build_optimizers(
    model: nn.Module, name: str, *, lr: float | None = None, products: torch.dtype = torch.float32
) -> list[Optimizer]:
    """Optimizers over all parameters of `model`; `lr` overrides the default peak rate, `products` is Muon's dtype.

    Raises AxlError for an unknown name, listing the near ones.
    """
    if name not in OPTIMIZERS:
        raise unknown_name("optimizer", name, OPTIMIZERS)
    rate = LEARNING_RATES[name] if lr is None else lr
    everything = [p for p in model.parameters() if p.requires_grad]
    built: list[Optimizer]
    if name == "lion":
        built = [Lion(everything, lr=rate)]
    elif name == "sgd":
        built = [SGD(everything, lr=rate, momentum=0.9, nesterov=True)]
    elif name == "galore":
        built = [GaLore(everything, lr=rate)]
    elif name == "adamw":
        built = [AdamW(everything, lr=rate, betas=ADAM_BETAS, weight_decay=0.0, foreach=True)]
    else:
        matrices = [m for m in model.modules() if isinstance(m, Linear) and m.orthogonal]
        groups = [
            {"params": [m.weight for m in matrices if m.parts == parts], "parts": parts}
            for parts in sorted({m.parts for m in matrices})
        ]
        taken = {id(m.weight) for m in matrices}
        rest = [p for p in everything if id(p) not in taken]
        auxiliary = AUXILIARY_LR * rate / LEARNING_RATES["muon"]
        built = [Muon(groups, lr=rate, dtype=products)]
        built.append(AdamW(rest, lr=auxiliary, betas=ADAM_BETAS, weight_decay=0.0, foreach=True))
    for optimizer in built:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return built


def set_rate(optimizers: list[Optimizer], factor: float) -> None:
    """Set every group to `factor` times its peak rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * cast(float, group["peak_lr"])


def state_bytes(optimizers: list[Optimizer]) -> int:
    """Bytes of optimizer state, once it exists."""
    held = (value for o in optimizers for state in o.state.values() for value in state.values())
    return sum(value.numel() * value.element_size() for value in held if isinstance(value, torch.Tensor))
