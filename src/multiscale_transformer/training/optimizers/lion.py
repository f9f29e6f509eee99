"""Lion: the sign of an interpolated momentum (Chen et al. 2023, arXiv 2302.06675). One state per weight instead of two.

Weights are updated a few at a time, so the updates of all of them never exist at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

CHUNK = 1 << 20  # weights (single numbers) that are updated at once: 4 MB of updates, which stay in the caches


class Lion(torch.optim.Optimizer):
    """w -= lr * (sign(b1 m + (1 - b1) g) + weight_decay * w), then m = b2 m + (1 - b2) g.

    The default betas are the paper's for language models.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 3e-4,
        betas: tuple[float, float] = (0.95, 0.98),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            for weights in _chunks([w for w in group["params"] if w.grad is not None]):
                self._update(weights, group)

    def _update(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        for w in weights:
            if "momentum" not in self.state[w]:
                self.state[w]["momentum"] = torch.zeros_like(w)
        grads = [w.grad for w in weights if w.grad is not None]
        momenta = [self.state[w]["momentum"] for w in weights]
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        updates = torch._foreach_lerp(momenta, grads, 1 - beta1)
        torch._foreach_sign_(updates)
        torch._foreach_add_(weights, updates, alpha=-group["lr"])
        torch._foreach_lerp_(momenta, grads, 1 - beta2)


def _chunks(weights: list[Tensor]) -> Iterator[list[Tensor]]:
    """Consecutive weights that hold at most `CHUNK` numbers together, or one that alone holds more."""
    chunk, held = list[Tensor](), 0
    for w in weights:
        if chunk and held + w.numel() > CHUNK:
            yield chunk
            chunk, held = [], 0
        chunk.append(w)
        held += w.numel()
    if chunk:
        yield chunk
