"""Loading weights: a checkpoint as a `Network` for the kernels, read without PyTorch, which takes a second and much RAM."""

# Shape suffixes as in `kernels.network`.

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize

from multiscale_transformer.errors import AxlError
from multiscale_transformer.kernels.attention_simd import LANES
from multiscale_transformer.kernels.gemm_int8 import ROWS
from multiscale_transformer.kernels.memory_fusion import FusionTables
from multiscale_transformer.kernels.network import BLOCK, CROSS, FINE, SCALE, Layers, Network, Shape, Tables
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import WEIGHTS_FILE
from multiscale_transformer.model.memory_spec import COUNT_BINS, NUM_ORDERS, VALUES
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


class _Stack(NamedTuple):
    """A stack of blocks: its factor and layers, and the names of its weights; the first one has no maps and no start."""

    factor: int
    layers: int
    blocks: str
    down: str
    up: str
    start: str


def _stacks(config: ModelConfig) -> list[_Stack]:
    """The stacks of all scales, FINE first. A word stack is the second of two, with room for a row at every byte."""
    stacks = [
        _Stack(factor, layers, f"stacks.{scale}", f"down.{scale - 1}.weight", f"up.{scale - 1}.weight", f"start_E.{scale - 1}")
        for scale, (factor, layers) in enumerate(zip(config.downsample_factors, config.layers, strict=True))
    ]
    if config.word_layers:
        stacks.append(_Stack(1, config.word_layers, "words.blocks", "words.down.weight", "words.up.weight", "words.start_E"))
    return stacks


def linear_names(config: ModelConfig) -> list[str]:
    """The names of all linear maps that are packed, as they stand in `model.safetensors`; the head is the embedding table."""
    stacks = _stacks(config)
    names = [stack.down for stack in stacks[1:]]
    for stack in stacks:
        for layer in range(stack.layers):
            names += [f"{stack.blocks}.{layer}.{path}.weight" for path in _BLOCK_LINEARS.values()]
    cross = [path for path in _CROSS_LINEARS.values() if config.cross_ff or not path.startswith("feed_forward")]
    for depth in range(config.n_cross_attn_layers):
        for pair in range(len(config.pairs)):
            names += [f"cross.{depth}.{pair}.{path}.weight" for path in cross]
    return [*names, *(stack.up for stack in stacks[1:]), HEAD]


_RESIDUAL = (".out.weight", ".w2.weight")  # what these maps give is added to the state
_FEED_FORWARD = {"w13": "feed_forward.w13", "w2": "feed_forward.w2"}
_BLOCK_LINEARS = {"qkv": "attention.qkv", "out": "attention.out", **_FEED_FORWARD}  # field of BLOCK, name in a checkpoint
_CROSS_LINEARS = {"query": "query", "key_value": "key_value", "out": "out", **_FEED_FORWARD}


def build_network(config: ModelConfig, weights: Weights, bits: Mapping[str, int] | int = 8) -> Network:
    """Pack `weights` (by their names in a checkpoint) into a `Network`.

    Raises AxlError when one is missing or of another size, UnfitError for a shape that the kernels do not take.
    """
    if config.d_model % ROWS or config.d_ff % 2 or config.cross_ff % 2:
        raise UnfitError(f"the compiled engine takes widths in steps of {ROWS}: d_model {config.d_model}, d_ff {config.d_ff}")
    packer, numbers = Packer(), {}
    try:
        for name in linear_names(config):
            weight, bias = weights[name], weights.get(name.replace("weight", "bias"))
            if weight.shape[1] > MAX_INPUTS:
                raise UnfitError(f"{name} has {weight.shape[1]:,} inputs; the compiled engine takes up to {MAX_INPUTS:,}")
            width = bits if isinstance(bits, int) else bits.get(name, 8)
            numbers[name] = packer.add(weight, bias, width, residual=name.endswith(_RESIDUAL))
        shape = Shape(config.d_model, config.n_heads, page_bytes(config))
        return Network(shape, _layers(config, numbers), packer.packed(), _tables(config, weights), _fusion(config, weights))
    except KeyError as error:
        raise AxlError(f"the checkpoint lacks {error}; it is damaged or from another version: train it again") from error


