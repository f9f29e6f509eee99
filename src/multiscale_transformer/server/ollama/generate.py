"""Ollama's generation: `/api/generate`, `/api/chat`, `/api/embed` and the older `/api/embeddings`."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from multiscale_transformer.agents.tool_schema import Tool, ToolCall
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.server.core import routing
from multiscale_transformer.server.core.chat_template import ChatTemplate, Message
from multiscale_transformer.server.core.conversation import Conversation
from multiscale_transformer.server.core.disconnects import unless_disconnected
from multiscale_transformer.server.core.embeddings import embed, shortened
from multiscale_transformer.server.core.generation import GenerationResult, GenerationStream, generate
from multiscale_transformer.server.core.logprobs import token_logprobs
from multiscale_transformer.server.core.prompts import fim_prompt, text_prompt
from multiscale_transformer.server.core.requests import GenerationRequest, generation_request, stop_strings
from multiscale_transformer.server.core.streams import JSON_LINES, respond
from multiscale_transformer.server.ollama.go_templates import to_jinja
from multiscale_transformer.server.ollama.schemas import (
    ChatBody,
    EmbedBody,
    GenerateBody,
    KeepAliveBody,
    Options,
    constraint_of,
    refuse_images,
)
from multiscale_transformer.server.ollama.seeing import see_images
from multiscale_transformer.server.runtime.model_manager import LoadedModel
from multiscale_transformer.server.runtime.registry import ModelEntry
from multiscale_transformer.server.state import ServerState, server_state
from multiscale_transformer.zoo.prompt_formats import format_of

router = routing.router("Ollama")

RequestMaker = Callable[[LoadedModel], GenerationRequest]
Rendering = Callable[[str, list[ToolCall]], dict[str, Any]]  # text and calls as the fields of an answer


@router.post("/api/generate", summary="Complete a text or fill in the middle")
async def generate_text(body: GenerateBody, http: Request) -> Response:
    """As Ollama's, streamed unless told otherwise. With `suffix` it fills in the middle; with `raw` there is no template."""
    state, began = server_state(http), time.monotonic()
    if seer := state.seers.named(body.model_name):
        return await see_images(body, http, state, seer, body.images, lambda text: {"response": text}, _now)
    entry = state.registry.find(body.model_name)
    refuse_images(body.images)
    if not body.prompt and not body.suffix:
        return await _load_or_unload(state, entry, body, {"response": ""})

    def request(model: LoadedModel) -> GenerationRequest:
        return _text_request(state, entry, body, model)

    return await _respond(http, state, entry, body, request, lambda text, calls: {"response": text}, [], began)


@router.post("/api/chat", summary="Go on with a conversation")
async def chat(body: ChatBody, http: Request) -> Response:
    """As Ollama's, streamed unless told otherwise."""
    state, began = server_state(http), time.monotonic()
    if seer := state.seers.named(body.model_name):
        images = [image for message in body.messages for image in message.images]
        return await see_images(body, http, state, seer, images, lambda text: _message(text, []), _now)
    entry = state.registry.find(body.model_name)
    if not body.messages:
        return await _load_or_unload(state, entry, body, {"message": {"role": "assistant", "content": ""}})
    messages, tools = [message.as_message() for message in body.messages], [tool.as_tool() for tool in body.tools]
    options = _options(entry, body.options)

    def request(model: LoadedModel) -> GenerationRequest:
        conversation = Conversation(state, entry, messages, tools, constraint=constraint_of(body.format))
        asked = options.sampling(body.logprobs_asked)
        return conversation.generation_request(model, asked, options.stop, stop_rules=options.stop_rules)

    return await _respond(http, state, entry, body, request, _message, tools, began)


def _text_request(state: ServerState, entry: ModelEntry, body: GenerateBody, model: LoadedModel) -> GenerationRequest:
    """The request behind `/api/generate`: fill-in-the-middle, a raw text, or a prompt in the model's template."""
    context, options = model.config.max_seq_len, _options(entry, body.options)
    stops = stop_strings(options.stop)
    template = to_jinja(body.template) if body.template else entry.variant.template if entry.variant else ""
    if body.suffix:
        prompt = fim_prompt(body.prompt, body.suffix, context)
    elif body.raw:
        prompt = text_prompt(body.prompt, context)
    else:
        prompt_format = format_of(entry.folder)
        system = body.system or (entry.variant.system if entry.variant else "")
        messages = [Message("system", system), Message("user", body.prompt)]
        text = ChatTemplate(template or to_jinja(prompt_format.go)).render(messages)
        prompt = text_prompt(text, context)
        if not template and text != body.prompt and not body.format:
            stops += prompt_format.stops
    constraint, rules = constraint_of(body.format), options.stop_rules
    asked = options.sampling(body.logprobs_asked)
    return generation_request(state, context, prompt, asked, stops, constraint=constraint, stop_rules=rules)


