"""The flat baseline: a byte transformer of the nanoGPT kind, given the same care as the multi-scale model.

It is one stack of the very blocks that the fine scale is made of (pre-norm, QK-norm, RoPE, SwiGLU, hand-written kernels, zero
output maps, tied head), with no other scales, so a difference between the two is a difference of scales and nothing else.
Its size, like the multi-scale model's, is the best of a sweep at three minutes (docs/log.md).
"""

from __future__ import annotations

from multiscale_transformer.model.config import ModelConfig


def flat_config(width: int = 128, layers: int = 4, heads: int = 2, max_seq_len: int = 2048) -> ModelConfig:
    """A flat model; the default is the best size for three minutes on two cores."""
    return ModelConfig(
        d_model=width,
        n_heads=heads,
        d_ff=round(8 * width / 3 / 32) * 32,
        n_layers_per_scale=layers,
        max_seq_len=max_seq_len,
        downsample_factors=(1,),
    )
