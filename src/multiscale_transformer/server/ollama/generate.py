"""Ollama's generation: `/api/generate`, `/api/chat`, `/api/embed` and the older `/api/embeddings`."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from multiscale_transformer.server.core.chat_template import Call, Message, Template, may_be_call, parse_answer
from multiscale_transformer.server.core.generation import (
    GenerationRequest,
    found_sources,
    live_pieces,
    sampling_of,
    start_all,
    unless_gone,
    write_all,
)
from multiscale_transformer.server.core.prompts import hole_prompt, text_prompt
from multiscale_transformer.server.core.streams import line_stream
from multiscale_transformer.server.ollama.go_templates import to_jinja
from multiscale_transformer.server.ollama.schemas import (
    ChatBody,
    EmbedBody,
    GenerateBody,
    Options,
    Timed,
    constraint_of,
    refuse_images,
)
from multiscale_transformer.server.openai.chat import Chat
from multiscale_transformer.server.openai.models import embed, unit
from multiscale_transformer.server.runtime.model_manager import Loaded
from multiscale_transformer.server.runtime.registry import Entry
from multiscale_transformer.server.state import Service, service_of
from multiscale_transformer.zoo.prompt_formats import format_of

router = APIRouter(tags=["Ollama"])

Shape = Callable[[str, list[Call]], dict[str, Any]]  # text and calls as the fields of an answer


@dataclass(frozen=True)
class _Job:
    """A request on a loaded model, and how its text is put into an answer."""

    service: Service
    model: Loaded
    name: str
    asked: GenerationRequest
    memory: Any
    shape: Shape
    tools: list[Any]
    began: float
    loaded: float

    def line(self, text: str, calls: list[Call], **more: Any) -> dict[str, Any]:
        return {"model": self.name, "created_at": now(), **self.shape(text, calls), "done": False, **more}

    def end(self, reason: str | None, first: float, written: int, sources: list[dict[str, Any]]) -> dict[str, Any]:
        """The fields of the last line; times in nanoseconds."""
        done = time.monotonic()
        out: dict[str, Any] = {
            "done": True,
            "done_reason": "stop" if reason == "stop" else "length",
            "total_duration": _nanoseconds(done - self.began),
            "load_duration": _nanoseconds(self.loaded - self.began),
            "prompt_eval_count": len(self.asked.prompt.ids),
            "prompt_eval_duration": _nanoseconds(first - self.loaded),
            "eval_count": written,
            "eval_duration": _nanoseconds(done - first),
        }
        if self.asked.prompt.left_out:
            out["prompt_left_out"] = self.asked.prompt.left_out
        return {**out, "sources": sources} if sources else out


@router.post("/api/generate", summary="Complete a text or fill a hole")
async def generate(body: GenerateBody, http: Request) -> Response:
    """As Ollama's, streamed unless told otherwise. With `suffix` a hole is filled; with `raw` there is no template."""
    service, began = service_of(http), time.monotonic()
    entry = service.catalogue.find(body.called)
    refuse_images(body.images)
    if not body.prompt and not body.suffix:
        return await _load_or_unload(service, entry, body, {"response": ""})

    def asked(model: Loaded) -> GenerationRequest:
        return _generate_asked(service, entry, body, model)

    def shape(text: str, calls: list[Call]) -> dict[str, Any]:
        return {"response": text}

    return await _answer(service, entry, body, http, asked, shape, [], began)


def _generate_asked(service: Service, entry: Entry, body: GenerateBody, model: Loaded) -> GenerationRequest:
    context, options = model.config.max_seq_len, _options(entry, body.options)
    system = body.system or (entry.variant.system if entry.variant else "")
    own = to_jinja(body.template) if body.template else entry.variant.template if entry.variant else ""
    stops = [options.stop] if isinstance(options.stop, str) else list(options.stop or ())
    if body.suffix:
        prompt = hole_prompt(body.prompt, body.suffix, context)
    elif body.raw:
        prompt = text_prompt(body.prompt, context)
    else:
        known, said = format_of(entry.folder), [Message("system", system), Message("user", body.prompt)]
        text = Template(own or to_jinja(known.go)).render(said)
        prompt = text_prompt(text, context)
        if not own and text != body.prompt and not body.format:
            stops += known.stops
    sampling = sampling_of(options.sampling(), stops, hole=prompt.hole)
    return GenerationRequest(prompt, sampling, constraint_of(body.format), service.seconds(None, prompt))


