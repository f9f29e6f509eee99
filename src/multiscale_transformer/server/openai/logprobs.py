"""Renders log-probabilities in OpenAI's two shapes: of completions, with text offsets, and of chats, with bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from multiscale_transformer.model.sampling import SampledToken
from multiscale_transformer.model.vocabulary import BOS
from multiscale_transformer.server.core.logprobs import MIN_LOGPROB, token_logprobs, token_text


def completion_logprobs(drawn: Sequence[SampledToken], offset: int = 0, *, first: int | None = None) -> dict[str, Any]:
    """The `logprobs` of a completion whose text begins at character `offset`.

    With an echo, `first` is the id before the sampled ones: it has no log-probability.
    """
    indices = [token.id for token in drawn] if first is None else [first, *(token.id for token in drawn)]
    offsets = []
    for index in indices:
        offsets.append(offset)
        offset += not 0x80 <= index < 0xC0 and index < BOS  # continuation bytes belong to the character before
    unknown: list[Any] = [] if first is None else [None]
    tops = [{token_text(other): max(logprob, MIN_LOGPROB) for other, logprob in token.top} for token in drawn]
    return {
        "tokens": [token_text(index) for index in indices],
        "token_logprobs": unknown + [max(token.logprob, MIN_LOGPROB) for token in drawn],
        "top_logprobs": unknown + tops,
        "text_offset": offsets,
    }


def chat_logprobs(drawn: Sequence[SampledToken]) -> dict[str, Any]:
    """The `logprobs` of a chat's choice."""
    return {"content": token_logprobs(drawn), "refusal": None}
