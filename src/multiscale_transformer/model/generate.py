"""Generation by the reference path: prefill once, then one byte at a time through the cache.

`stream_ids` yields ids as they come; `MultiScaleTransformer.generate` is the published call on top of it. A prompt longer than
the context keeps its end; when the context fills up while writing, the newer half is read again and writing goes on.
"""

# Shape suffixes: V vocabulary, T bytes of the prompt.

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.recall import Recall, RecallReader, joined
from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

if TYPE_CHECKING:
    from multiscale_transformer.model.model import MultiScaleTransformer

RECENT = 64  # bytes that the repetition penalty looks at
NEVER_DRAWN = (BOS, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE)  # marks that a prompt may hold and that are no text


class Sampling(BaseModel):
    """How the next byte is drawn. Temperature 0 is greedy; 0 and 1 switch top-k and top-p off.

    The repetition penalty (Keskar et al. 2019) divides the logits of the last 64 bytes; code repeats bytes all the time, so
    it is off (1.0) by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_new_tokens: int = Field(256, ge=0)
    temperature: float = Field(0.8, ge=0.0, allow_inf_nan=False)
    top_k: int = Field(0, ge=0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    repetition_penalty: float = Field(1.0, ge=0.01, le=100.0)
    seed: int | None = Field(None, ge=-(2**63), lt=2**64)  # what a torch.Generator takes
    stop: tuple[bytes, ...] = ()

    @field_validator("stop")
    @classmethod
    def _stops_are_texts(cls, stop: tuple[bytes, ...]) -> tuple[bytes, ...]:
        if not all(stop):
            raise ValueError("a stop text needs at least one character")
        return stop


def probabilities(logits_V: Tensor, sampling: Sampling, recent: Sequence[int] = ()) -> Tensor:
    """The distribution (V,) that a byte is drawn from, fp64. At temperature 0 all mass is on the best.

    BOS and the marks of fill-in-the-middle are never drawn. Top-k keeps more than k bytes only where they tie.
    """
    logits_V = logits_V.to(torch.float64, copy=True)
    logits_V[list(NEVER_DRAWN)] = -torch.inf
    if sampling.repetition_penalty != 1.0 and recent:
        seen = torch.tensor(sorted(set(recent)))
        kept = logits_V[seen]
        logits_V[seen] = torch.where(kept > 0, kept / sampling.repetition_penalty, kept * sampling.repetition_penalty)
    if sampling.temperature == 0.0:
        return torch.nn.functional.one_hot(logits_V.argmax(), len(logits_V)).double()
    logits_V = (logits_V - logits_V.max()) / sampling.temperature  # the best is at 0, which no temperature can overflow
    if 0 < sampling.top_k < len(logits_V):
        logits_V[logits_V < logits_V.topk(sampling.top_k).values[-1]] = -torch.inf
    chances_V = logits_V.softmax(-1)
    if sampling.top_p < 1.0:
        ordered, order = chances_V.sort(descending=True)
        chances_V[order[ordered.cumsum(0) - ordered >= sampling.top_p]] = 0.0  # the best byte always stays
    return chances_V / chances_V.sum()


def stream_ids(
    model: MultiScaleTransformer, prompt: Sequence[int], sampling: Sampling, memory: RecallReader | None = None
) -> Iterator[int]:
    """Yield new ids until EOS, a stop string or `max_new_tokens`. The bytes of a stop string are yielded too.

    `memory`, which has read nothing yet, reads the whole prompt, also where the context is shorter. The same seed gives the
    same ids. Raises ValueError for an empty prompt (begin with BOS).
    """
    if not prompt:
        raise ValueError("the prompt is empty; begin with BOS")
    generator = torch.Generator()
    generator.manual_seed(sampling.seed) if sampling.seed is not None else generator.seed()
    context, written = list(prompt), bytearray()
    recent = deque((i for i in prompt if i < BOS), maxlen=RECENT)
    longest = model.config.max_seq_len
    cache, unread = Cache(model.config), context[-longest:]
    recalls = [] if memory is None else [memory.read(context)]
    for _ in range(sampling.max_new_tokens):
        chances_V = probabilities(_forward(model, unread, cache, recalls), sampling, recent)
        drawn = int(torch.multinomial(chances_V, 1, generator=generator)) if sampling.temperature else int(chances_V.argmax())
        yield drawn
        if drawn == EOS:
            return
        context.append(drawn)
        recent.append(drawn)
        written.append(drawn)
        if any(written.endswith(stop) for stop in sampling.stop):
            return
        unread = [drawn]
        if memory is not None:
            recalls.append(memory.read(unread))
        if cache.length >= longest:
            cache, unread = Cache(model.config), context[-(longest // 2) :]


@torch.inference_mode()
def _forward(model: MultiScaleTransformer, ids: list[int], cache: Cache, recalls: list[Recall]) -> Tensor:
    """Logits (V,) after the last of `ids`; `recalls` end with theirs and are joined to one."""
    recall = None
    if recalls:
        recall = recalls[-1] if len(ids) == 1 else joined(recalls)
        if len(ids) > 1:
            recalls[:] = [recall]
            recall = recall[:, -len(ids) :]
    states_1TE, _ = model.states(torch.tensor([ids]), cache, recall)
    return model.head(states_1TE[:, -1:], None if recall is None else recall[:, -1:])[0, -1]