@router.post("/api/chat", summary="Go on with a conversation")
async def chat(body: ChatBody, http: Request) -> Response:
    """As Ollama's, streamed unless told otherwise."""
    service, began = service_of(http), time.monotonic()
    entry = service.catalogue.find(body.called)
    if not body.messages:
        return await _load_or_unload(service, entry, body, {"message": {"role": "assistant", "content": ""}})
    template, options = service.template(entry), _options(entry, body.options)
    messages = [message.plain() for message in body.messages]
    if entry.variant and entry.variant.system and messages[0].role != "system":
        messages.insert(0, Message("system", entry.variant.system))
    tools, form = [tool.plain() for tool in body.tools], constraint_of(body.format)

    def asked(model: Loaded) -> GenerationRequest:
        chat = Chat(service, model, template, messages, tools, "auto", form)
        return chat.asked(options.sampling(), options.stop, None, True)

    def shape(text: str, calls: list[Call]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if calls:
            made = [{"function": {"name": call.name, "arguments": json.loads(call.arguments)}} for call in calls]
            message["tool_calls"] = made
        return {"message": message}

    return await _answer(service, entry, body, http, asked, shape, tools, began)


async def _answer(
    service: Service,
    entry: Entry,
    body: GenerateBody | ChatBody,
    http: Request,
    asked: Callable[[Loaded], GenerationRequest],
    shape: Shape,
    tools: list[Any],
    began: float,
) -> Response:
    def job(model: Loaded) -> _Job:
        memory = service.loader.memory(model, body.memory)
        return _Job(service, model, body.called or entry.name, asked(model), memory, shape, tools, began, time.monotonic())

    if body.stream:
        return await line_stream(
            http, service, entry, lambda model: _stream(job(model)), keep_alive=body.keep_seconds, memory=body.memory
        )
    async with service.loader.use(entry, body.keep_seconds, memory=body.memory) as model:
        return JSONResponse(await unless_gone(http, _whole(job(model))))


async def _whole(job: _Job) -> dict[str, Any]:
    began = time.monotonic()
    (written,) = await write_all(job.model.worker, [job.asked], job.memory)
    text, calls = parse_answer(written.piece.text, job.tools)
    return job.line(text or "", calls, **job.end(written.piece.ended, began, len(written.piece.drawn), written.sources))


async def _stream(job: _Job) -> AsyncIterator[str]:
    (ticket,) = start_all(job.model.worker, [job.asked], job.memory, live=True)
    whole, shown, count = "", 0, 0
    async for piece in live_pieces(ticket):
        whole += piece.text
        count += len(piece.drawn)
        ended = piece.ended is not None
        text, calls = parse_answer(whole, job.tools) if ended else (whole, [])
        held = not ended and bool(job.tools) and may_be_call(whole)
        new = "" if held else (text or "")[shown:]
        shown += len(new)
        if new or calls:
            yield json.dumps(job.line(new, calls))
        if ended:
            sources = await found_sources(job.asked, job.memory, whole)
            yield json.dumps(job.line("", [], **job.end(piece.ended, ticket.first or job.loaded, count, sources)))


@router.post("/api/embed", summary="Texts as vectors")
async def embed_texts(body: EmbedBody, http: Request) -> Response:
    """As Ollama's: one vector of length 1 for each text."""
    service, began = service_of(http), time.monotonic()
    entry = service.catalogue.find(body.called)
    if not body.inputs:
        return JSONResponse({"model": body.called, "embeddings": []})
    async with service.loader.use(entry, body.keep_seconds) as model:
        loaded = time.monotonic()
        vectors, count = await unless_gone(http, embed(service.loader, model, body.inputs))
    cut = [unit(vector[: body.dimensions]) for vector in vectors]
    durations = {"total_duration": _nanoseconds(time.monotonic() - began), "load_duration": _nanoseconds(loaded - began)}
    answer = {"model": body.called or entry.name, "embeddings": [[float(x) for x in vector] for vector in cut]}
    return JSONResponse({**answer, **durations, "prompt_eval_count": count})


@router.post("/api/embeddings", summary="A text as a vector")
async def embeddings(body: EmbedBody, http: Request) -> Response:
    """Ollama's older route."""
    service = service_of(http)
    async with service.loader.use(service.catalogue.find(body.called), body.keep_seconds) as model:
        vectors, _ = await unless_gone(http, embed(service.loader, model, body.inputs or [""]))
    return JSONResponse({"embedding": [float(x) for x in vectors[0]]})


def now() -> str:
    """Ollama's spelling of a time."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


async def _load_or_unload(service: Service, entry: Entry, body: Timed, empty: dict[str, Any]) -> Response:
    """A request without a prompt loads the model, or with `keep_alive` 0 unloads it."""
    kept = body.keep_seconds
    async with service.loader.use(entry, kept):
        pass
    await service.loader.expire()
    reason = "unload" if kept == 0 else "load"
    return JSONResponse({"model": body.called or entry.name, "created_at": now(), **empty, "done": True, "done_reason": reason})


def _options(entry: Entry, options: Options) -> Options:
    """The request's options over those that the model was created with."""
    if entry.variant is None or not entry.variant.options:
        return options
    return Options.model_validate({**entry.variant.options, **options.model_dump(exclude_none=True)})


def _nanoseconds(seconds: float) -> int:
    return max(0, int(seconds * 1e9))
