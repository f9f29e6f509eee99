"""The hand-written passes against their formulas, and against autograd."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from multiscale_transformer.model import autograd as kernels
from multiscale_transformer.model.layers import Rotary


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_rms_norm() -> None:
    x = rows(3, 5, 8)
    torch.testing.assert_close(kernels.rms_norm(x), F.rms_norm(x, (8,)))
    assert gradcheck(kernels.rms_norm, x)


def test_norm_rotate_normalises_turns_and_differentiates() -> None:
    x, angles = rows(2, 6, 3, 8), Rotary(8, 100.0).angles(torch.arange(6) * 2 + 1, torch.float64)
    y = kernels.norm_rotate(x, angles)
    assert y.shape == (2, 3, 6, 8)
    torch.testing.assert_close(y.square().mean(-1), torch.ones(2, 3, 6, dtype=torch.float64))
    assert gradcheck(lambda x: kernels.norm_rotate(x, angles), x)


def test_rotary_positions_are_relative() -> None:
    rotary, q, k = Rotary(8, 100.0), rows(1, 1, 1, 8), rows(1, 1, 1, 8, seed=1)

    def product(at: int, from_: int) -> torch.Tensor:
        turned = [kernels.norm_rotate(x, rotary.angles(torch.tensor([p]), torch.float64)) for x, p in ((q, at), (k, from_))]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(product(7, 3), product(107, 103))
    assert not torch.isclose(product(7, 3), product(7, 4))


def test_swiglu() -> None:
    x = rows(4, 12)
    gate, up = x.chunk(2, -1)
    torch.testing.assert_close(kernels.swiglu(x), F.silu(gate) * up)
    assert gradcheck(kernels.swiglu, x)


@pytest.mark.parametrize("tile", [2, 128])
def test_prefix_attention_is_masked_attention(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    monkeypatch.setattr(kernels, "QUERY_CHUNK", tile)
    q, k, v, gain = (
        rows(2, 3, 5, 4),
        rows(2, 3, 7, 4, seed=1),
        rows(2, 3, 7, 4, seed=2),
        rows(1, seed=3)[0].detach().requires_grad_(),
    )
    prefix = torch.tensor([1, 1, 3, 6, 7])
    mask = torch.arange(7) < prefix[:, None]
    expected = F.scaled_dot_product_attention(q * gain, k, v, attn_mask=mask)
    torch.testing.assert_close(kernels.prefix_attention(q, k, v, gain, prefix), expected)
    assert gradcheck(lambda q, k, v, gain: kernels.prefix_attention(q, k, v, gain, prefix), (q, k, v, gain))
