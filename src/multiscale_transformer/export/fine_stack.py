"""The fine stack of a checkpoint with its head as a plain language model that stock engines know.

The auxiliary head is trained beside the whole model, so what it makes of the fine stack is a language model of its own. A stack
without an embedding convolution is a qwen3 (`export.qwen3`), one with it an LFM2 (`export.lfm2`).
"""

from __future__ import annotations

from pathlib import Path

from multiscale_transformer.engine.weights import read_weights
from multiscale_transformer.errors import AxlError
from multiscale_transformer.export.lfm2 import lfm2_stack
from multiscale_transformer.export.qwen3 import qwen3_stack
from multiscale_transformer.export.stack import FineStack, Floats
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import read_config


def fine_stack(folder: Path, *, pad_to: int = 256) -> FineStack:
    """The fine stack of a checkpoint, its feed-forward width padded with zeros, which changes nothing, to a multiple.

    Raises AxlError when the folder is no checkpoint, or it has biases or a word stack: no architecture there has them.
    """
    config = read_config(folder)
    if config.bias:
        raise AxlError(f"the model in {folder} has biases, which the files of llama.cpp have no place for; train it without")
    if config.word_layers:
        raise AxlError(
            f"the model in {folder} has a word stack, which the files of llama.cpp have no place for; export a plain student "
            "of it: axl distill, or --distill MINUTES"
        )
    return stack_of(config, read_weights(folder), pad_to=pad_to)


def stack_of(config: ModelConfig, weights: dict[str, Floats], *, pad_to: int = 256) -> FineStack:
    """The fine stack of a model without biases, given its weights by their names in a checkpoint."""
    padded = -(-config.d_ff // pad_to) * pad_to
    return (lfm2_stack if config.conv_taps else qwen3_stack)(config, weights, padded)
