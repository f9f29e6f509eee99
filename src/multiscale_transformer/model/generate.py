"""Generation by the reference path: prefill once, then one byte at a time through the cache.

`stream_ids` yields ids as they come; `ByteTransformer.generate` is the published call on top of it. A prompt longer than
the context keeps its end; when the context fills up while writing, the newer half is read again and writing goes on
(`model.window`).
"""

# Shape suffixes: V vocabulary, T bytes of the prompt.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.memory_tensors import MemoryTensorReader, MemoryTensors, joined
from multiscale_transformer.model.placement import moved
from multiscale_transformer.model.sampling import Sampler, Sampling
from multiscale_transformer.model.vocabulary import EOS
from multiscale_transformer.model.window import window_start

if TYPE_CHECKING:
    from multiscale_transformer.model.byte_transformer import ByteTransformer

__all__ = ["Sampling", "stream_ids"]


def stream_ids(
    model: ByteTransformer,
    prompt: Sequence[int],
    sampling: Sampling,
    memory: MemoryTensorReader | None = None,
    *,
    without: tuple[int, int] | None = None,
) -> Iterator[int]:
    """Yield new ids until EOS, a stop string or `max_new_tokens`. The bytes of a stop string are yielded too.

    `memory`, which has read nothing yet, reads the whole prompt, also where the context is shorter. The same seed gives the
    same ids. `without` is a place among them and the id that is not drawn there.
    Raises ValueError for an empty prompt (begin with BOS).
    """
    if not prompt:
        raise ValueError("the prompt is empty; begin with BOS")
    sampler = Sampler(sampling, prompt, without)
    context, written = list(prompt), bytearray()
    longest = model.config.max_seq_len
    cache, pending = Cache(model.config), context[window_start(len(context), longest) :]
    features = [] if memory is None else [memory.read(context)]
    for _ in range(sampling.max_new_tokens):
        drawn = sampler.draw(_forward(model, pending, cache, features)).id
        yield drawn
        if drawn == EOS:
            return
        context.append(drawn)
        written.append(drawn)
        if any(written.endswith(stop) for stop in sampling.stop):
            return
        pending = [drawn]
        if memory is not None:
            features.append(memory.read(pending))
        if cache.length >= longest:
            cache, pending = Cache(model.config), context[window_start(len(context), longest, full=True) :]


@torch.inference_mode()
def _forward(model: ByteTransformer, ids: list[int], cache: Cache, features: list[MemoryTensors]) -> npt.NDArray[np.float32]:
    """Logits (V,) after the last of `ids`; `features` end with theirs and are joined to one."""
    new = None
    if features:
        if len(ids) > 1:
            features[:] = [joined(features)]
        new = features[-1][:, -len(ids) :]
    new = moved(new, model.device)
    states_1TE, _ = model.states(torch.tensor([ids], device=model.device), cache, new)
    return model.head(states_1TE[:, -1:], None if new is None else new[:, -1:])[0, -1].cpu().numpy()
