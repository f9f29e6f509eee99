"""`POST /v1/responses`: OpenAI's newer API, without the state that its servers keep between calls."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from multiscale_transformer.server.core.chat_template import Call, Message, may_be_call, parse_answer
from multiscale_transformer.server.core.generation import (
    GenerationRequest,
    GenerationResult,
    found_sources,
    live_pieces,
    start_all,
    unless_gone,
    write_all,
)
from multiscale_transformer.server.core.schemas import Body, OpenAIOptions
from multiscale_transformer.server.core.streams import event_stream, new_id
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.openai.chat import Chat, ChatMessage, FunctionBody, Part, ResponseFormat, ToolBody
from multiscale_transformer.server.runtime.model_manager import Loaded
from multiscale_transformer.server.state import service_of

router = APIRouter(tags=["OpenAI"])


class Item(Body):
    """A part of the conversation: a message, a call, or what a call gave."""

    type: str = "message"
    role: Literal["developer", "system", "user", "assistant"] = "user"
    content: str | list[Part] = ""
    name: str = ""
    arguments: str = ""
    output: str | list[Part] = ""

    def plain(self) -> Message:
        """As text."""
        if self.type == "function_call":
            return Message("assistant", json.dumps({"name": self.name, "arguments": self.arguments}))
        if self.type == "function_call_output":
            return ChatMessage(role="tool", content=self.output).plain()
        return ChatMessage(role=self.role, content=self.content).plain()


class FlatTool(FunctionBody):
    """A function, here without the layer that chat completions have around it."""

    type: str = "function"
    name: str = ""


class NamedChoice(Body):
    """The one tool that is to be called."""

    type: str = "function"
    name: str = ""


class TextFormat(Body):
    """What form an answer has: as in chat completions, without a layer."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str = ""
    json_schema: dict[str, Any] | None = Field(None, alias="schema")


class TextOptions(Body):
    """Options of the text."""

    format: TextFormat = TextFormat()


class ResponsesBody(OpenAIOptions):
    """OpenAI's CreateResponse. `max_output_tokens` counts bytes."""

    input: str | list[Item] = ""
    instructions: str = ""
    max_output_tokens: int | None = Field(None, ge=1)
    previous_response_id: str | None = None
    tools: list[FlatTool] = []
    tool_choice: Literal["none", "auto", "required"] | NamedChoice = "auto"
    text: TextOptions = TextOptions()
    metadata: dict[str, str] = {}

    @property
    def choice(self) -> str:
        """Which tool: a name, or a word; other tools than functions run at OpenAI only, so the model may choose."""
        if isinstance(self.tool_choice, str):
            return self.tool_choice
        return self.tool_choice.name if self.tool_choice.type == "function" else "auto"

    def messages(self) -> list[Message]:
        """The conversation."""
        items = [Message("user", self.input)] if isinstance(self.input, str) else [item.plain() for item in self.input]
        return [*([Message("system", self.instructions)] if self.instructions else []), *items]


