"""Which rule updates which weight, for each of the five optimizers.

Matrices between states can be treated as matrices (Muon, GaLore); embeddings, gates, gains and start states go to AdamW
beside them. Lion, AdamW and SGD take everything. Learning rates are our own best at the default recipe (docs/optimizers.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from multiscale_transformer.errors import AxlError, unknown_name
from multiscale_transformer.model.layers import Linear
from multiscale_transformer.training.optimizers.galore import GaLore
from multiscale_transformer.training.optimizers.lion import Lion
from multiscale_transformer.training.optimizers.muon import Map, Muon

__all__ = ["LEARNING_RATES", "GaLore", "Lion", "Muon", "OptimizerSet", "build_optimizer"]

LEARNING_RATES = {"adamw": 3e-3, "galore": 3e-2, "lion": 5e-4, "muon": 2e-2, "sgd": 3e-2}
BESIDE_LR = 1.5e-2  # AdamW beside Muon and GaLore at their defaults, for what is not a matrix between states
ADAM_BETAS = (0.9, 0.99)  # a long second-moment memory: batches of some KB are noisy


class OptimizerSet:
    """Optimizers that step together, with one multiplier on all their learning rates and state that saves as tensors."""

    def __init__(self, model: nn.Module, members: list[torch.optim.Optimizer]) -> None:
        self.members = members
        self._names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        self._member = {w: member for member in members for group in member.param_groups for w in group["params"]}
        for group in self._groups():
            group["initial_lr"] = group["lr"]

    def _groups(self) -> Iterator[dict[str, object]]:
        for member in self.members:
            yield from member.param_groups

    def step(self, multiplier: float) -> None:
        """Update all weights with `multiplier` times their learning rates and drop the gradients."""
        self._set_rates(multiplier)
        for member in self.members:
            member.step()
            member.zero_grad(set_to_none=True)

    @contextmanager
    def in_backward(self, multiplier: float) -> Iterator[None]:
        """Within the block a backward pass updates each weight as soon as its gradient is complete, and drops the gradient.

        So the gradients of all weights never exist at once (Lv et al. 2023, arXiv 2306.09782). Every backward pass is a step of
        its own; what `step` does afterwards is nothing.
        """
        self._set_rates(multiplier)
        hooks = [weight.register_post_accumulate_grad_hook(self._update) for weight in self._member if weight.requires_grad]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _update(self, weight: Tensor) -> None:
        """Step the only weight that has a gradient."""
        self._member[weight].step()
        weight.grad = None

    def _set_rates(self, multiplier: float) -> None:
        for group in self._groups():
            group["lr"] = group["initial_lr"] * multiplier  # type: ignore[operator]

    def state_tensors(self) -> dict[str, Tensor]:
        """All state as `parameter name/state name` to tensor."""
        return {
            f"{self._names[parameter]}/{key}": value
            for member in self.members
            for parameter, state in member.state.items()
            for key, value in state.items()
        }

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore copies of what `state_tensors` gave, one by one, so that of a file they are not all held twice.

        Parameters without saved state (newly grown ones) start afresh.
        """
        places = {
            self._names[parameter]: (member, group, parameter)
            for member in self.members
            for group in member.param_groups
            for parameter in group["params"]
        }
        for key, value in tensors.items():
            name, _, what = key.rpartition("/")
            if name in places:
                member, group, parameter = places[name]
                member.state[parameter][what] = _placed(what, value, parameter, group)

    @property
    def state_bytes(self) -> int:
        """Memory of the state in bytes."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.state_tensors().values())


def build_optimizer(
    model: nn.Module, name: str, lr: float | None = None, dtype: torch.dtype = torch.float32, run: Map = map
) -> OptimizerSet:
    """The optimizer `name` for `model`; `lr` replaces its default, `dtype` is the one matrices are computed in.

    `run` does what an optimizer can do in pieces (the `map` of workers).

    Raises AxlError for an unknown name or a learning rate that is not positive.
    """
    if name not in _BUILDERS:
        raise unknown_name("optimizer", name, _BUILDERS)
    if lr is not None and not 0 < lr < float("inf"):
        raise AxlError(f"the learning rate must be positive, got {lr}; leave it out for {name}'s default")
    return OptimizerSet(model, _BUILDERS[name](model, LEARNING_RATES[name] if lr is None else lr, dtype, run))


def _placed(what: str, value: Tensor, parameter: Tensor, group: dict[str, Any]) -> Tensor:
    """A copy of saved state (which may lie in a file, and askew in memory) where its optimizer keeps it.

    That is beside the parameter; a count of steps is a number on the CPU, unless the optimizer is fused.
    """
    return value.to("cpu" if what == "step" and not group.get("fused") else parameter.device, copy=True)


def _adamw(parameters: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=lr, betas=ADAM_BETAS, weight_decay=0.0, fused=True)


def _split(model: nn.Module) -> tuple[dict[Tensor, int], list[nn.Parameter]]:
    """Matrices between states with their number of stacked maps, and all other parameters."""
    matrices = {m.weight: m.parts for m in model.modules() if isinstance(m, Linear) and m.orthogonal}
    return matrices, [p for p in model.parameters() if p not in matrices]


def _beside(name: str, lr: float, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """For the other weights, at a rate that goes with the one of the matrices."""
    return _adamw(parameters, BESIDE_LR * lr / LEARNING_RATES[name])


def _build_muon(model: nn.Module, lr: float, dtype: torch.dtype, run: Map) -> list[torch.optim.Optimizer]:
    matrices, rest = _split(model)
    return [Muon(list(matrices), list(matrices.values()), lr, 0.95, dtype, run), _beside("muon", lr, rest)]


def _build_galore(model: nn.Module, lr: float, _: torch.dtype, __: Map) -> list[torch.optim.Optimizer]:
    matrices, rest = _split(model)
    return [GaLore(list(matrices), lr), _beside("galore", lr, rest)]


_BUILDERS: dict[str, Callable[[nn.Module, float, torch.dtype, Map], list[torch.optim.Optimizer]]] = {
    "adamw": lambda model, lr, _, __: [_adamw(list(model.parameters()), lr)],
    "galore": _build_galore,
    "lion": lambda model, lr, _, __: [Lion(model.parameters(), lr)],
    "muon": _build_muon,
    "sgd": lambda model, lr, _, __: [torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)],
}
