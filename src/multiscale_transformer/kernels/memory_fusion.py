"""Memory fusion for one row: what `model.memory_fusion.MemoryFusion` calculates, without tensors."""

# Shape suffixes: E model width, V vocabulary, M candidates, J sources, F hidden.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.jit import jit_fastmath

Floats = npt.NDArray[np.float32]


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


@jit_fastmath
def _dot(a, b):
    total = np.float32(0.0)
    for n in range(a.shape[0]):
        total += a[n] * b[n]
    return total


@jit_fastmath
def fuse_memory(fusion, h_E, logits_V, symbols_M, states_MJ, depths_2, scratch):
    """Add to the logit of every candidate what the memories' states of it are worth.

    `h_E` is the normalised state; `scratch` has room for the gates and hidden values.
    """
    sources, hidden = fusion.gate_JE.shape[0], fusion.score_F.shape[0]
    gates, shift, scale = scratch[:sources], scratch[sources : sources + hidden], scratch[sources + hidden :]
    seen = scratch[sources + 2 * hidden :]
    for j in range(sources):
        gate = _dot(fusion.gate_JE[j], h_E) + fusion.gate_bias_J[j]
        gate += fusion.corpus_gate[depths_2[0], j] + fusion.context_gate[depths_2[1], j] - np.float32(1.5)
        gates[j] = gate if gate > np.float32(20.0) else np.float32(np.log1p(np.exp(gate)))
    for f in range(hidden):
        shift[f] = _dot(fusion.state_XE[f], h_E) + fusion.state_bias_X[f]
        scale[f] = np.float32(1.0) + _dot(fusion.state_XE[hidden + f], h_E) + fusion.state_bias_X[hidden + f]
    for m in range(symbols_M.shape[0]):
        symbol = symbols_M[m]
        if symbol < 0:
            break
        bump = np.float32(0.0)
        for j in range(sources):
            state = states_MJ[m, j]
            seen[2 * j], seen[2 * j + 1] = fusion.tables_JSR[j, state, 0], fusion.tables_JSR[j, state, 1]
            bump += seen[2 * j] * gates[j]
        for f in range(hidden):
            value = (_dot(fusion.values_FX[f], seen[: 2 * sources]) + fusion.values_bias_F[f]) * scale[f] + shift[f]
            bump += fusion.score_F[f] * value / (np.float32(1.0) + np.exp(-value))
        logits_V[symbol] += bump
