"""The outer step goes where the mean of the ways leads, and its state is all that a newcomer needs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from multiscale_transformer.training.outer_step import OUTER_MOMENTUM, OUTER_RATE, OuterStep
from tiny import TINY, model_of

shares = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(lambda parts: [part / sum(parts) for part in parts])


def flat(model: nn.Module) -> Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def moved(model: nn.Module, seed: int) -> None:
    """Local steps, as far as the outer one can tell."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.01)


@given(shares)
def test_the_ways_add_up_to_the_way_to_the_mean_of_the_weights(parts: list[float]) -> None:
    models = [model_of(TINY) for _ in parts]
    outers = [OuterStep(model) for model in models]
    for seed, model in enumerate(models):
        moved(model, seed)
    mean = sum((share * flat(model) for share, model in zip(parts, models, strict=True)), torch.zeros(()))
    total = sum((outer.way(share).float() for outer, share in zip(outers, parts, strict=True)), torch.zeros(()))
    torch.testing.assert_close(total, outers[0].anchor.detach() - mean, rtol=0, atol=len(parts) * 5e-5)


def test_the_first_step_is_nesterovs() -> None:
    model = model_of(TINY)
    outer, before = OuterStep(model), flat(model)
    moved(model, 0)
    way = outer.way(1.0).float()
    outer.take(way)
    torch.testing.assert_close(flat(model), before - OUTER_RATE * (1 + OUTER_MOMENTUM) * way, rtol=1e-5, atol=1e-6)
    assert torch.equal(outer.way(1.0), torch.zeros_like(way, dtype=torch.float16))  # the model stands on the anchor


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_a_newcomer_goes_on_exactly_as_the_others(rounds: int) -> None:
    model, late = model_of(TINY), model_of(TINY, seed=1)
    outer, other = OuterStep(model), OuterStep(late)
    for seed in range(rounds):
        moved(model, seed)
        outer.take(outer.way(1.0))
    other.load(outer.state())
    for seed in (7, 8):
        for one, step in ((model, outer), (late, other)):
            moved(one, seed)
            step.take(step.way(1.0))
        assert torch.equal(flat(model), flat(late))


def test_what_is_sent_has_two_bytes_a_weight() -> None:
    model = model_of(TINY)
    way = OuterStep(model).way(1.0)
    assert way.element_size() * way.numel() == 2 * sum(weight.numel() for weight in model.parameters())
