"""Lion: the sign of an interpolated momentum (Chen et al. 2023, arXiv 2302.06675), one state per parameter.

The published AXL models with `-Lion` in their names are trained with it. It needs a learning rate 3-10 times below
AdamW's, because every coordinate moves by exactly `lr`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Lion(Optimizer):
    """w <- w (1 - lr * weight_decay) - lr * sign(b1 m + (1 - b1) g), then m <- b2 m + (1 - b2) g."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.95, 0.98),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient; `closure` is not supported."""
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            with_grad = [p for p in group["params"] if p.grad is not None]
            if not with_grad:
                continue
            gradients = [p.grad for p in with_grad]
            momenta = [self._momentum(p) for p in with_grad]
            updates = torch._foreach_lerp(gradients, momenta, beta1)
            torch._foreach_sign_(updates)
            if group["weight_decay"]:
                torch._foreach_mul_(with_grad, 1 - lr * group["weight_decay"])
            torch._foreach_add_(with_grad, updates, alpha=-lr)
            torch._foreach_lerp_(momenta, gradients, 1 - beta2)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        return state["momentum"]  # type: ignore[no-any-return]
