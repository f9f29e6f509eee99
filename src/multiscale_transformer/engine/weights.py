"""A checkpoint as a `Network`, read without PyTorch: a second and hundreds of megabytes that completion need not pay."""

# Shape suffixes as in `network`.

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize

from multiscale_transformer.engine.compiled_model import Maps, Network, Shape, Tables
from multiscale_transformer.errors import AxlError
from multiscale_transformer.kernels.attention_simd import LANES
from multiscale_transformer.kernels.gemm_int8 import ROWS
from multiscale_transformer.kernels.memory_fusion import FusionTables
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import WEIGHTS_FILE
from multiscale_transformer.quantization.quantize import MAX_INPUTS, Packer

Floats = npt.NDArray[np.float32]
Weights = Mapping[str, Floats]

PAGE = 64  # bytes of a sequence that a page covers, or a few more: whole vectors of rows at every scale
HEAD = "embedding.weight"
_DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2"), "F64": np.dtype("<f8")}


class UnfitError(AxlError):
    """The compiled engine cannot or must not run this checkpoint on this machine; the reference can."""


def read_weights(folder: Path) -> dict[str, Floats]:
    """All tensors of a checkpoint as fp32. Raises AxlError when the file is missing or damaged."""
    path = folder / WEIGHTS_FILE
    try:
        tensors = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
        return {name: _as_float(view) for name, view in tensors}
    except FileNotFoundError as error:
        raise AxlError(f"{path} is missing; give the folder of a finished run") from error
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise AxlError(f"{path} is damaged ({error}); restore it or train again") from error


