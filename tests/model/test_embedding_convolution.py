"""The embedding convolution: what it calculates, where it begins, and that a fresh one is silent."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from model.test_rule_of_time import SHAPES, some_ids
from multiscale_transformer.model.byte_transformer import embedding_convolution
from multiscale_transformer.model.model import MultiScaleTransformer


@given(st.integers(1, 6), st.integers(1, 9))
def test_it_is_pytorch_s_depthwise_convolution_with_nothing_before_the_text(taps: int, length: int) -> None:
    e_BTE, conv_KE = torch.randn(2, length, 8, dtype=torch.float64), torch.randn(taps, 8, dtype=torch.float64)
    kernel_E1K = torch.cat((torch.ones(1, 8, dtype=torch.float64), conv_KE)).flip(0).T[:, None]
    padded = torch.nn.functional.pad(e_BTE.transpose(1, 2), (taps, 0))
    expected = torch.nn.functional.conv1d(padded, kernel_E1K, groups=8).transpose(1, 2)
    torch.testing.assert_close(embedding_convolution(e_BTE, conv_KE), expected)


def test_a_fresh_one_is_silent_and_learns() -> None:
    torch.manual_seed(0)
    model = MultiScaleTransformer(SHAPES["convolution"])
    plain = MultiScaleTransformer(SHAPES["flat"])
    plain.load_state_dict(model.state_dict(), strict=False)
    ids = some_ids()
    with torch.inference_mode():
        assert torch.equal(model(ids), plain(ids))
    model(ids).logsumexp(-1).sum().backward()
    assert model.conv_KE is not None
    assert model.conv_KE.grad is not None
    assert model.conv_KE.grad.abs().min() > 0
