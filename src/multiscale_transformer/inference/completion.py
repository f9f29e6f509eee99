"""Text completion: ids to text that is safe to show as it streams.

A UTF-8 character is never split, and the beginning of a possible stop string is held back until it is known not to be one.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence

from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.reader import MemoryReader
from multiscale_transformer.model.generate import Sampling, stream_ids
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.vocabulary import EOS


def stream_text(
    model: MultiScaleTransformer, prompt: Sequence[int], sampling: Sampling, memory: CorpusMemory | None = None
) -> Iterator[str]:
    """Yield the new text piece by piece, without the stop string; bytes that are not UTF-8 become U+FFFD.

    So does a character that `max_new_tokens` cut short.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    held = b""
    reader = None if memory is None else MemoryReader(memory)
    for drawn in stream_ids(model, prompt, sampling, reader):
        if drawn == EOS:
            break
        held += bytes([drawn])
        ended = [stop for stop in sampling.stop if held.endswith(stop)]
        if ended:
            held = held.removesuffix(max(ended, key=len))
            break
        ready = len(held) - _possible_stop(held, sampling.stop)
        text = decoder.decode(held[:ready])
        held = held[ready:]
        if text:
            yield text
    rest = decoder.decode(held, final=True)
    if rest:
        yield rest


def _possible_stop(held: bytes, stops: Sequence[bytes]) -> int:
    """Length of the longest end of `held` that begins a stop string."""
    longest = max((len(stop) for stop in stops), default=1) - 1
    for length in range(min(longest, len(held)), 0, -1):
        if any(stop.startswith(held[-length:]) for stop in stops):
            return length
    return 0
