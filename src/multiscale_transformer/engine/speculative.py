"""Speculative decoding: drafts of the next bytes from the index, verified in one step, accepted or rejected.

The first candidate of the memories is read as if it had been sampled, looked up after, and so on, for as long as it is likely
enough to be accepted. How likely that is, is counted: for each pair of match lengths (in the corpus and in the document), how
often such a draft was accepted. The model samples every byte itself, so drafts never change what is written, only how many
bytes a step writes (Leviathan et al. 2023, arXiv 2211.17192; drafts by look-up: Saxena 2023, prompt lookup decoding).
"""

# Shape suffixes: W rows with logits, V vocabulary.

from __future__ import annotations

import numpy as np

from multiscale_transformer.engine.decoding import OutputChunk, SequenceStep, sample
from multiscale_transformer.engine.engine import Logits
from multiscale_transformer.memory.reader import MemoryFeatures, TextReader
from multiscale_transformer.model.memory_spec import NUM_CONTEXT_LENGTHS, NUM_CORPUS_LENGTHS
from multiscale_transformer.model.vocabulary import BOS

MAX_DRAFT = 24  # bytes of a draft
MIN_CHANCE = 0.35  # that the whole draft is accepted, below which it does not get longer
PRIOR = 4.0  # counts that a pair of match lengths begins with


class Drafter:
    """Learns, over all requests of an engine, which drafts are worth their row."""

    def __init__(self) -> None:
        length = np.add.outer(
            np.arange(NUM_CORPUS_LENGTHS) / NUM_CORPUS_LENGTHS, np.arange(NUM_CONTEXT_LENGTHS) / NUM_CONTEXT_LENGTHS
        )
        self._tried = np.full(length.shape, PRIOR)
        self._accepted = PRIOR * np.minimum(0.3 + 0.6 * length, 0.97)

    def propose(
        self, reader: TextReader, features: MemoryFeatures, limit: int = MAX_DRAFT
    ) -> tuple[list[int], list[MemoryFeatures]]:
        """Draft ids to follow the `features` after the last id, and the features after each of them.

        The reader has read them when this returns: `TextReader.keep` is called first, `restore` takes them back.
        """
        ids: list[int] = []
        after: list[MemoryFeatures] = []
        chance = 1.0
        while len(ids) < limit:
            symbol, (corpus, context) = int(features.symbols_TM[-1, 0]), features.lengths_T2[-1]
            chance *= self._accepted[corpus, context] / self._tried[corpus, context]
            if not 0 <= symbol < BOS or chance < MIN_CHANCE:
                break
            if not ids:
                reader.keep()
            features = reader.read([symbol])
            ids.append(symbol)
            after.append(features)
        return ids, after

    def learn(self, features: MemoryFeatures, accepted: bool) -> None:
        """Count whether the byte that the last of `features` proposed was the one that the model sampled."""
        corpus, context = features.lengths_T2[-1]
        self._tried[corpus, context] += 1
        self._accepted[corpus, context] += accepted


def draft(step: SequenceStep, drafter: Drafter, room: int) -> int:
    """Add drafted ids to a decode step, `room` of them at most; returns how many."""
    state, limit = step.state, min(room, step.state.max_draft)
    if state.reader is None or not state.request.draft or limit < 1:
        return 0
    step.drafts, step.draft_features = drafter.propose(state.reader, step.features, limit)
    return len(step.drafts)


def verify_draft(step: SequenceStep, logits_WV: Logits, drafter: Drafter) -> OutputChunk:
    """Sample a byte after the newest id and each draft it agrees with; from the first other one on, drafts are rejected."""
    state, chunk, accepted = step.state, OutputChunk(), 0
    before = [step.features, *step.draft_features]
    for logits_V, features, drafted in zip(logits_WV, before, [*step.drafts, None], strict=True):
        sampled = sample(state, logits_V, chunk)
        if drafted is None:
            break
        drafter.learn(features, sampled == drafted)
        if chunk.ended is not None or sampled != drafted:
            break
        accepted += 1
    _reject(step, len(step.drafts) - accepted)
    state.sequence.commit()
    if chunk.ended is None:
        state.slide_window()
    return chunk


def _reject(step: SequenceStep, rejected: int) -> None:
    """Take the last `rejected` drafts back, out of the KV cache and the reader."""
    if not rejected:
        return
    state, accepted = step.state, len(step.drafts) - rejected
    state.sequence.roll_back(rejected)
    assert state.reader is not None
    state.reader.restore()
    if accepted:
        state.reader.read(step.drafts[:accepted], n_skip=accepted)
