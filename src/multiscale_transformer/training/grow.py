"""Depth growth that does not change the function (Net2Net, Chen et al. 2016; stacking, Gong et al. 2019).

The output maps of a fresh block are zero, so appending blocks to a stack leaves every logit as it is; the new blocks copy the
inner weights of the block below them and begin to learn from there. A model too deep for its budget starts with one layer a
scale and grows while it trains; one with a word stack keeps its fine layers, which are few, and its word stack grows.
"""

from __future__ import annotations

import copy

from torch import nn

from multiscale_transformer.model.blocks import Block
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer

GROWN_BY = 0.5  # elapsed fraction at which the full depth is reached


def depth_at(fraction: float, config: ModelConfig) -> tuple[int, ...]:
    """Layers of each stack at an elapsed fraction: one at the start, then one more at even steps up to all."""
    kept, growing = (config.layers, (config.word_layers,)) if config.word_layers else ((), config.layers)
    deepest = max(growing)
    grown = min(deepest, 1 + int(fraction / GROWN_BY * (deepest - 1)))
    return (*kept, *(min(layers, grown) for layers in growing))


def with_depth(config: ModelConfig, depths: tuple[int, ...]) -> ModelConfig:
    """The same model with other numbers of layers, in the order of `ModelConfig.depths`."""
    scales = len(config.layers)
    return config.model_copy(update={"n_layers_per_scale": depths[:scales], "word_layers": sum(depths[scales:])})


def grow(model: MultiScaleTransformer, depths: tuple[int, ...]) -> None:
    """Append blocks until the stacks have `depths` layers; the function does not change.

    Parameter names of existing blocks stay, so optimizer state can be carried over by name.
    """
    model.config = with_depth(model.config, depths)
    for stack, wanted in zip((*model.stacks, *((model.words.blocks,) if model.words else ())), depths, strict=True):
        assert isinstance(stack, nn.ModuleList)
        while len(stack) < wanted:
            block = copy.deepcopy(stack[-1])
            assert isinstance(block, Block)
            nn.init.zeros_(block.attention.out.weight)
            nn.init.zeros_(block.feed_forward.w2.weight)
            for linear in (block.attention.out, block.feed_forward.w2):
                if linear.bias is not None:
                    nn.init.zeros_(linear.bias)
            stack.append(block)
