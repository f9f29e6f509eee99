"""The status of the server in llama.cpp's routes, its metrics, and the tokenizer that evaluation harnesses ask for.

Bytes are the tokens.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from multiscale_transformer.model.sampling import DEFAULT_SAMPLING
from multiscale_transformer.model.vocabulary import BOS, EOS, VOCAB_SIZE, ByteTokenizer
from multiscale_transformer.server.core.schemas import Body
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.state import server_state

router = APIRouter(tags=["llama.cpp"])


class TokenizeBody(Body):
    """llama.cpp says `content`, vLLM `prompt`."""

    content: str | None = None
    prompt: str | None = None
    add_special: bool = False
    add_special_tokens: bool = False


class DetokenizeBody(Body):
    """Ids of bytes."""

    tokens: list[int]


@router.get("/health", summary="Whether the server answers")
@router.get("/v1/health", include_in_schema=False)
async def health() -> dict[str, str]:
    """Public, also where keys are asked for."""
    return {"status": "ok"}


@router.get("/metrics", summary="Counters for Prometheus")
async def metrics(http: Request) -> Response:
    """Requests, bytes, times to the first byte, what runs and waits."""
    state = server_state(http)
    for model in state.models.loaded.values():
        running, waiting = model.worker.counts
        state.metrics.requests_running.labels(model.worker.name).set(running)
        state.metrics.requests_waiting.labels(model.worker.name).set(waiting)
    return PlainTextResponse(state.metrics.text(), media_type="text/plain; version=0.0.4")


@router.get("/props", summary="The server's settings")
async def props(http: Request) -> dict[str, Any]:
    """Of the first model. A token is a byte."""
    state = server_state(http)
    entry = state.registry.find(None)
    defaults = DEFAULT_SAMPLING.model_dump(exclude_unset=True)
    return {
        "default_generation_settings": {"n_ctx": entry.config.max_seq_len, "params": defaults},
        "total_slots": state.settings.limits.max_queue,
        "model_path": str(entry.folder),
        "model_alias": entry.name,
        "chat_template": state.template(entry).text,
        "bos_token": "<|bos|>",
        "eos_token": "<|eos|>",
        "token_unit": "byte",
        "modalities": {"vision": False, "audio": False},
        "build_info": state.fingerprint,
    }


@router.get("/slots", summary="What runs and waits")
async def slots(http: Request) -> list[dict[str, Any]]:
    """One line a loaded model."""
    loaded = server_state(http).models.loaded.values()
    counted = ((model.worker.name, model.config.max_seq_len, *model.worker.counts) for model in loaded)
    return [
        {"id": number, "model": name, "n_ctx": context, "is_processing": bool(running), "running": running, "waiting": waiting}
        for number, (name, context, running, waiting) in enumerate(counted)
    ]


@router.post("/tokenize", summary="A text as ids")
async def tokenize(body: TokenizeBody) -> dict[str, Any]:
    """Its UTF-8 bytes."""
    text = body.content if body.content is not None else body.prompt or ""
    tokens = ByteTokenizer().encode(text.encode("utf-8", "replace"), add_bos=body.add_special or body.add_special_tokens)
    return {"tokens": tokens, "count": len(tokens)}


@router.post("/detokenize", summary="Ids as a text")
async def detokenize(body: DetokenizeBody) -> dict[str, str]:
    """What is no UTF-8 becomes U+FFFD."""
    if any(not 0 <= token < VOCAB_SIZE for token in body.tokens):
        raise ApiError(400, f"tokens: ids are 0 to {VOCAB_SIZE - 1}", param="tokens")
    text = ByteTokenizer().decode(body.tokens)
    return {"content": text, "prompt": text}


@router.get("/tokenizer_info", summary="What evaluation harnesses ask of a tokenizer")
async def tokenizer_info(http: Request) -> dict[str, Any]:
    """With this, lm-evaluation-harness scores likelihoods over HTTP."""
    length = server_state(http).registry.find(None).config.max_seq_len
    special = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "bos_token_id": BOS, "eos_token_id": EOS}
    return {**special, "vocab_size": VOCAB_SIZE, "tokenizer_class": "ByteTokenizer", "model_max_length": length}
