"""Memory fusion for one row: what `model.memory_fusion.MemoryFusion` calculates, without tensors."""

# Shape suffixes: E model width, V vocabulary, M candidates, J orders, F hidden, X values of all orders, T threads.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.jit import jit_fastmath

Floats = npt.NDArray[np.float32]

_LINE = 32  # numbers that processors move between their caches together: each thread's scratch is a multiple of it


class FusionTables(NamedTuple):
    """The parameters of `MemoryFusion`, under its names; all empty where a model has none."""

    tables_JSR: Floats
    gate_JE: Floats
    gate_bias_J: Floats
    corpus_gate: Floats
    context_gate: Floats
    values_FX: Floats
    values_bias_F: Floats
    state_XE: Floats
    state_bias_X: Floats
    score_F: Floats


class FusionScratch(NamedTuple):
    """Room for each thread: the gate of every order, shift and scale of the hidden units, the values of a candidate."""

    gate_TJ: Floats
    shift_TF: Floats
    scale_TF: Floats
    values_TX: Floats


def new_fusion_scratch(fusion: FusionTables, threads: int) -> FusionScratch:
    """Scratch of the sizes that the tables have."""
    orders, hidden, values = len(fusion.gate_JE), len(fusion.score_F), fusion.values_FX.shape[1]
    sizes = (-(-size // _LINE) * _LINE for size in (orders, hidden, hidden, values))
    return FusionScratch(*(np.zeros((threads, size), np.float32) for size in sizes))


@jit_fastmath
def _dot(a, b):
    total = np.float32(0.0)
    for n in range(a.shape[0]):
        total += a[n] * b[n]
    return total


@jit_fastmath
def memory_fusion(fusion, h_E, logits_V, symbols_M, bins_MJ, lengths_2, scratch, thread):
    """Add to the logit of every candidate what its counts in the memories are worth; `h_E` is the normalised state."""
    orders, hidden = fusion.gate_JE.shape[0], fusion.score_F.shape[0]
    gate_J, shift_F, scale_F = scratch.gate_TJ[thread], scratch.shift_TF[thread], scratch.scale_TF[thread]
    values_X = scratch.values_TX[thread]
    for j in range(orders):
        gate = _dot(fusion.gate_JE[j], h_E) + fusion.gate_bias_J[j]
        gate += fusion.corpus_gate[lengths_2[0], j] + fusion.context_gate[lengths_2[1], j] - np.float32(1.5)
        gate_J[j] = gate if gate > np.float32(20.0) else np.float32(np.log1p(np.exp(gate)))
    for f in range(hidden):
        shift_F[f] = _dot(fusion.state_XE[f], h_E) + fusion.state_bias_X[f]
        scale_F[f] = np.float32(1.0) + _dot(fusion.state_XE[hidden + f], h_E) + fusion.state_bias_X[hidden + f]
    for m in range(symbols_M.shape[0]):
        symbol = symbols_M[m]
        if symbol < 0:
            break
        logit_delta = np.float32(0.0)
        for j in range(orders):
            count_bin = bins_MJ[m, j]
            values_X[2 * j], values_X[2 * j + 1] = fusion.tables_JSR[j, count_bin, 0], fusion.tables_JSR[j, count_bin, 1]
            logit_delta += values_X[2 * j] * gate_J[j]
        for f in range(hidden):
            value = (_dot(fusion.values_FX[f], values_X[: 2 * orders]) + fusion.values_bias_F[f]) * scale_F[f] + shift_F[f]
            logit_delta += fusion.score_F[f] * value / (np.float32(1.0) + np.exp(-value))
        logits_V[symbol] += logit_delta
