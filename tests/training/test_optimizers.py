"""The five rules do what their papers say, save their state, and cost the memory that they claim."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.checkpoint import TensorFile, save_tensors
from multiscale_transformer.model.layers import Linear
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.optimizers import LEARNING_RATES, GaLore, Lion, Muon, OptimizerSet, build_optimizer, lion
from multiscale_transformer.training.optimizers.muon import orthogonalise
from tiny import RATES, TINY, model_of, same_weights, weights_of

ALL = sorted(LEARNING_RATES)
TEXT = torch.tensor([[256, *b"for name in names: "] * 3])


def loss_of(model: MultiScaleTransformer) -> Tensor:
    return F.cross_entropy(model(TEXT[:, :-1])[0], TEXT[0, 1:])


def train(model: MultiScaleTransformer, optimizer: OptimizerSet, steps: int) -> None:
    for _ in range(steps):
        loss_of(model).backward()
        optimizer.step(1.0)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weight(*shape: int, seed: int = 0) -> nn.Parameter:
    return nn.Parameter(gaussian(*shape, seed=seed))


def muon_step(matrix: nn.Parameter, gradient: Tensor, parts: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """What one step of learning rate 1 subtracts."""
    before = matrix.detach().clone()
    matrix.grad = gradient
    Muon([matrix], [parts], 1.0, 0.95, dtype).step()
    return before - matrix.detach()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lowers_the_loss_on_repeated_text(name: str, dtype: torch.dtype) -> None:
    model = model_of()
    model.compute_dtype = dtype
    before = loss_of(model).item()
    train(model, build_optimizer(model, name, RATES[name], dtype), 25)
    assert loss_of(model).item() < 0.75 * before


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bias", [False, True])
def test_every_parameter_is_updated_by_exactly_one_rule(name: str, bias: bool) -> None:
    model = model_of(TINY.model_copy(update={"bias": bias, "cross_d_ff": 32}))
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.1  # zero maps would pass no gradients on
    optimizer = build_optimizer(model, name)
    held = [p for member in optimizer.members for group in member.param_groups for p in group["params"]]
    assert len(held) == len({id(p) for p in held}) == len(list(model.parameters()))
    before = weights_of(model)
    train(model, optimizer, 1)
    assert [key for key, value in weights_of(model).items() if torch.equal(value, before[key])] == []
    assert all(parameter.grad is None for parameter in model.parameters())


def test_only_maps_between_states_are_matrices_to_muon_and_galore() -> None:
    model = model_of()
    for name in ("muon", "galore"):
        matrices, beside = build_optimizer(model, name).members
        assert all(p.dim() == 2 for p in matrices.param_groups[0]["params"])
        rest = {id(p) for p in beside.param_groups[0]["params"]}
        assert model.gate is not None
        assert {id(model.embedding.weight), id(model.gate.weight)} <= rest


@pytest.mark.parametrize("name", ALL)
def test_the_state_comes_back_and_the_next_step_is_bit_identical(name: str, tmp_path: Path) -> None:
    model = model_of()
    optimizer = build_optimizer(model, name)
    train(model, optimizer, 3)
    save_tensors(tmp_path / "state", optimizer.state_tensors())
    copy = model_of(seed=1)
    copy.load_state_dict(weights_of(model))
    restored = build_optimizer(copy, name)
    restored.load_state_tensors(TensorFile(tmp_path / "state"))
    assert same_weights(restored.state_tensors(), optimizer.state_tensors())
    train(model, optimizer, 2)
    train(copy, restored, 2)
    assert same_weights(weights_of(copy), weights_of(model))
    assert same_weights(restored.state_tensors(), optimizer.state_tensors())


def test_restored_state_is_its_own() -> None:
    """Two sets restored from the same tensors must not share memory, and a file must not be written through."""
    model = model_of()
    optimizer = build_optimizer(model, "lion")
    train(model, optimizer, 1)
    saved = optimizer.state_tensors()
    before = {key: value.clone() for key, value in saved.items()}
    restored = build_optimizer(model, "lion")
    restored.load_state_tensors(saved)
    train(model, restored, 1)
    assert same_weights(saved, before)


def test_state_memory_is_what_is_claimed() -> None:
    def state_bytes(name: str, width: int) -> int:
        model = MultiScaleTransformer(TINY.model_copy(update={"d_model": width, "d_ff": 2 * width}))
        optimizer = build_optimizer(model, name)
        train(model, optimizer, 1)
        return optimizer.state_bytes

    sizes = {name: state_bytes(name, 16) for name in ALL}
    weights = 4 * TINY.model_copy(update={"d_ff": 32}).parameters()
    assert sizes["lion"] == sizes["sgd"] == weights
    assert 2 * weights < sizes["adamw"] < 2.02 * weights  # a step count for each tensor
    assert weights < sizes["muon"] < sizes["adamw"]
    assert state_bytes("galore", 128) < state_bytes("lion", 128)  # wider than the rank of 32


def test_the_multiplier_scales_every_learning_rate() -> None:
    def moved(multiplier: float) -> list[Tensor]:
        model = model_of()
        before = [p.detach().clone() for p in model.parameters()]
        optimizer = build_optimizer(model, "lion", lr=0.5)
        loss_of(model).backward()
        optimizer.step(1e-9)
        loss_of(model).backward()
        optimizer.step(multiplier)
        return [p.detach() - old for p, old in zip(model.parameters(), before, strict=True)]

    for half, whole in zip(moved(0.25), moved(0.5), strict=True):
        torch.testing.assert_close(2 * half, whole, rtol=1e-4, atol=1e-6)


def test_a_wrong_name_or_rate_is_one_line() -> None:
    with pytest.raises(AxlError, match="unknown optimizer 'moun'; did you mean muon"):
        build_optimizer(model_of(), "moun")
    for lr in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(AxlError, match="the learning rate must be positive"):
            build_optimizer(model_of(), "lion", lr)


@given(seed=st.integers(0, 99), decay=st.sampled_from([0.0, 0.1]))
@settings(max_examples=10)
def test_lion_is_its_formula(seed: int, decay: float) -> None:
    lr, beta1, beta2 = 0.01, 0.95, 0.98
    w = weight(3, 4, seed=seed)
    expected, momentum = w.detach().double().clone(), torch.zeros(3, 4).double()
    optimizer = Lion([w], lr, (beta1, beta2), decay)
    for step in range(4):
        g = gaussian(3, 4, seed=100 * seed + step)
        w.grad = g.clone()
        optimizer.step()
        expected -= lr * ((beta1 * momentum + (1 - beta1) * g).sign() + decay * expected)
        momentum = beta2 * momentum + (1 - beta2) * g
    torch.testing.assert_close(w.detach().double(), expected, rtol=1e-5, atol=1e-6)


@given(
    sizes=st.lists(st.lists(st.integers(1, 7), min_size=1, max_size=3), min_size=1, max_size=8),
    chunk=st.integers(1, 200),
    seed=st.integers(0, 99),
    decay=st.sampled_from([0.0, 0.1]),
)
@settings(max_examples=60)
def test_lion_in_chunks_is_lion_bit_for_bit(sizes: list[list[int]], chunk: int, seed: int, decay: float) -> None:
    def trained(at_once: int) -> dict[str, Tensor]:
        weights = [weight(*size, seed=seed + index) for index, size in enumerate(sizes)]
        optimizer = Lion(weights, 0.01, weight_decay=decay)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lion, "CHUNK", at_once)
            for step in range(3):
                for index, w in enumerate(weights):
                    w.grad = None if (index + step) % 5 == 4 else gaussian(*sizes[index], seed=seed + 50 * step + index)
                optimizer.step()
        momenta = {f"momentum {index}": optimizer.state[w].get("momentum", torch.zeros(())) for index, w in enumerate(weights)}
        return {**momenta, **{str(index): w.detach() for index, w in enumerate(weights)}}

    assert same_weights(trained(chunk), trained(10**9))


@given(sizes=st.lists(st.integers(0, 50), max_size=30), chunk=st.integers(1, 120))
def test_chunks_are_all_weights_in_their_order_and_none_is_larger_than_it_must_be(sizes: list[int], chunk: int) -> None:
    weights = [torch.empty(size, device="meta") for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lion, "CHUNK", chunk)
        chunks = list(lion._chunks(weights))
    assert list(map(id, (w for part in chunks for w in part))) == list(map(id, weights))
    for part in chunks:
        assert part
        assert len(part) == 1 or sum(w.numel() for w in part) <= chunk
    for part, (following, *_) in pairwise(chunks):
        assert sum(w.numel() for w in part) + following.numel() > chunk, "fewer chunks would do"


shapes = st.tuples(st.integers(2, 24), st.integers(2, 24)).filter(lambda s: min(s) * 1.5 <= max(s))


@given(shape=shapes, seed=st.integers(0, 99), scale=st.floats(1e-5, 1e5))
@settings(max_examples=40)
def test_muon_s_update_is_nearly_semi_orthogonal_whatever_the_gradient_s_size(
    shape: tuple[int, int], seed: int, scale: float
) -> None:
    """Singular values near 1 for gradients that are well conditioned, as oblong random ones are."""
    update = muon_step(weight(*shape), gaussian(*shape, seed=seed) * scale)
    values = torch.linalg.svdvals(update) / max(1.0, shape[0] / shape[1]) ** 0.5
    assert 0.5 < float(values.min()) <= float(values.max()) < 1.3


def test_muon_keeps_the_singular_vectors() -> None:
    """The update is U V^T, not just any orthogonal matrix: it is close to the polar factor of the gradient."""
    g = gaussian(8, 20)
    left, _, right = torch.linalg.svd(g, full_matrices=False)
    polar, update = left @ right, orthogonalise(g[None])[0]
    assert F.cosine_similarity(update.flatten(), polar.flatten(), dim=0) > 0.95


@given(seed=st.integers(0, 99))
@settings(max_examples=10)
def test_muon_treats_tall_and_wide_alike(seed: int) -> None:
    w, g = weight(6, 15, seed=seed), gaussian(6, 15, seed=seed + 1)
    wide, tall = muon_step(w, g), muon_step(nn.Parameter(w.detach().mT.clone()), g.mT.clone())
    torch.testing.assert_close(tall, wide.mT * (15 / 6) ** 0.5, rtol=1e-4, atol=1e-5)


def test_muon_orthogonalises_stacked_maps_one_by_one() -> None:
    w, g = weight(12, 10), gaussian(12, 10, seed=1)
    g[:4] *= 100.0  # together, the large part would drown the others
    stacked = muon_step(nn.Parameter(w.detach().clone()), g, parts=3)
    parts = zip(w.detach().chunk(3), g.chunk(3), strict=True)
    alone = [muon_step(nn.Parameter(part.clone()), part_g) for part, part_g in parts]
    torch.testing.assert_close(stacked, torch.cat(alone))
    assert not torch.allclose(stacked, muon_step(w, g), rtol=0.1)


def test_the_layers_say_how_many_maps_they_stack() -> None:
    """q, k, v are three maps and the halves of a SwiGLU two, each as wide as a state or the feed-forward."""
    for module in model_of().modules():
        if isinstance(module, Linear):
            assert module.weight.shape[0] % module.parts == 0
    block = model_of().stacks[0][0]  # type: ignore[index]
    assert (block.attention.qkv.parts, block.feed_forward.w13.parts, block.feed_forward.w2.parts) == (3, 2, 1)


def test_muon_s_momentum_is_nesterov_s() -> None:
    """A matrix of one row has one singular value, so its update has the direction of the averaged gradient."""
    w, first, second = weight(1, 5), gaussian(1, 5, seed=1), gaussian(1, 5, seed=2)
    optimizer = Muon([w], [1], 1.0, 0.9, torch.float32)
    w.grad = first
    optimizer.step()
    before = w.detach().clone()
    w.grad = second
    optimizer.step()
    momentum = 0.9 * (0.1 * first) + 0.1 * second
    wanted = 0.1 * second + 0.9 * momentum
    assert F.cosine_similarity(before - w.detach(), wanted) > 1 - 1e-5


def test_muon_in_bf16_is_muon_roughly() -> None:
    w, g = weight(6, 15), gaussian(6, 15, seed=1)
    exact = muon_step(nn.Parameter(w.detach().clone()), g)
    assert (muon_step(w, g, dtype=torch.bfloat16) - exact).norm() < 0.1 * exact.norm()


@pytest.mark.parametrize("shape", [(6, 10), (10, 6)])
def test_galore_of_full_rank_is_adam_in_the_coordinates_of_its_projector(shape: tuple[int, int]) -> None:
    """Adam is not the same in turned coordinates, so GaLore is not Adam even at full rank; in its own it is."""
    lr, scale = 0.01, 0.25
    w = weight(*shape)
    turned: nn.Parameter | None = None
    galore, adam = GaLore([w], lr, rank=6, refresh=1000, scale=scale, betas=(0.9, 0.99)), None
    for step in range(6):
        g, before = gaussian(*shape, seed=step + 1), w.detach().clone()
        w.grad = g
        galore.step()
        projector = galore.state[w]["projector"]
        torch.testing.assert_close(projector.mT @ projector, torch.eye(6), rtol=1e-4, atol=1e-5)

        def to(x: Tensor, projector: Tensor = projector) -> Tensor:
            return projector.mT @ (x if shape[0] == 6 else x.mT)

        if turned is None or adam is None:
            turned = nn.Parameter(to(before))
            adam = torch.optim.Adam([turned], lr * scale, betas=(0.9, 0.99), eps=1e-8)
        turned.grad = to(g)
        adam.step()
        torch.testing.assert_close(to(w.detach()), turned.detach(), rtol=1e-4, atol=1e-5)


def test_galore_of_low_rank_moves_in_few_directions_and_descends() -> None:
    target = gaussian(20, 30, seed=1)
    w = weight(20, 30, seed=2)
    optimizer = GaLore([w], lr=1.0, rank=3, refresh=5)
    before = w.detach().clone()
    start = (w.detach() - target).square().sum()
    for step in range(60):
        w.grad = (w - target).detach()
        optimizer.step()
        if step == 4:  # one projector so far
            assert int(torch.linalg.matrix_rank(w.detach() - before, rtol=1e-3)) == 3
    assert (w.detach() - target).square().sum() < 0.5 * start
    assert sum(tensor.numel() for tensor in optimizer.state[w].values()) == 2 * 3 * 30 + 20 * 3 + 1
