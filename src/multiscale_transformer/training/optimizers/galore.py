"""GaLore: Adam in a low-rank projection of each gradient (Zhao et al. 2024, arXiv 2403.03507).

For an m x n gradient with m <= n the two Adam states are r x n and the projector m x r, instead of 2 m n. Every `refresh`
steps the projector becomes the r leading left singular vectors of the current gradient.
"""

# Shape suffixes: R rows, C columns (R <= C), r rank.

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class GaLore(torch.optim.Optimizer):
    """Adam on P^T G, mapped back through P and scaled by `scale`; for weights with two dimensions only."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        rank: int = 32,
        refresh: int = 200,
        scale: float = 0.25,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        super().__init__(params, {"lr": lr, "rank": rank, "refresh": refresh, "scale": scale, "betas": betas, "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; `closure` is not supported."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    tall = weight.shape[0] > weight.shape[1]
                    w_RC, g_RC = (weight.mT, weight.grad.mT) if tall else (weight, weight.grad)
                    w_RC.add_(self._update(self.state[weight], g_RC, group), alpha=-group["lr"])

    def _update(self, state: dict[str, Tensor], g_RC: Tensor, group: dict[str, Any]) -> Tensor:
        beta1, beta2 = group["betas"]
        rank = min(group["rank"], g_RC.shape[0])
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = g_RC.new_zeros(rank, g_RC.shape[1]), g_RC.new_zeros(rank, g_RC.shape[1])
        if int(state["step"]) % group["refresh"] == 0:
            # Left singular vectors are eigenvectors of the small Gram matrix: far cheaper than the SVD of the paper's code.
            # They are computed on the CPU, since not every accelerator can.
            vectors_RR = torch.linalg.eigh((g_RC @ g_RC.mT).cpu()).eigenvectors
            state["projector"] = vectors_RR[:, -rank:].contiguous().to(g_RC.device)
        state["step"] += 1
        small_rC = state["projector"].mT @ g_RC
        state["mean"].lerp_(small_rC, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(small_rC, small_rC, value=1 - beta2)
        step = int(state["step"])
        mean = state["mean"] / (1 - beta1**step)
        square = state["square"] / (1 - beta2**step)
        update_RC: Tensor = state["projector"] @ (mean / (square.sqrt() + group["eps"]))
        return update_RC * float(group["scale"])
