"""Who competes in `axl bench train`: three scales and the flat baseline, each at the best size we found for three minutes.

The three-scale model is what `axl train --no-memory` trains by default, the flat one with a memory what `axl train` does. Flat
is a byte transformer of the nanoGPT kind given the same care: one stack of the very blocks that the fine scale is made of
(pre-norm, QK-norm, RoPE, SwiGLU, the same kernels, zero output maps, tied head), so a difference between the two is a
difference of scales and nothing else.
"""

from __future__ import annotations

from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.training.suggest import shape, shape_with_memory

THREE_SCALES = shape(128, 3)
FLAT = ModelConfig(d_model=128, n_heads=2, d_ff=352, n_layers_per_scale=3, downsample_factors=(1,))

FLAT_WITH_MEMORY = shape_with_memory(128, 2)

CONTENDERS = {"three scales": THREE_SCALES, "flat": FLAT}
MEMORY_CONTENDERS = {
    "three scales with memory": THREE_SCALES.model_copy(update={"memory": True}),
    "flat with memory": FLAT_WITH_MEMORY,
    "flat alone": FLAT,
}
