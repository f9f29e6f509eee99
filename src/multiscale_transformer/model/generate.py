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
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.vocabulary import BOS, EOS

if TYPE_CHECKING:
    from multiscale_transformer.model.model import MultiScaleTransformer

RECENT = 64  # bytes that the repetition penalty looks at


class Sampling(BaseModel):
    """How the next byte is drawn. Temperature 0 is greedy; 0 and 1 switch top-k and top-p off.

    The repetition penalty (Keskar et al. 2019) divides the logits of the last 64 bytes; code repeats bytes all the time, so
    it is off (1.0) by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_new_tokens: int = Field(256, ge=0)
    temperature: float = Field(0.8, ge=0.0)
    top_k: int = Field(0, ge=0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    repetition_penalty: float = Field(1.0, gt=0.0)
    seed: int | None = None
    stop: tuple[bytes, ...] = ()


def probabilities(logits_V: Tensor, sampling: Sampling, recent: Sequence[int] = ()) -> Tensor:
    """The distribution (V,) that a byte is drawn from; BOS is never drawn. At temperature 0 all mass is on the best."""
    logits_V = logits_V.double().clone()
    logits_V[BOS] = -torch.inf
    if sampling.repetition_penalty != 1.0 and recent:
        seen = torch.tensor(sorted(set(recent)))
        kept = logits_V[seen]
        logits_V[seen] = torch.where(kept > 0, kept / sampling.repetition_penalty, kept * sampling.repetition_penalty)
    if sampling.temperature == 0.0:
        return torch.nn.functional.one_hot(logits_V.argmax(), len(logits_V)).double()
    logits_V = logits_V / sampling.temperature
    if 0 < sampling.top_k < len(logits_V):
        logits_V[logits_V < logits_V.topk(sampling.top_k).values[-1]] = -torch.inf
    chances_V = logits_V.softmax(-1)
    if sampling.top_p < 1.0:
        ordered, order = chances_V.sort(descending=True)
        chances_V[order[ordered.cumsum(0) - ordered >= sampling.top_p]] = 0.0  # the best byte always stays
    return chances_V / chances_V.sum()


def stream_ids(model: MultiScaleTransformer, prompt: Sequence[int], sampling: Sampling) -> Iterator[int]:
    """Yield new ids until EOS, a stop string or `max_new_tokens`. The bytes of a stop string are yielded too.

    The same seed gives the same ids. Raises ValueError for an empty prompt (begin with BOS).
    """
    if not prompt:
        raise ValueError("the prompt is empty; begin with BOS")
    generator = torch.Generator()
    generator.manual_seed(sampling.seed) if sampling.seed is not None else generator.seed()
    context, written = list(prompt), bytearray()
    recent = deque((i for i in prompt if i < BOS), maxlen=RECENT)
    cache, logits_V = _prefill(model, context, model.config.max_seq_len)
    for _ in range(sampling.max_new_tokens):
        chances_V = probabilities(logits_V, sampling, recent)
        drawn = int(torch.multinomial(chances_V, 1, generator=generator)) if sampling.temperature else int(chances_V.argmax())
        yield drawn
        if drawn == EOS:
            return
        context.append(drawn)
        recent.append(drawn)
        written.append(drawn)
        if any(written.endswith(stop) for stop in sampling.stop):
            return
        if cache.length >= model.config.max_seq_len:
            cache, logits_V = _prefill(model, context, model.config.max_seq_len // 2)
        else:
            logits_V = _forward(model, [drawn], cache)


def _prefill(model: MultiScaleTransformer, context: list[int], keep: int) -> tuple[Cache, Tensor]:
    cache = Cache(model.config)
    return cache, _forward(model, context[-keep:], cache)


@torch.inference_mode()
def _forward(model: MultiScaleTransformer, ids: list[int], cache: Cache) -> Tensor:
    """Logits (V,) after the last of `ids`."""
    states_1TE, _ = model.states(torch.tensor([ids]), cache)
    return model.head(states_1TE[:, -1:])[0, -1]
