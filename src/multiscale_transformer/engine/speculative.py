"""Drafts from the memory: what it would write next, for the model to verify in one step.

The first candidate of the memories is read as if it had been drawn, looked up after, and so on, for as long as it is
likely enough that the model agrees. How likely that is, is counted: for each pair of match lengths (in the corpus and in the
document), how often such a draft was accepted. The model draws every byte itself, so drafts never change what is written, only
how many bytes a step writes (Leviathan et al. 2023, arXiv 2211.17192; drafts by look-up: Saxena 2023, prompt lookup decoding).
"""

from __future__ import annotations

import numpy as np

from multiscale_transformer.memory.reader import MemoryFeatures, TextReader
from multiscale_transformer.model.memory_spec import NUM_CONTEXT_LENGTHS, NUM_CORPUS_LENGTHS
from multiscale_transformer.model.vocabulary import BOS

MOST = 24  # bytes of a draft
MIN_CHANCE = 0.35  # that the whole draft is accepted, below which it does not get longer
PRIOR = 4.0  # counts that a pair of depths begins with


class Drafter:
    """Learns, over all requests of an engine, which drafts are worth their row."""

    def __init__(self) -> None:
        depth = np.add.outer(
            np.arange(NUM_CORPUS_LENGTHS) / NUM_CORPUS_LENGTHS, np.arange(NUM_CONTEXT_LENGTHS) / NUM_CONTEXT_LENGTHS
        )
        self._tried = np.full(depth.shape, PRIOR)
        self._accepted = PRIOR * np.minimum(0.3 + 0.6 * depth, 0.97)

    def propose(self, reader: TextReader, found: MemoryFeatures, most: int = MOST) -> tuple[list[int], list[MemoryFeatures]]:
        """Draft ids to follow what was `found` after the last id, and what is found after each of them.

        The reader has read them when this returns: `TextReader.keep` is called first, `restore` takes them back.
        """
        ids: list[int] = []
        after: list[MemoryFeatures] = []
        chance = 1.0
        while len(ids) < most:
            symbol, (corpus, context) = int(found.symbols_TM[-1, 0]), found.depths_T2[-1]
            chance *= self._accepted[corpus, context] / self._tried[corpus, context]
            if not 0 <= symbol < BOS or chance < MIN_CHANCE:
                break
            if not ids:
                reader.keep()
            found = reader.read([symbol])
            ids.append(symbol)
            after.append(found)
        return ids, after

    def learn(self, found: MemoryFeatures, accepted: bool) -> None:
        """Count whether the byte proposed by what was `found` was the one that the model drew."""
        corpus, context = found.depths_T2[-1]
        self._tried[corpus, context] += 1
        self._accepted[corpus, context] += accepted
