"""Who competes in `axl bench train`: three scales and the flat baseline, each at its best size for three minutes.

The flat one is a byte transformer of the nanoGPT kind given the same care: it is one stack of the very blocks that the fine
scale is made of (pre-norm, QK-norm, RoPE, SwiGLU, the same kernels, zero output maps, tied head), so a difference between the
two is a difference of scales and nothing else. The three-scale model comes in two forms: the best small shape we found, without
feed-forward in the cross-scale blocks, and in the published proportions.
"""

from __future__ import annotations

from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.training.suggest import shape

FLAT = shape(128, 3)
THREE_SCALES = ModelConfig(d_model=128, n_heads=2, d_ff=352, n_layers_per_scale=(2, 1, 1), cross_d_ff=0)
PUBLISHED_PROPORTIONS = ModelConfig(d_model=96, n_heads=2, d_ff=256, n_layers_per_scale=1)

CONTENDERS = {
    "three scales": THREE_SCALES,
    "flat": FLAT,
    "three scales, published proportions": PUBLISHED_PROPORTIONS,
}