def page_bytes(config: ModelConfig) -> int:
    """Bytes of a sequence that one page covers."""
    unit = LANES * config.downsample_factors[-1]
    return -(-PAGE // unit) * unit


def page_elements(config: ModelConfig) -> int:
    """Numbers of two bytes in a page: keys and values of every layer, and the up-sampled states.

    A word stack has room for a row at every byte: a page of newlines has so many, and a layer of it takes no more than one of
    the fine stack.
    """
    page, stacks = page_bytes(config), _stacks(config)
    blocks = sum(2 * stack.layers * page // stack.factor for stack in stacks)
    pairs = sum(2 * page // read for _, read in config.pairs) * config.n_cross_attn_layers
    return (blocks + pairs + page * (len(stacks) - 1)) * config.d_model


def _layers(config: ModelConfig, numbers: Mapping[str, int]) -> Layers:
    """Where each layer finds its linear maps and its place in a page: one behind another, as `page_elements` counts them."""
    factors, stacks, page, d, at = config.downsample_factors, _stacks(config), page_bytes(config), config.d_model, 0
    blocks_SL = np.full((len(stacks), max(stack.layers for stack in stacks)), -1, BLOCK)
    for scale, stack in enumerate(stacks):
        for layer in range(stack.layers):
            for field, path in _BLOCK_LINEARS.items():
                blocks_SL[scale, layer][field] = numbers[f"{stack.blocks}.{layer}.{path}.weight"]
            blocks_SL[scale, layer]["kv_at"] = at
            at += 2 * d * page // stack.factor
    cross_XP = np.full((config.n_cross_attn_layers, len(config.pairs)), -1, CROSS)
    for depth in range(config.n_cross_attn_layers):
        for pair, (reader, source) in enumerate(config.pairs):
            of_pair = cross_XP[depth, pair]
            of_pair["reader"], of_pair["source"], of_pair["kv_at"] = factors.index(reader), factors.index(source), at
            for field, path in _CROSS_LINEARS.items():
                of_pair[field] = numbers.get(f"cross.{depth}.{pair}.{path}.weight", -1)
            at += 2 * d * page // source
    scales_S = np.full(len(stacks), -1, SCALE)
    for scale, stack in enumerate(stacks):
        scales_S[scale]["factor"], scales_S[scale]["layers"] = stack.factor, stack.layers
        if scale != FINE:
            scales_S[scale]["down"], scales_S[scale]["up"] = numbers[stack.down], numbers[stack.up]
            scales_S[scale]["up_at"] = at
            at += d * page
    return Layers(blocks_SL, numbers[HEAD], scales_S, cross_XP, words=len(stacks) - 1 if config.word_layers else -1)


def _tables(config: ModelConfig, weights: Weights) -> Tables:
    d, stacks = config.d_model, _stacks(config)
    heads, width = config.n_heads, config.head_dim
    stack_gain_SL = np.zeros((len(stacks), max(stack.layers for stack in stacks)), np.float32)
    for scale, stack in enumerate(stacks):
        for layer in range(stack.layers):
            stack_gain_SL[scale, layer] = weights[f"{stack.blocks}.{layer}.attention.query_gain"]
    cross_gain_XP = np.zeros((config.n_cross_attn_layers, len(config.pairs)), np.float32)
    sinks_XP2HD = np.zeros((config.n_cross_attn_layers, len(config.pairs), 2, heads, width), np.float32)
    for depth in range(config.n_cross_attn_layers):
        for pair in range(len(config.pairs)):
            cross_gain_XP[depth, pair] = weights[f"cross.{depth}.{pair}.query_gain"]
            sinks_XP2HD[depth, pair] = weights[f"cross.{depth}.{pair}.sink_2HD"]
    start_SE = np.stack([np.zeros(d, np.float32), *(weights[stack.start] for stack in stacks[1:])])
    none = np.zeros((0, d), np.float32)
    names = ("symbol", "corpus_depth", "context_depth")
    symbol, corpus, context = (weights[f"hint.{name}.weight"] if config.memory else none for name in names)
    gated = len(config.downsample_factors) > 1
    gate, gate_bias_S = (weights["gate.weight"], weights["gate.bias"]) if gated else (none, np.zeros(0, np.float32))
    frequencies = 1.0 / config.rope_theta ** (np.arange(0, width, 2) / width)
    angles = np.arange(config.max_seq_len)[:, None] * frequencies
    return Tables(
        normed_VE=normalised(weights[HEAD]),
        conv_KE=weights["conv_KE"] if config.conv_taps else none,
        input_symbol=symbol,
        input_corpus=corpus,
        input_context=context,
        cos=np.cos(angles).astype(np.float32),
        sin=np.sin(angles).astype(np.float32),
        stack_gain_SL=stack_gain_SL,
        no_sinks_2HD=np.zeros((2, heads, 0), np.float32),
        cross_gain_XP=cross_gain_XP,
        sinks_XP2HD=sinks_XP2HD,
        start_SE=start_SE,
        since_KE=weights["words.since.weight"] if config.word_layers else none,
        gate=gate,
        gate_bias_S=gate_bias_S,
    )


def normalised(x_RE: Floats) -> Floats:
    """Rows of unit root mean square, as `model.autograd.rms_norm`."""
    length_R1 = np.sqrt((x_RE.astype(np.float64) ** 2).sum(-1, keepdims=True)).clip(1e-6)
    return np.asarray(x_RE * (x_RE.shape[1] ** 0.5 / length_R1), np.float32)


def _fusion(config: ModelConfig, weights: Weights) -> FusionTables:
    """The parameters of memory fusion. Raises AxlError when they were trained for other orders or counts."""
    if not config.memory:
        square, line = np.zeros((0, 0), np.float32), np.zeros(0, np.float32)
        return FusionTables(np.zeros((0, 0, 0), np.float32), square, line, square, square, square, line, square, line, line)
    names = (
        "tables_JSR", "gate.weight", "gate_bias_J", "corpus_gate", "context_gate", "values.weight", "values.bias",
        "state.weight", "state.bias",
    )  # fmt: skip
    fusion = FusionTables(*(weights[f"fusion.{name}"] for name in names), weights["fusion.score.weight"][0])  # type: ignore[call-arg]
    hidden = len(fusion.score_F)
    expected = (
        (NUM_ORDERS, COUNT_BINS, VALUES),
        (NUM_ORDERS, config.d_model),
        (hidden, NUM_ORDERS * VALUES),
        (2 * hidden, config.d_model),
    )
    if (fusion.tables_JSR.shape, fusion.gate_JE.shape, fusion.values_FX.shape, fusion.state_XE.shape) != expected:
        raise AxlError("the checkpoint's memory fusion has other sizes; it is damaged or from another version: train it again")
    return fusion