@dataclass(frozen=True)
class _Job:
    body: ResponsesBody
    chat: Chat
    name: str
    id: str
    created: float

    @cached_property
    def asked(self) -> GenerationRequest:
        body = self.body
        return self.chat.asked(body.options(body.max_output_tokens, None), body.stop, body.t_max_predict_ms, body.sources)

    @property
    def memory(self) -> Any:
        return self.chat.service.loader.memory(self.chat.model, self.body.memory)

    def response(self, status: str, output: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        body, sampling = self.body, self.asked.sampling
        choice = body.choice if body.choice in ("none", "auto", "required") else {"type": "function", "name": body.choice}
        return {
            "id": self.id,
            "object": "response",
            "created_at": int(self.created),
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": body.instructions or None,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata,
            "model": self.name,
            "output": output,
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "temperature": sampling.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": choice,
            "tools": [{**tool.model_dump(), "strict": None} for tool in body.tools if tool.type == "function"],
            "top_p": sampling.top_p,
            "truncation": "auto",
            "usage": None,
            **more,
        }


@router.post("/v1/responses", summary="Go on with a conversation, in OpenAI's newer shape")
async def responses(body: ResponsesBody, http: Request) -> Response:
    """Nothing is stored: send the whole conversation each time."""
    if body.previous_response_id is not None:
        raise ApiError(400, "responses are not stored here; send the whole conversation", param="previous_response_id")
    service = service_of(http)
    entry = service.catalogue.find(body.model)
    template = service.template(entry)
    messages = body.messages()
    if entry.variant and entry.variant.system and messages[:1] and messages[0].role != "system":
        messages.insert(0, Message("system", entry.variant.system))
    functions = [tool for tool in body.tools if tool.type == "function"]  # clients also offer tools that only OpenAI runs
    tools = [ToolBody(function=FunctionBody.model_validate(tool.model_dump())).plain() for tool in functions]
    wanted = body.text.format
    form = ResponseFormat.model_validate(
        {"type": wanted.type, "json_schema": {"schema": wanted.json_schema} if wanted.json_schema is not None else None}
    ).constraint()
    created = time.time()

    def job(model: Loaded) -> _Job:
        return _Job(
            body, Chat(service, model, template, messages, tools, body.choice, form), entry.name, new_id("resp"), created
        )

    if body.stream:
        return await event_stream(http, service, entry, lambda model: _stream(job(model)), done=None, memory=body.memory)
    async with service.loader.use(entry, memory=body.memory) as model:
        return JSONResponse(await unless_gone(http, _whole(job(model))))


async def _whole(job: _Job) -> dict[str, Any]:
    asked = job.asked
    (written,) = await write_all(job.chat.model.worker, [asked], job.memory)
    text, calls = parse_answer(written.piece.text, job.chat.tools)
    status = "completed" if calls or written.reason == "stop" else "incomplete"
    output = [_call(call) for call in calls] if calls else [_message(new_id("msg"), text or "", status)]
    found = {"sources": written.sources} if written.sources else {}
    return job.response(status, output, usage=_usage(asked, len(written.piece.drawn)), **found)


async def _stream(job: _Job) -> AsyncIterator[str]:
    """The events of an answer in OpenAI's order."""
    asked, number = job.asked, 0
    (ticket,) = start_all(job.chat.model.worker, [asked], job.memory, live=True)

    def event(kind: str, **fields: Any) -> str:
        nonlocal number
        data = {"type": kind, "sequence_number": number, **fields}
        number += 1
        return f"event: {kind}\ndata: {json.dumps(data)}\n\n"

    pieces = live_pieces(ticket)
    began_with = job.response("in_progress", [])
    try:
        yield event("response.created", response=began_with)
        yield event("response.in_progress", response=began_with)
    except GeneratorExit:  # gone before anything was read of it
        ticket.cancel()
        raise
    name, whole, shown, began, count = new_id("msg"), "", 0, False, 0
    at = {"item_id": name, "output_index": 0, "content_index": 0}
    piece = None
    async for piece in pieces:
        whole += piece.text
        count += len(piece.drawn)
        ended = piece.ended is not None
        text, calls = parse_answer(whole, job.chat.tools) if ended else (whole, [])
        if calls or (not ended and job.chat.tools and may_be_call(whole)):
            continue
        if not began:
            began = True
            yield event("response.output_item.added", output_index=0, item=_message(name, None, "in_progress"))
            yield event("response.content_part.added", **at, part=_part(""))
        if len(text or "") > shown:
            yield event("response.output_text.delta", **at, delta=(text or "")[shown:], logprobs=[])
            shown = len(text or "")
    assert piece is not None
    text, calls = parse_answer(whole, job.chat.tools)
    status = "completed" if calls or GenerationResult(piece).reason == "stop" else "incomplete"
    output = [_call(call) for call in calls] if calls else [_message(name, text or "", status)]
    if calls:
        for index, item in enumerate(output):
            yield event("response.output_item.added", output_index=index, item=item)
            done = {"item_id": item["id"], "output_index": index, "name": item["name"], "arguments": item["arguments"]}
            yield event("response.function_call_arguments.done", **done)
            yield event("response.output_item.done", output_index=index, item=item)
    else:
        yield event("response.output_text.done", **at, text=text or "", logprobs=[])
        yield event("response.content_part.done", **at, part=_part(text or ""))
        yield event("response.output_item.done", output_index=0, item=output[0])
    kind = "response.completed" if status == "completed" else "response.incomplete"
    sources = await found_sources(asked, job.memory, whole)
    more = {"sources": sources} if sources else {}
    yield event(kind, response=job.response(status, output, usage=_usage(asked, count), **more))


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(name: str, text: str | None, status: str) -> dict[str, Any]:
    content = [] if text is None else [_part(text)]
    return {"id": name, "type": "message", "role": "assistant", "status": status, "content": content}


def _call(call: Call) -> dict[str, Any]:
    names = {"id": new_id("fc"), "call_id": new_id("call")}
    return {**names, "type": "function_call", "name": call.name, "arguments": call.arguments, "status": "completed"}


def _usage(asked: GenerationRequest, written: int) -> dict[str, Any]:
    read = len(asked.prompt.ids)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