def _as_float(view: Mapping[str, object]) -> Floats:
    raw = np.frombuffer(view["data"], _DTYPES[str(view["dtype"])])  # type: ignore[call-overload]
    if view["dtype"] == "BF16":
        raw = (raw.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(raw, np.float32).reshape(view["shape"])  # type: ignore[no-any-return, call-overload]


def linear_names(config: ModelConfig) -> list[str]:
    """The names of all linear maps that are packed, as they stand in `model.safetensors`; the head is the embedding table."""
    names = [f"down.{index}.weight" for index in range(len(config.downsample_factors) - 1)]
    for scale, layers in enumerate(config.layers):
        for layer in range(layers):
            names += [f"stacks.{scale}.{layer}.{part}.weight" for part in _STACK_PARTS]
    cross = _CROSS_PARTS if config.cross_ff else _CROSS_PARTS[:3]
    for depth in range(config.n_cross_attn_layers):
        for pair in range(len(config.pairs)):
            names += [f"cross.{depth}.{pair}.{part}.weight" for part in cross]
    names += [f"up.{index}.weight" for index in range(len(config.downsample_factors) - 1)]
    return [*names, HEAD]


_RESIDUAL = (".out.weight", ".w2.weight")  # what these maps give is added to the state
_STACK_PARTS = ("attention.qkv", "attention.out", "feed_forward.w13", "feed_forward.w2")
_CROSS_PARTS = ("query", "key_value", "out", "feed_forward.w13", "feed_forward.w2")


def build_network(config: ModelConfig, weights: Weights, bits: Mapping[str, int] | int = 8) -> Network:
    """Pack `weights` (by their names in a checkpoint) into a `Network`.

    Raises AxlError when one is missing, UnfitError for a shape that the kernels do not take.
    """
    if config.d_model % ROWS or config.d_ff % 2 or config.cross_ff % 2:
        raise UnfitError(f"the compiled engine takes widths in steps of {ROWS}: d_model {config.d_model}, d_ff {config.d_ff}")
    packer, numbers = Packer(), {}
    try:
        for name in linear_names(config):
            weight = weights[name]
            if weight.shape[1] > MAX_INPUTS:
                raise UnfitError(f"{name} has {weight.shape[1]:,} inputs; the compiled engine takes up to {MAX_INPUTS:,}")
            wanted = bits if isinstance(bits, int) else bits.get(name, 8)
            numbers[name] = packer.add(
                weight, weights.get(name.replace("weight", "bias")), wanted, adds=name.endswith(_RESIDUAL)
            )
        return Network(
            _shape(config), _maps(config, numbers), packer.packed(), _tables(config, weights), _fusion(config, weights)
        )
    except KeyError as error:
        raise AxlError(f"the checkpoint lacks {error}; it is damaged or from another version: train it again") from error


def page_bytes(config: ModelConfig) -> int:
    """Bytes of a sequence that one page covers."""
    unit = LANES * config.downsample_factors[-1]
    return -(-PAGE // unit) * unit


def page_elements(config: ModelConfig) -> int:
    """Numbers of two bytes in a page: keys and values of every layer, and the up-sampled states."""
    page, d = page_bytes(config), config.d_model
    stacks = sum(2 * layers * page // s for s, layers in zip(config.downsample_factors, config.layers, strict=True))
    pairs = sum(2 * page // read for _, read in config.pairs) * config.n_cross_attn_layers
    return (stacks + pairs + page * (len(config.downsample_factors) - 1)) * d


def _shape(config: ModelConfig) -> Shape:
    factors, page, d = config.downsample_factors, page_bytes(config), config.d_model
    at = 0
    stack_at_SL = np.zeros((len(factors), max(config.layers)), np.int64)
    for scale, layers in enumerate(config.layers):
        for layer in range(layers):
            stack_at_SL[scale, layer] = at
            at += 2 * d * page // factors[scale]
    cross_at_XP = np.zeros((config.n_cross_attn_layers, len(config.pairs)), np.int64)
    for depth in range(config.n_cross_attn_layers):
        for pair, (_, read) in enumerate(config.pairs):
            cross_at_XP[depth, pair] = at
            at += 2 * d * page // read
    up_at_S = np.zeros(len(factors), np.int64)
    for scale in range(1, len(factors)):
        up_at_S[scale] = at
        at += d * page
    pairs_P2 = np.array([[factors.index(a), factors.index(b)] for a, b in config.pairs], np.int64).reshape(-1, 2)
    return Shape(
        d, config.n_heads, page, np.array(factors, np.int64), np.array(config.layers, np.int64), pairs_P2, stack_at_SL,
        cross_at_XP, up_at_S,
    )  # fmt: skip


def _maps(config: ModelConfig, numbers: Mapping[str, int]) -> Maps:
    scales = range(1, len(config.downsample_factors))
    stack_SL4 = np.full((len(config.layers), max(config.layers), 4), -1, np.int64)
    for scale, layers in enumerate(config.layers):
        for layer in range(layers):
            stack_SL4[scale, layer] = [numbers[f"stacks.{scale}.{layer}.{part}.weight"] for part in _STACK_PARTS]
    cross_XP5 = np.full((config.n_cross_attn_layers, len(config.pairs), 5), -1, np.int64)
    for depth in range(config.n_cross_attn_layers):
        for pair in range(len(config.pairs)):
            cross_XP5[depth, pair] = [numbers.get(f"cross.{depth}.{pair}.{part}.weight", -1) for part in _CROSS_PARTS]
    down_S, up_S = (
        np.array([-1, *(numbers[f"{kind}.{scale - 1}.weight"] for scale in scales)], np.int64) for kind in ("down", "up")
    )
    return Maps(down_S, stack_SL4, cross_XP5, up_S, numbers[HEAD])


def _tables(config: ModelConfig, weights: Weights) -> Tables:
    d, scales = config.d_model, len(config.downsample_factors)
    heads, width = config.n_heads, config.head_dim
    stack_gain_SL = np.zeros((scales, max(config.layers)), np.float32)
    for scale, layers in enumerate(config.layers):
        for layer in range(layers):
            stack_gain_SL[scale, layer] = weights[f"stacks.{scale}.{layer}.attention.query_gain"]
    cross_gain_XP = np.zeros((config.n_cross_attn_layers, len(config.pairs)), np.float32)
    sinks_XP2HD = np.zeros((config.n_cross_attn_layers, len(config.pairs), 2, heads, width), np.float32)
    for depth in range(config.n_cross_attn_layers):
        for pair in range(len(config.pairs)):
            cross_gain_XP[depth, pair] = weights[f"cross.{depth}.{pair}.query_gain"]
            sinks_XP2HD[depth, pair] = weights[f"cross.{depth}.{pair}.sink_2HD"]
    start_SE = np.stack([np.zeros(d, np.float32), *(weights[f"start_E.{scale}"] for scale in range(scales - 1))])
    none = np.zeros((0, d), np.float32)
    hints = [weights[f"hint.{name}.weight"] for name in ("symbol", "corpus_depth", "context_depth")] if config.memory else []
    symbol, corpus, context = hints or [none] * 3
    gate, gate_bias_S = (weights["gate.weight"], weights["gate.bias"]) if scales > 1 else (none, np.zeros(0, np.float32))
    frequencies = 1.0 / config.rope_theta ** (np.arange(0, width, 2) / width)
    turned = np.arange(config.max_seq_len)[:, None] * frequencies
    return Tables(
        weights[HEAD], symbol, corpus, context, start_SE, gate, gate_bias_S, stack_gain_SL, cross_gain_XP, sinks_XP2HD,
        np.zeros((2, heads, 0), np.float32), np.cos(turned).astype(np.float32), np.sin(turned).astype(np.float32),
    )  # fmt: skip


def _fusion(config: ModelConfig, weights: Weights) -> FusionTables:
    if not config.memory:
        square, line = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
        return FusionTables(np.zeros((0, 0, 0), np.float32), square, line, square, square, square, line, square, line, line)
    names = (
        "tables_JSR", "gate.weight", "gate_bias_J", "corpus_gate", "context_gate", "values.weight", "values.bias",
        "state.weight", "state.bias",
    )  # fmt: skip
    parts = {name: weights[f"fusion.{name}"] for name in names}
    return FusionTables(*parts.values(), weights["fusion.score.weight"][0])  # type: ignore[call-arg]
