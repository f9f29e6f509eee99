"""Muon: momentum whose matrix updates are made orthogonal (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

On a CPU the Newton-Schulz iteration is a chain of small products, so all matrices of one shape are stacked and iterated at
once. Projections that are stored under each other in one weight (q, k, v; the two halves of SwiGLU) are separate maps and are
orthogonalised separately.
"""

# Shape suffixes: K matrices of one shape, R rows, C columns (R <= C).

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

Map = Callable[[Callable[[Any], None], Sequence[Any]], Iterator[None]]

STACK = 6  # matrices that are iterated at once on a CPU: enough for the products, few enough to be shared among workers
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # the quintic of the reference implementation
ITERATIONS = 5


def orthogonalise(x_KRC: Tensor) -> Tensor:
    """Nearest semi-orthogonal matrices, roughly: singular values end between about 0.7 and 1.2. Keeps shape and dtype."""
    a, b, c = COEFFICIENTS
    x_KRC = x_KRC / (torch.linalg.matrix_norm(x_KRC, keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram_KRR = x_KRC @ x_KRC.mT
        x_KRC = torch.baddbmm(x_KRC, torch.baddbmm(gram_KRR, gram_KRR, gram_KRR, beta=b, alpha=c), x_KRC, beta=a)
    return x_KRC


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; the step of a matrix is scaled by sqrt(max(1, rows / columns)).

    `parts[i]` says how many maps are stacked in the rows of `params[i]`. The iteration runs in `dtype` (bf16 where the CPU
    computes it natively); stacks of matrices go through `run`, which may be the `map` of several workers.
    """

    def __init__(
        self,
        params: Sequence[Tensor],
        parts: Sequence[int],
        lr: float,
        momentum: float,
        dtype: torch.dtype,
        run: Map = map,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self._parts = dict(zip(params, parts, strict=True))
        self._dtype, self._run = dtype, run

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                update = self._momentum(weight, group["momentum"])
                maps = zip(weight.chunk(self._parts[weight]), update.chunk(self._parts[weight]), strict=True)
                for pair in maps:
                    by_shape[pair[0].shape].append(pair)
            stacks = [stack for pairs in by_shape.values() for stack in _stacks(pairs)]
            for _ in self._run(partial(self._update, group["lr"]), stacks):
                pass

    @torch.no_grad()
    def _update(self, lr: float, pairs: list[tuple[Tensor, Tensor]]) -> None:
        """Take the step of (matrix, update) pairs of one shape."""
        rows, columns = pairs[0][0].shape
        updates = torch.stack([update.to(self._dtype) for _, update in pairs])
        steps = orthogonalise(updates.mT).mT if rows > columns else orthogonalise(updates)
        for (matrix, _), step in zip(pairs, steps, strict=True):
            matrix.add_(step, alpha=-lr * max(1.0, rows / columns) ** 0.5)

    def _momentum(self, weight: Tensor, decay: float) -> Tensor:
        state: dict[str, Any] = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        assert weight.grad is not None
        state["momentum"].lerp_(weight.grad, 1 - decay)
        return torch.lerp(weight.grad, state["momentum"], decay)


def _stacks(pairs: list[tuple[Tensor, Tensor]]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """What is iterated at once: on an accelerator all matrices of a shape."""
    size = STACK if pairs[0][0].device.type == "cpu" else len(pairs)
    yield from (pairs[at : at + size] for at in range(0, len(pairs), size))
