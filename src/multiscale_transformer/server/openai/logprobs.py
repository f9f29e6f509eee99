"""Renders log-probabilities in OpenAI's two shapes: of completions, with text offsets, and of chats, with bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from multiscale_transformer.model.sampling import SampledToken
from multiscale_transformer.model.vocabulary import BOS, EOS

_NAMES = {BOS: "<|bos|>", EOS: "<|eos|>"}
MIN_LOGPROB = -9999.0  # what OpenAI says for never


def token_text(index: int) -> str:
    """A byte as a text: itself where it is ASCII, else as OpenAI writes a token that is no text."""
    if index in _NAMES:
        return _NAMES[index]
    return chr(index) if index < 0x80 else f"bytes:\\x{index:02x}"


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
    return {
        "content": [
            {**_chat_token(token.id, token.logprob), "top_logprobs": [_chat_token(*other) for other in token.top]}
            for token in drawn
            if token.id < BOS
        ],
        "refusal": None,
    }


def _chat_token(index: int, logprob: float) -> dict[str, Any]:
    return {"token": token_text(index), "logprob": max(logprob, MIN_LOGPROB), "bytes": [index] if index < BOS else []}
