"""Memory fusion: the net learns what each thing it can look up is worth, and when.

Every count bin of every order has learned values (a table); the fused state of the net opens and closes the orders. A small
network then sees all values of a candidate together, with the state, and has the last word (as the final mixers and SSE stages
of PAQ do, Mahoney 2005). What comes out is added to the candidate's logit; bytes that no memory names keep the net's own. So
without a memory the model is just the net.
"""

# Shape suffixes: B batch, T positions, M candidates, J orders, R values of a bin, X = J * R, E model width, F hidden,
# V vocabulary.

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.layers import Linear
from multiscale_transformer.model.memory_spec import (
    COUNT_BINS,
    HIDDEN,
    NUM_CONTEXT_LENGTHS,
    NUM_CORPUS_LENGTHS,
    NUM_ORDERS,
    VALUES,
)
from multiscale_transformer.model.memory_tensors import MemoryTensors
from multiscale_transformer.model.passes import rms_norm, table_values


class MemoryFusion(nn.Module):
    """Adds to each candidate's logit what its counts in the memories are worth."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.d_model
        self.tables_JSR = nn.Parameter(torch.stack([_log_odds(), torch.zeros(COUNT_BINS)], -1).repeat(NUM_ORDERS, 1, 1))
        self.gate = Linear(d, NUM_ORDERS, bias=False, orthogonal=False)
        self.gate_bias_J = nn.Parameter(torch.zeros(NUM_ORDERS))
        self.corpus_gate = nn.Parameter(torch.zeros(NUM_CORPUS_LENGTHS, NUM_ORDERS))
        self.context_gate = nn.Parameter(torch.zeros(NUM_CONTEXT_LENGTHS, NUM_ORDERS))
        self.values = Linear(NUM_ORDERS * VALUES, HIDDEN, bias=True, orthogonal=False)
        self.state = Linear(d, 2 * HIDDEN, bias=True, orthogonal=False)
        self.score = Linear(HIDDEN, 1, bias=False, orthogonal=False)
        nn.init.zeros_(self.gate.weight)
        nn.init.zeros_(self.score.weight)

    def forward(self, h_BTE: Tensor, logits_BTV: Tensor, features: MemoryTensors) -> Tensor:
        """Logits (B, T, V) in which those of the candidates are changed."""
        h_BTE = rms_norm(h_BTE)
        corpus_BT, context_BT = features.lengths_BT2.long().unbind(-1)
        tables_J = torch.arange(0, NUM_ORDERS * COUNT_BINS, COUNT_BINS, dtype=torch.int32, device=h_BTE.device)
        first_BTMJ, values_BTMX = table_values(self.tables_JSR, features.bins_BTMJ.int() + tables_J, h_BTE.dtype)
        gate_BTJ = self.gate(h_BTE).float() + self.gate_bias_J + self.corpus_gate[corpus_BT] + self.context_gate[context_BT]
        gated_BTM = torch.einsum("...mj,...j->...m", first_BTMJ, F.softplus(gate_BTJ - 1.5))
        shift, scale = self.state(h_BTE).unsqueeze(-2).chunk(2, -1)
        hidden_BTMF = F.silu(self.values(values_BTMX) * (1 + scale) + shift)
        delta_BTM = gated_BTM + self.score(hidden_BTMF)[..., 0].float()
        symbols = features.symbols_BTM.long()
        delta_BTM = delta_BTM * (symbols >= 0)
        return logits_BTV.scatter_add(-1, symbols.clamp_min(0), delta_BTM.to(logits_BTV.dtype))


class MemoryInputFeatures(nn.Module):
    """Tells the net, at its input, what the memories propose and how long their matches are; silent at first."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d = config.d_model
        self.symbol = nn.Embedding(config.vocab_size + 1, d)
        self.corpus_depth, self.context_depth = nn.Embedding(NUM_CORPUS_LENGTHS, d), nn.Embedding(NUM_CONTEXT_LENGTHS, d)
        for table in (self.symbol, self.corpus_depth, self.context_depth):
            nn.init.zeros_(table.weight)

    def forward(self, inputs_BT3: Tensor) -> Tensor:
        """(B, T, E) to add to the embedding of each byte."""
        proposed_BT, corpus_BT, context_BT = inputs_BT3.long().unbind(-1)
        return self.symbol(proposed_BT + 1) + self.corpus_depth(corpus_BT) + self.context_depth(context_BT)  # type: ignore[no-any-return]


def _log_odds() -> Tensor:
    """A first guess at the value of a count bin: about the log of how much likelier than a blind guess."""
    steps = torch.tensor([0.0, 1.0, 2.0, 3.5, 6.5, 12.5, 24.5, 48.0])
    came, other = torch.meshgrid(steps, steps, indexing="ij")
    share = (came + 0.02) / (came + other + 0.02 * 32)
    return (share * 32).log().flatten() * (1 / math.log(32 * 50))
