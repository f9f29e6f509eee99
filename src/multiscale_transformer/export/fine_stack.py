"""The fine stack of a checkpoint with its head as a plain language model that stock engines know.

The auxiliary head is trained beside the whole model, so what it makes of the fine stack is a language model of its own. A stack
without an embedding convolution is a qwen3 (`export.qwen3`), one with it an LFM2 (`export.lfm2`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multiscale_transformer.engine.weights import read_weights
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import read_config

Floats = npt.NDArray[np.float32]
EPSILON = 1e-12  # ours is a floor under the length of a vector, which no state comes near


@dataclass(frozen=True)
class FineStack:
    """A model of an architecture of llama.cpp: its hyperparameters and its tensors by their names in GGUF, rows as outputs.

    `width`, `heads`, `layers` and `d_ff` are those of the file, `config` that of the checkpoint; `conv_length` is how many
    bytes the convolution of its first layer sees, or 0 where there is none.
    """

    architecture: str
    config: ModelConfig
    width: int
    heads: int
    layers: int
    d_ff: int
    tensors: dict[str, Floats]
    conv_length: int = 0


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
    from multiscale_transformer.export.lfm2 import lfm2_stack
    from multiscale_transformer.export.qwen3 import qwen3_stack

    padded = -(-config.d_ff // pad_to) * pad_to
    return (lfm2_stack if config.conv_taps else qwen3_stack)(config, weights, padded)


def padded_ffn(
    block: str, source: str, weights: dict[str, Floats], d_ff: int, wanted: int, more: int = 0
) -> Iterator[tuple[str, Floats]]:
    """The three maps of a feed-forward part, padded to a width of `wanted` inside and by `more` outside."""
    gate, up = np.split(weights[f"{source}feed_forward.w13.weight"], 2)
    padding = ((0, wanted - d_ff), (0, more))
    yield f"{block}ffn_gate.weight", np.pad(gate, padding)
    yield f"{block}ffn_up.weight", np.pad(up, padding)
    yield f"{block}ffn_down.weight", np.pad(weights[f"{source}feed_forward.w2.weight"], padding[::-1])


def silence(config: ModelConfig, weights: dict[str, Floats]) -> Floats:
    """What the input says when the memories say nothing (E,): the first row of each table of the hint."""
    if not config.memory:
        return np.zeros(config.d_model, np.float32)
    return np.asarray(
        sum(weights[f"hint.{name}.weight"][0] for name in ("symbol", "corpus_depth", "context_depth")), np.float32
    )
