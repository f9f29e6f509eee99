"""GaLore: AdamW in a low-rank projection of each matrix's gradient (Zhao et al. 2024, arXiv 2403.03507).

A teaching option: at the sizes a CPU trains in minutes optimizer state is not what runs out. Matrices no larger than the
rank, and everything that is not a matrix, get plain AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class GaLore(Optimizer):
    """Adam on P^T g, where P are the top `rank` singular vectors of g on its shorter side, renewed every `refresh` steps.

    The projected update is scaled by `scale` (the paper's alpha).
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.999),
        rank: int = 64,
        refresh: int = 200,
        scale: float = 0.25,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "rank": rank, "refresh": refresh, "scale": scale, "eps": eps}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient; `closure` is not supported."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        project = gradient.ndim == 2 and min(gradient.shape) > group["rank"]
        if project and state.get("step", 0) % group["refresh"] == 0:
            state["basis"] = top_singular_vectors(gradient, group["rank"])
        left = gradient.ndim == 2 and gradient.shape[0] <= gradient.shape[1]
        if project:
            gradient = state["basis"].T @ gradient if left else gradient @ state["basis"]
        if "step" not in state:
            state.update(step=0, mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient))
        state["step"] += 1
        (beta1, beta2), step = group["betas"], state["step"]
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = (state["square"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
        update = state["mean"] / (1 - beta1**step) / denominator
        if project:
            update = group["scale"] * (state["basis"] @ update if left else update @ state["basis"].T)
        parameter.add_(update, alpha=-group["lr"])


def top_singular_vectors(matrix_MN: Tensor, rank: int) -> Tensor:
    """Orthonormal basis (min(M, N), rank) of the strongest directions on the shorter side, from the Gram matrix."""
    wide = matrix_MN.shape[0] <= matrix_MN.shape[1]
    gram = matrix_MN @ matrix_MN.T if wide else matrix_MN.T @ matrix_MN
    return torch.linalg.eigh(gram.double())[1][:, -rank:].to(matrix_MN.dtype)
