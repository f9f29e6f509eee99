"""Muon: momentum whose update is the nearest orthogonal matrix (Jordan et al. 2024), for the 2-D maps of the blocks.

Newton-Schulz is all matrix products, so it runs at the speed of the model's own; matrices of one shape go through it
together in one batched product. Maps that stack several projections (q, k and v; the two halves of SwiGLU) are
orthogonalised part by part, because together they are not one map.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # quintic whose slope at 0 is steep: 5 steps bring singular values near 1


def orthogonalise(update_PMN: Tensor, steps: int, dtype: torch.dtype) -> Tensor:
    """The orthogonal factor, approximately, of each matrix of a stack (P, M, N); `dtype` is that of the products."""
    a, b, c = NEWTON_SCHULZ
    x = update_PMN.to(dtype)
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.transpose(1, 2) if tall else x


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised, scaled by sqrt(max(1, rows / columns)).

    Each group may set `parts`: in how many equal row blocks its matrices are orthogonalised (default 1).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        steps: int = 5,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "steps": steps, "parts": 1}
        super().__init__(params, defaults)
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient; `closure` is not supported."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                update = self._nesterov(parameter, group["momentum"])
                if group["weight_decay"]:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                for target, part in zip(parameter.chunk(group["parts"]), update.chunk(group["parts"]), strict=True):
                    by_shape[part.shape].append((target, part))
            for (rows, columns), members in by_shape.items():
                stacked = orthogonalise(torch.stack([part for _, part in members]), group["steps"], self.dtype)
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                for (target, _), direction in zip(members, stacked.float().unbind(), strict=True):
                    target.add_(direction, alpha=-rate)

    def _nesterov(self, parameter: Tensor, momentum: float) -> Tensor:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum"], momentum)
