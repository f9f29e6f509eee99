"""Log-probabilities of the bytes of an answer, as the dialects show them: a byte, its text, and the likeliest instead of it."""

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


def token_logprobs(drawn: Sequence[SampledToken]) -> list[dict[str, Any]]:
    """One object for each byte of a text, with `top_logprobs` of the likeliest."""
    return [
        {**_logprob(token.id, token.logprob), "top_logprobs": [_logprob(*other) for other in token.top]}
        for token in drawn
        if token.id < BOS
    ]


def _logprob(index: int, logprob: float) -> dict[str, Any]:
    return {"token": token_text(index), "logprob": max(logprob, MIN_LOGPROB), "bytes": [index] if index < BOS else []}
