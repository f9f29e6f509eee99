"""What llama.cpp's server has beside OpenAI's routes, and what evaluation harnesses ask for: bytes are the tokens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import Field

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.model.vocabulary import BOS, EOS, VOCAB_SIZE, ByteTokenizer
from multiscale_transformer.server.core.generation import (
    DEFAULTS,
    MAX_NEW,
    GenerationRequest,
    found_sources,
    live_pieces,
    sampling_of,
    start_all,
    unless_gone,
    write_all,
)
from multiscale_transformer.server.core.prompts import Prompt, hole_prompt, id_prompt, text_prompt
from multiscale_transformer.server.core.schemas import Body, bias_of
from multiscale_transformer.server.core.streams import event_stream
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.openai.completions import Id
from multiscale_transformer.server.runtime.model_manager import Loaded
from multiscale_transformer.server.state import Service, service_of

router = APIRouter(tags=["llama.cpp"])
_ANY_SEED = (-1, 2**32 - 1)


class NativeBody(Body):
    """`POST /completion`, with llama.cpp's names."""

    model: str = ""
    prompt: str | list[Id] = ""
    n_predict: int | None = None
    temperature: float | None = Field(None, ge=0)
    top_k: int | None = None
    top_p: float | None = Field(None, ge=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    repeat_penalty: float | None = Field(None, ge=0.01, le=100)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, float] | list[tuple[int, float]] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: list[str] | str | None = None
    stream: bool = False
    json_schema: dict[str, Any] | None = None
    t_max_predict_ms: float | None = None
    memory: list[str] | None = None

    def asked(self, service: Service, prompt: Prompt) -> GenerationRequest:
        """The request behind it; as in llama.cpp, -1 bytes are as many as it takes and seed -1 is any, also when unsigned."""
        bias = {str(key): value for key, value in self.logit_bias} if isinstance(self.logit_bias, list) else self.logit_bias
        options = {
            "max_new_tokens": MAX_NEW if self.n_predict is not None and self.n_predict < 0 else self.n_predict,
            "temperature": self.temperature,
            "top_k": None if self.top_k is None else max(self.top_k, 0),
            "top_p": None if self.top_p is None else max(self.top_p, 1e-9),
            "min_p": self.min_p,
            "repetition_penalty": self.repeat_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "logit_bias": bias_of(bias),
            "seed": None if self.seed in _ANY_SEED else self.seed,
        }
        constraint = None if self.json_schema is None else GrammarConstraint.json_schema(self.json_schema)
        limit = self.t_max_predict_ms if self.t_max_predict_ms and self.t_max_predict_ms > 0 else None
        sampling = sampling_of(options, self.stop, hole=prompt.hole)
        return GenerationRequest(prompt, sampling, constraint, service.seconds(limit, prompt))


class Extra(Body):
    """A piece of another file."""

    filename: str = ""
    text: str = ""


class InfillBody(NativeBody):
    """`POST /infill`: a hole, and what else the editor finds worth knowing."""

    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[Extra] = []
    prompt: str | list[Id] = ""


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
    service = service_of(http)
    for model in service.loader.loaded.values():
        running, waiting = model.worker.counts
        service.metrics.running.labels(model.worker.name).set(running)
        service.metrics.waiting.labels(model.worker.name).set(waiting)
    return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4")


@router.get("/props", summary="The server's settings")
async def props(http: Request) -> dict[str, Any]:
    """Of the first model. A token is a byte."""
    service = service_of(http)
    entry = service.catalogue.find(None)
    return {
        "default_generation_settings": {"n_ctx": entry.config.max_seq_len, "params": DEFAULTS},
        "total_slots": service.loader.limits.queued,
        "model_path": str(entry.folder),
        "model_alias": entry.name,
        "chat_template": service.template(entry).text,
        "bos_token": "<|bos|>",
        "eos_token": "<|eos|>",
        "token_unit": "byte",
        "modalities": {"vision": False, "audio": False},
        "build_info": service.fingerprint,
    }


@router.get("/slots", summary="What runs and waits")
async def slots(http: Request) -> list[dict[str, Any]]:
    """One line a loaded model."""
    loaded = service_of(http).loader.loaded.values()
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
    length = service_of(http).catalogue.find(None).config.max_seq_len
    marks = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "bos_token_id": BOS, "eos_token_id": EOS}
    return {**marks, "vocab_size": VOCAB_SIZE, "tokenizer_class": "ByteTokenizer", "model_max_length": length}


@router.post("/completion", summary="Complete a text, with llama.cpp's names")
async def completion(body: NativeBody, http: Request) -> Response:
    """As llama.cpp's `/completion`."""

    def prompt(model: Loaded) -> Prompt:
        context = model.config.max_seq_len
        return text_prompt(body.prompt, context) if isinstance(body.prompt, str) else id_prompt(body.prompt, context)

    return await _answer(body, http, prompt)


@router.post("/infill", summary="Fill a hole, with llama.cpp's names")
async def infill(body: InfillBody, http: Request) -> Response:
    """As llama.cpp's `/infill`: `input_extra` stands before the prefix, `prompt` at its end."""
    extra = "".join(f"# {part.filename}\n{part.text}\n" for part in body.input_extra)
    prompt = body.prompt if isinstance(body.prompt, str) else ByteTokenizer().decode(body.prompt)
    return await _answer(
        body, http, lambda model: hole_prompt(extra + body.input_prefix + prompt, body.input_suffix, model.config.max_seq_len)
    )


async def _answer(body: NativeBody, http: Request, prompt: Any) -> Response:
    service = service_of(http)
    entry = service.catalogue.find(body.model)
    if body.stream:
        return await event_stream(
            http,
            service,
            entry,
            lambda model: _stream(service, model, body, body.asked(service, prompt(model)), entry.name),
            done=None,
            memory=body.memory,
        )
    async with service.loader.use(entry, memory=body.memory) as model:
        asked = body.asked(service, prompt(model))
        memory = service.loader.memory(model, body.memory)
        (written,) = await unless_gone(http, write_all(model.worker, [asked], memory))
        end = _end(asked, written.piece.ended, len(written.piece.drawn), entry.name, written.sources)
        return JSONResponse({"content": written.piece.text, **end})


async def _stream(service: Service, model: Loaded, body: NativeBody, asked: GenerationRequest, name: str) -> AsyncIterator[str]:
    memory = service.loader.memory(model, body.memory)
    (ticket,) = start_all(model.worker, [asked], memory, live=True)
    text, count = "", 0
    async for piece in live_pieces(ticket):
        text += piece.text
        count += len(piece.drawn)
        tokens = [drawn.id for drawn in piece.drawn]
        if piece.ended is None:
            yield json.dumps({"index": 0, "content": piece.text, "tokens": tokens, "stop": False, "tokens_predicted": count})
        else:
            sources = await found_sources(asked, memory, text)
            yield json.dumps(
                {"index": 0, "content": piece.text, "tokens": tokens, **_end(asked, piece.ended, count, name, sources)}
            )


def _end(asked: GenerationRequest, reason: str | None, count: int, name: str, sources: list[dict[str, Any]]) -> dict[str, Any]:
    end = {
        "stop": True,
        "model": name,
        "tokens_predicted": count,
        "tokens_evaluated": len(asked.prompt.ids),
        "truncated": bool(asked.prompt.left_out),
        "stop_type": {"stop": "eos"}.get(reason or "", "limit"),
        "stopping_word": "",
        "generation_settings": {"seed": asked.sampling.seed, "temperature": asked.sampling.temperature},
    }
    return {**end, "sources": sources} if sources else end