def _message(text: str, calls: list[ToolCall]) -> dict[str, Any]:
    """The field of a chat's answer."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [{"function": {"name": call.name, "arguments": json.loads(call.arguments)}} for call in calls]
    return {"message": message}


async def _respond(
    http: Request,
    state: ServerState,
    entry: ModelEntry,
    body: GenerateBody | ChatBody,
    request: RequestMaker,
    rendering: Rendering,
    tools: list[Tool],
    began: float,
) -> Response:
    def responder(model: LoadedModel, memory: CorpusMemory | None) -> _OllamaResponder:
        return _OllamaResponder(model, memory, body.model_name or entry.name, request(model), rendering, tools, began)

    return await respond(
        http,
        state,
        entry,
        responder,
        stream=JSON_LINES if body.stream else None,
        memory=body.memory,
        keep_alive=body.keep_alive_seconds,
    )


@dataclass(frozen=True)
class _OllamaResponder:
    """Answers a request with a loaded model; `rendering` puts the text into the answer."""

    model: LoadedModel
    memory: CorpusMemory | None
    name: str
    request: GenerationRequest
    rendering: Rendering
    tools: list[Tool]
    began: float
    loaded: float = field(default_factory=time.monotonic)

    async def whole(self) -> dict[str, Any]:
        """The answer as one body."""
        (result,) = await generate(self.model.worker, [self.request], self.memory, self.tools)
        return self._line(result, **self._end(result, await result.sources()))

    async def events(self) -> AsyncGenerator[str]:
        """The lines of a stream."""
        with GenerationStream(self.model.worker, [self.request], self.memory, self.tools) as stream:
            async for result in stream:
                if result.delta or result.calls:
                    yield json.dumps(self._line(result))
                if result.ended:
                    end = self._end(result, await result.sources())
                    yield json.dumps({"model": self.name, "created_at": _now(), **self.rendering("", []), **end})

    def _line(self, result: GenerationResult, **more: Any) -> dict[str, Any]:
        head = {"model": self.name, "created_at": _now(), **self.rendering(result.delta, result.calls), "done": False}
        logprobs = self.request.sampling.logprobs
        return {**head, **({} if logprobs is None else {"logprobs": token_logprobs(result.chunk.drawn)}), **more}

    def _end(self, result: GenerationResult, sources: dict[str, Any]) -> dict[str, Any]:
        """The fields of the last line; times in nanoseconds."""
        prompt, (reading, writing) = self.request.prompt, result.seconds
        fields: dict[str, Any] = {
            "done": True,
            "done_reason": result.finish_reason,
            "total_duration": _nanoseconds(time.monotonic() - self.began),
            "load_duration": _nanoseconds(self.loaded - self.began),
            "prompt_eval_count": len(prompt.ids),
            "prompt_eval_duration": _nanoseconds(reading),
            "eval_count": result.completion_tokens,
            "eval_duration": _nanoseconds(writing),
        }
        if prompt.truncated:
            fields["prompt_left_out"] = prompt.truncated
        return {**fields, **sources}


@router.post("/api/embed", summary="Texts as vectors")
async def embed_texts(body: EmbedBody, http: Request) -> Response:
    """As Ollama's: one vector of length 1 for each text."""
    state, began = server_state(http), time.monotonic()
    entry = state.registry.find(body.model_name)
    if not body.inputs:
        return JSONResponse({"model": body.model_name, "embeddings": []})
    async with state.models.use(entry, body.keep_alive_seconds) as model:
        loaded = time.monotonic()
        vectors, count = await unless_disconnected(http, embed(model, body.inputs))
    durations = {"total_duration": _nanoseconds(time.monotonic() - began), "load_duration": _nanoseconds(loaded - began)}
    embeddings = [shortened(vector, body.dimensions).tolist() for vector in vectors]
    answer = {"model": body.model_name or entry.name, "embeddings": embeddings}
    return JSONResponse({**answer, **durations, "prompt_eval_count": count})


@router.post("/api/embeddings", summary="A text as a vector")
async def embeddings(body: EmbedBody, http: Request) -> Response:
    """Ollama's older route."""
    state = server_state(http)
    async with state.models.use(state.registry.find(body.model_name), body.keep_alive_seconds) as model:
        vectors, _ = await unless_disconnected(http, embed(model, body.inputs or [""]))
    return JSONResponse({"embedding": vectors[0].tolist()})


async def _load_or_unload(state: ServerState, entry: ModelEntry, body: KeepAliveBody, empty: dict[str, Any]) -> Response:
    """A request without a prompt loads the model, or with `keep_alive` 0 unloads it."""
    keep_alive = body.keep_alive_seconds
    async with state.models.use(entry, keep_alive):
        pass
    await state.models.unload_expired()
    reason = "unload" if keep_alive == 0 else "load"
    head = {"model": body.model_name or entry.name, "created_at": _now()}
    return JSONResponse({**head, **empty, "done": True, "done_reason": reason})


def _options(entry: ModelEntry, options: Options) -> Options:
    """The request's options over those that the model was created with."""
    if entry.variant is None or not entry.variant.options:
        return options
    return Options.model_validate({**entry.variant.options, **options.model_dump(exclude_none=True)})


def _now() -> str:
    """The time in Ollama's spelling."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _nanoseconds(seconds: float) -> int:
    return max(0, int(seconds * 1e9))
