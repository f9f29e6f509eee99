"""The outer step of DiLoCo (Douillard et al. 2023, arXiv 2311.08105): what processes that trained apart make of their weights.

Each has gone its own way from weights that all had, the anchor. The mean of the ways is a gradient, and Nesterov momentum takes
the next anchor from it. The ways are sent as fp16: half the bytes, and what that rounds off is far below what the ways differ
by (docs/log.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

OUTER_RATE, OUTER_MOMENTUM = 0.9, 0.3  # the paper's 0.7 and 0.9 overshoot in runs of few rounds (docs/log.md)
SENT_AS = torch.float16


class OuterStep:
    """The anchor of a model and the momentum of its outer steps, flat and on the CPU."""

    def __init__(self, model: nn.Module) -> None:
        self._weights = list(model.parameters())
        self.anchor = nn.Parameter(self._flat())
        self._optimizer = torch.optim.SGD([self.anchor], lr=OUTER_RATE, momentum=OUTER_MOMENTUM, nesterov=True)

    def way(self, share: float) -> Tensor:
        """From the weights back to the anchor, times the share that these weights have in the mean; as it is sent."""
        return ((self.anchor.detach() - self._flat()) * share).to(SENT_AS)

    @torch.no_grad()
    def take(self, mean: Tensor) -> None:
        """The next anchor by the mean of all ways; the model goes on from there."""
        self.anchor.grad = mean.float()
        self._optimizer.step()
        self.anchor.grad = None
        self._give()

    def state(self) -> Tensor:
        """Anchor and momentum, in one piece."""
        momentum = self._optimizer.state[self.anchor].get("momentum_buffer")
        return torch.cat([self.anchor.detach(), torch.zeros_like(self.anchor) if momentum is None else momentum])

    @torch.no_grad()
    def load(self, state: Tensor) -> None:
        """Go on as the process goes on that gave this state."""
        anchor, momentum = state.chunk(2)
        self.anchor.copy_(anchor)
        self._optimizer.state[self.anchor]["momentum_buffer"] = momentum.clone()
        self._give()

    @torch.no_grad()
    def _flat(self) -> Tensor:
        return torch.cat([weight.detach().flatten().float().cpu() for weight in self._weights])

    @torch.no_grad()
    def _give(self) -> None:
        pieces = torch.split(self.anchor.detach(), [weight.numel() for weight in self._weights])
        for weight, piece in zip(self._weights, pieces, strict=True):
            weight.copy_(piece.view_as(weight))
