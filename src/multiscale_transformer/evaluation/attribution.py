"""Attribution: how many bits a memory saves at each byte of a text, beside what the byte costs the net alone.

The same text is scored with the memory and without it. The difference is positive where the memory helped and negative where
it predicted another byte. `axl complete --explain` adds it up over each passage that stands in an indexed file. The engine
scores without PyTorch; only the reference imports it.
"""

# Shape suffixes: T ids that are read, V vocabulary, N the last of them.

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from multiscale_transformer.engine.prompt_scoring import ScoreRequest
from multiscale_transformer.memory.lookup import CorpusMemory

if TYPE_CHECKING:  # the compiled engine needs no PyTorch
    from multiscale_transformer.engine.scheduler import Scheduler
    from multiscale_transformer.model.model import MultiScaleTransformer

Bits = npt.NDArray[np.float64]
Costs = Callable[[Sequence[int], CorpusMemory | None, int], Bits]  # ids, the first of which is BOS, to bits (N,) of the last N


def bits_saved(costs: Costs, ids: Sequence[int], memory: CorpusMemory, count: int) -> Bits:
    """Bits (N,) that `memory` saves at the last `count` of `ids`."""
    if not count:
        return np.zeros(0)
    return costs(ids, None, count) - costs(ids, memory, count)


def engine_costs(scheduler: Scheduler) -> Costs:
    """Costs by the compiled engine, in the windows in which texts are scored."""

    def costs(ids: Sequence[int], memory: CorpusMemory | None, count: int) -> Bits:
        request = ScoreRequest(list(ids), memory, top=0, since=len(ids) - count)
        scheduler.score(request)
        return np.array([sampled.logprob for sampled in request.costs[-count:]]) / -math.log(2)

    return costs


def reference_costs(model: MultiScaleTransformer) -> Costs:
    """Costs by the reference, in the last context of the model; what is before it the memory reads alone."""
    import torch
    from torch.nn import functional as F

    from multiscale_transformer.memory.reader import MemoryReader

    def costs(ids: Sequence[int], memory: CorpusMemory | None, count: int) -> Bits:
        start = max(0, len(ids) - 1 - model.config.max_seq_len)
        recall = None if memory is None else MemoryReader(memory).read(ids[:-1])[:, start:]
        with torch.inference_mode():
            logits_TV = model(torch.tensor([ids[start:-1]]), features=recall)[0]
        nats_T = F.cross_entropy(logits_TV, torch.tensor(ids[start + 1 :]), reduction="none")
        return np.asarray(nats_T.double().numpy() / math.log(2))[-count:]

    return costs
