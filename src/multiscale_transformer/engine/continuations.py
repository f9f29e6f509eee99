"""How likely each of several continuations of one text is: what candidates are ordered by.

The text is read once; each continuation is read behind it and taken back again, as rejected drafts are. So many candidates cost
little more than their own bytes.
"""

# Shape suffixes: T ids of a continuation, V vocabulary.

from __future__ import annotations

from collections.abc import Sequence as Items
from typing import TYPE_CHECKING

import numpy as np

from multiscale_transformer.engine.decoding import root_of
from multiscale_transformer.engine.engine import MAX_BATCH_TOKENS, Engine, Logits, Read
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.reader import TextReader, no_features

if TYPE_CHECKING:  # the compiled engine needs no PyTorch
    from multiscale_transformer.model.model import MultiScaleTransformer


def log_probabilities(
    engine: Engine, prompt: list[int], continuations: Items[Items[int]], memory: CorpusMemory | None = None
) -> list[float]:
    """The natural logarithm of the probability of each continuation, as ids, right behind `prompt`.

    Raises AxlError when the prompt and the longest continuation together are longer than the model's context.
    """
    longest = max(map(len, continuations), default=0)
    if not prompt or len(prompt) + longest > engine.config.max_seq_len:
        raise AxlError(f"a prompt and its continuations take 1 to {engine.config.max_seq_len} ids")
    memory = memory if engine.config.memory else None
    sequence = engine.new_sequence(prompt, root_of(memory))
    reader = None if memory is None else TextReader(memory)
    if reader is not None and sequence.length:
        reader.read(prompt[: sequence.length], n_skip=sequence.length)

    def read(ids: Items[int]) -> Logits:
        parts = []
        for begin in range(0, len(ids), MAX_BATCH_TOKENS):
            part = ids[begin : begin + MAX_BATCH_TOKENS]
            features = no_features(len(part)) if reader is None else reader.read(part)
            parts.append(engine.read([Read(sequence, part, features, len(part))])[0])
        return np.concatenate(parts)

    try:
        first_V = read(prompt[sequence.length :])[-1]
        sequence.commit()
        if reader is not None:
            reader.keep()
        totals = []
        for ids in continuations:
            logits_TV = np.concatenate((first_V[None], read(ids[:-1]))) if len(ids) > 1 else first_V[None][: len(ids)]
            totals.append(_log_probability(logits_TV, ids))
            sequence.roll_back(max(0, len(ids) - 1))
            if reader is not None:
                reader.restore()
        return totals
    finally:
        sequence.close()


def _log_probability(logits_TV: Logits, ids: Items[int]) -> float:
    logits_TV = logits_TV.astype(np.float64)
    largest_T = logits_TV.max(1)
    normalisers_T = largest_T + np.log(np.exp(logits_TV - largest_T[:, None]).sum(1))
    return float((logits_TV[np.arange(len(ids)), list(ids)] - normalisers_T).sum())


def reference_log_probabilities(
    model: MultiScaleTransformer, prompt: list[int], continuations: Items[Items[int]], memory: CorpusMemory | None = None
) -> list[float]:
    """The same by the reference in PyTorch, which reads the prompt with each of them."""
    import torch

    from multiscale_transformer.memory.reader import MemoryReader

    totals = []
    for ids in continuations:
        read = [*prompt, *ids][:-1]
        features = None if memory is None else MemoryReader(memory).read(read)
        with torch.inference_mode():
            logits_TV = model(torch.tensor([read]), features=features)[0, len(prompt) - 1 :]
        totals.append(_log_probability(logits_TV.float().numpy(), ids) if len(ids) else 0.0)
    return totals
