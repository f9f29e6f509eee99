"""Both ways of computing a pass give the same, and on an accelerator nothing is made on the CPU; tried without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from model.test_memory_fusion import random_recall
from model.test_rule_of_time import lively
from multiscale_transformer.model import passes
from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.memory_tensors import MemoryTensors
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.passes import by_hand, native_passes
from multiscale_transformer.model.placement import moved
from multiscale_transformer.training.loss import Targets, weighted_loss
from tiny import SHAPES

META = torch.device("meta")
ROWS, LENGTH = 2, 37
WHOLE = SHAPES["three scales"].model_copy(update={"memory": True})
WORDS = SHAPES["flat"].model_copy(update={"memory": True, "word_layers": 2})
MODELS = {**SHAPES, "three scales and a memory": WHOLE, "words and a memory": WORDS}
OF_FIXED_SIZES = [name for name, config in MODELS.items() if not config.word_layers]  # those of words are read from the text


class NothingOnTheCpu(TorchDispatchMode):
    """Fails as soon as an operation makes a tensor on the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        assert all(leaf.device == META for leaf in tree_leaves(out) if isinstance(leaf, Tensor)), f"{func} made it on the CPU"
        return out


def read_by(config: ModelConfig) -> tuple[Tensor, MemoryTensors | None]:
    ids = torch.randint(0, 258, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))
    return ids, random_recall(LENGTH, ROWS) if config.memory else None


def loss_of(model: MultiScaleTransformer, ids_BT: Tensor, features: MemoryTensors | None) -> Tensor:
    """As in training, with the middle of a window that counts more and an end that cannot come."""
    targets = Targets(ids_BT, torch.ones(ids_BT.shape), torch.arange(LENGTH).expand(ids_BT.shape) % 3 == 0)
    return loss_on(model, ids_BT, features, moved(targets, ids_BT.device))


def loss_on(model: MultiScaleTransformer, ids_BT: Tensor, features: MemoryTensors | None, targets: Targets) -> Tensor:
    fused_BTE, fine_BTE = model.states(ids_BT, features=features)
    loss, _ = weighted_loss(model.head(fused_BTE, features), targets)
    return loss + weighted_loss(model.head(fine_BTE), Targets(targets.ids_BT))[0]


@pytest.mark.parametrize("name", OF_FIXED_SIZES)
def test_every_tensor_is_made_on_the_device_of_the_inputs(name: str) -> None:
    config = MODELS[name]
    with META:
        model = MultiScaleTransformer(config).train()
    ids, features = (moved(part, META) for part in read_by(config))
    targets = moved(Targets(ids, torch.ones(ROWS, LENGTH), torch.zeros(ROWS, LENGTH, dtype=torch.bool)), META)
    with NothingOnTheCpu():
        assert model(ids).device == META, "without features too"
        logits = model(ids, features=features)
        loss_on(model, ids, features, targets).backward()
    assert (logits.device, logits.shape) == (META, (ROWS, LENGTH, config.vocab_size))
    assert all(parameter.grad is not None and parameter.grad.is_meta for parameter in model.parameters())


@pytest.mark.parametrize("name", OF_FIXED_SIZES)
def test_decoding_too_makes_every_tensor_there(name: str) -> None:
    config = MODELS[name]
    with META:
        model = MultiScaleTransformer(config).eval()
    ids, features = (moved(part, META) for part in read_by(config))
    cache = Cache(config)
    with NothingOnTheCpu(), torch.no_grad():
        for piece in (slice(0, 30), slice(30, 31), slice(31, LENGTH)):
            logits = model(ids[:, piece], cache, None if features is None else features[:, piece])
    assert (logits.device, logits.shape[1]) == (META, LENGTH - 31)


def test_a_tensor_on_the_cpu_is_caught() -> None:
    with NothingOnTheCpu(), pytest.raises(AssertionError, match="made it on the CPU"):
        torch.arange(3)


def gradients_of(model: MultiScaleTransformer, *inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad(set_to_none=True)
    loss = loss_of(model, *inputs)
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", MODELS)
def test_both_ways_give_the_same_loss_and_gradients(name: str) -> None:
    model = lively(MODELS[name], torch.float64).train()
    inputs = read_by(MODELS[name])
    loss, gradients = gradients_of(model, *inputs)
    with native_passes():
        native_loss, native_gradients = gradients_of(model, *inputs)
    torch.testing.assert_close(native_loss, loss)
    assert native_gradients.keys() == gradients.keys() == dict(model.named_parameters()).keys()
    for parameter, gradient in gradients.items():
        assert gradient.abs().max() > 0, parameter
        torch.testing.assert_close(
            native_gradients[parameter], gradient, rtol=1e-4, atol=1e-5 * gradient.abs().max().item(), msg=parameter
        )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_ways_give_the_same_logits_in_the_dtypes_of_training(name: str, dtype: torch.dtype) -> None:
    model, (ids, features) = lively(MODELS[name], dtype), read_by(MODELS[name])
    with torch.no_grad():
        exact = lively(MODELS[name], torch.float64)(ids, features=features).float()
        ours = model(ids, features=features)
        with native_passes():
            native = model(ids, features=features)
    assert not torch.equal(ours, native), "the switch switches"
    error = (ours - exact).square().mean().sqrt()
    assert (native - exact).square().mean().sqrt() < 2 * error + 1e-6, "as exact as the hand-written passes"


@pytest.mark.parametrize("name", MODELS)
def test_a_cache_gives_the_same_as_reading_at_once(name: str) -> None:
    model, (ids, features) = lively(MODELS[name], torch.float64), read_by(MODELS[name])
    cache, logits = Cache(MODELS[name]), []
    with torch.no_grad(), native_passes():
        for piece in (slice(0, 30), slice(30, 31), slice(31, LENGTH)):
            logits.append(model(ids[:, piece], cache, None if features is None else features[:, piece]))
        torch.testing.assert_close(torch.cat(logits, 1), model(ids, features=features))


@pytest.mark.parametrize(
    "run",
    [
        passes.rms_norm,
        passes.swiglu,
        lambda x: passes.norm_rotate(x.unflatten(-1, (2, 4)), (torch.ones(5, 2).double(), torch.zeros(5, 2).double())),
    ],
)
def test_rows_of_zeros_have_finite_and_equal_gradients(run: Callable[[Tensor], Tensor]) -> None:
    x = torch.zeros(3, 5, 8, dtype=torch.float64, requires_grad=True)
    (ours,) = torch.autograd.grad(run(x).sum(), x)
    with native_passes():
        (native,) = torch.autograd.grad(run(x).sum(), x)
    assert native.isfinite().all()
    torch.testing.assert_close(native, ours)


def test_the_gain_is_not_rounded_to_the_dtype_of_the_queries() -> None:
    q = torch.randn(1, 1, 400, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    gained = passes._gained(q, torch.tensor(1.003))  # which is 1 in bf16
    assert gained.dtype == torch.bfloat16
    assert (gained.float() * q.float()).sum() / q.float().square().sum() == pytest.approx(1.003, abs=5e-4)


def test_only_a_cpu_computes_by_hand() -> None:
    assert by_hand(torch.device("cpu"))
    assert not any(by_hand(torch.device(name)) for name in ("meta", "cuda", "mps"))
    with native_passes():
        assert not by_hand(torch.device("cpu"))
    assert by_hand(torch.device("cpu"))
