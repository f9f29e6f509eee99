"""Who competes in `axl bench train`: three scales and the flat baseline, each at its best size for three minutes.

The flat one is a byte transformer of the nanoGPT kind given the same care: it is one stack of the very blocks that the fine
scale is made of (pre-norm, QK-norm, RoPE, SwiGLU, the same kernels, zero output maps, tied head), so a difference between the
two is a difference of scales and nothing else. The three-scale model is the best small
shape we found: as many fine layers, one layer in each other scale, all six cross-scale paths, but no feed-forward in them (with
it, as published, it falls further back).
"""

from __future__ import annotations

from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.training.suggest import shape

FLAT = shape(128, 3)
THREE_SCALES = ModelConfig(d_model=128, n_heads=2, d_ff=352, n_layers_per_scale=(3, 1, 1), cross_d_ff=0)

CONTENDERS = {"three scales": THREE_SCALES, "flat": FLAT}
