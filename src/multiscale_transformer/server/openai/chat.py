"""`POST /v1/chat/completions`: conversations, tools and formats, streamed or whole."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field, model_validator

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.server.core.chat_template import (
    Call,
    Message,
    Template,
    Tool,
    call_constraint,
    chat_prompt,
    may_be_call,
    parse_answer,
)
from multiscale_transformer.server.core.generation import (
    GenerationRequest,
    GenerationResult,
    found_sources,
    live_pieces,
    sampling_of,
    seeded,
    start_all,
    unless_gone,
    write_all,
)
from multiscale_transformer.server.core.schemas import Body, OpenAIOptions
from multiscale_transformer.server.core.streams import event_stream, merged, new_id
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.openai.completions import usage
from multiscale_transformer.server.openai.logprobs import chat_logprobs
from multiscale_transformer.server.runtime.model_manager import Loaded
from multiscale_transformer.server.state import Service, service_of

router = APIRouter(tags=["OpenAI"])


class Part(Body):
    """A part of a message."""

    type: str = "text"
    text: str = ""
    refusal: str = ""


class FunctionCall(Body):
    """What an earlier answer called."""

    name: str = ""
    arguments: str | dict[str, Any] = ""


class ToolCall(Body):
    """A call in an earlier answer."""

    function: FunctionCall = FunctionCall()


class ChatMessage(Body):
    """A message as OpenAI's clients send it."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[Part] = ""
    tool_calls: list[ToolCall] = []

    def plain(self) -> Message:
        """As text. Raises ApiError for what is no text."""
        role = {"developer": "system", "function": "tool"}.get(self.role, self.role)
        if isinstance(self.content, str):
            text = self.content
        else:
            other = [part.type for part in self.content if part.type not in ("text", "input_text", "output_text", "refusal")]
            if other:
                raise ApiError(400, f"messages: this model reads text, not {other[0]!r}", param="messages")
            text = "".join(part.text or part.refusal for part in self.content)
        calls = [{"name": call.function.name, "arguments": call.function.arguments} for call in self.tool_calls]
        return Message(role, "\n".join([*([text] if text else []), *map(json.dumps, calls)]))


class FunctionBody(Body):
    """A function that a model may call."""

    name: str = Field(min_length=1)
    description: str = ""
    parameters: dict[str, Any] = {"type": "object"}


class ToolBody(Body):
    """A tool; other kinds than functions are not known."""

    type: str = "function"
    function: FunctionBody | None = None

    def plain(self) -> Tool:
        """Raises ApiError for what is no function."""
        if self.function is None:
            raise ApiError(400, f"tools: {self.type!r} is not known; functions are", param="tools")
        return Tool(self.function.name, self.function.description, self.function.parameters)


class NamedTool(Body):
    """The one tool that is to be called."""

    function: FunctionCall = FunctionCall()


class JsonSchema(Body):
    """A schema with its name."""

    json_schema: dict[str, Any] = Field({"type": "object"}, alias="schema")


class ResponseFormat(Body):
    """What form an answer has."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None

    def constraint(self) -> GrammarConstraint | None:
        """Raises AxlError for a schema that cannot be kept to."""
        if self.type == "text":
            return None
        if self.type == "json_object":
            return GrammarConstraint.json_object()
        if self.json_schema is None:
            raise ApiError(400, "response_format: json_schema is missing", param="response_format")
        return GrammarConstraint.json_schema(self.json_schema.json_schema)


class ChatBody(OpenAIOptions):
    """OpenAI's CreateChatCompletionRequest. `max_tokens` counts bytes."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=0)
    max_completion_tokens: int | None = Field(None, ge=0)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: list[ToolBody] = []
    tool_choice: Literal["none", "auto", "required"] | NamedTool = "auto"
    response_format: ResponseFormat = ResponseFormat()

    @model_validator(mode="before")
    @classmethod
    def _input_is_messages(cls, data: Any) -> Any:
        """Some clients send the newer API's body to the older address."""
        if isinstance(data, dict) and "messages" not in data and "input" in data:
            given = data["input"]
            return {**data, "messages": [{"role": "user", "content": given}] if isinstance(given, str) else given}
        return data

    @property
    def most(self) -> int | None:
        """Bytes to write at most."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens


@dataclass(frozen=True)
class Chat:
    """A conversation to go on with, whoever asks: OpenAI's two routes and Ollama's."""

    service: Service
    model: Loaded
    template: Template
    messages: list[Message]
    tools: list[Tool]
    tool_choice: str
    constraint: GrammarConstraint | None

    def asked(
        self, options: dict[str, Any], stops: list[str] | str | None, milliseconds: float | None, sources: bool
    ) -> GenerationRequest:
        """The request behind it."""
        prompt = chat_prompt(self.template, self.messages, self.tools, self.model.config.max_seq_len)
        constraint = self.constraint or call_constraint(self.tools, self.tool_choice)
        texts = [stops] if isinstance(stops, str) else list(stops or ())
        sampling = sampling_of(options, texts if constraint else texts + list(self.template.stops))
        return GenerationRequest(prompt, sampling, constraint, self.service.seconds(milliseconds, prompt), sources)


@dataclass(frozen=True)
class _Job:
    body: ChatBody
    chat: Chat
    name: str
    id: str
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def memory(self) -> Any:
        return self.chat.service.loader.memory(self.chat.model, self.body.memory)

    def asked(self) -> list[GenerationRequest]:
        body = self.body
        options = body.options(body.most, (body.top_logprobs or 0) if body.logprobs else None)
        first = self.chat.asked(options, body.stop, body.t_max_predict_ms, body.sources)
        return [seeded(first, index) for index in range(body.n)]

    def envelope(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return self.chat.service.envelope(self.name, self.id, self.created, kind, choices, **more)


@router.post("/v1/chat/completions", summary="Go on with a conversation")
@router.post("/chat/completions", include_in_schema=False)
async def chat_completions(body: ChatBody, http: Request) -> Response:
    """As OpenAI's chat completions, with `top_k`, `min_p`, `repetition_penalty`, `t_max_predict_ms`, `memory` and `sources`."""
    service = service_of(http)
    entry = service.catalogue.find(body.model)
    template, system = service.template(entry), entry.variant.system if entry.variant else ""
    messages = [message.plain() for message in body.messages]
    if system and messages[0].role != "system":
        messages.insert(0, Message("system", system))
    tools = [tool.plain() for tool in body.tools]
    choice = body.tool_choice if isinstance(body.tool_choice, str) else body.tool_choice.function.name
    form = body.response_format.constraint()

    def job(model: Loaded) -> _Job:
        return _Job(body, Chat(service, model, template, messages, tools, choice, form), entry.name, new_id("chatcmpl"))

    if body.stream:
        return await event_stream(http, service, entry, lambda model: _stream(job(model)), memory=body.memory)
    async with service.loader.use(entry, memory=body.memory) as model:
        return JSONResponse(await unless_gone(http, _whole(job(model))))


async def _whole(job: _Job) -> dict[str, Any]:
    asked = job.asked()
    written = await write_all(job.chat.model.worker, asked, job.memory)
    choices = [_choice(job, index, one) for index, one in enumerate(written)]
    counts = usage(asked, [len(one.piece.drawn) for one in written], job.body.n)
    return job.envelope("chat.completion", choices, usage=counts)


def _choice(job: _Job, index: int, written: GenerationResult) -> dict[str, Any]:
    text, calls = parse_answer(written.piece.text, job.chat.tools)
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    if calls:
        message["tool_calls"] = [_call(call) for call in calls]
    logprobs = chat_logprobs(written.piece.drawn) if job.body.logprobs else None
    reason = "tool_calls" if calls else written.reason
    choice = {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason}
    return {**choice, "sources": written.sources} if written.sources else choice


def _call(call: Call) -> dict[str, Any]:
    return {"id": new_id("call"), "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


async def _stream(job: _Job) -> AsyncIterator[str]:
    body, kind = job.body, "chat.completion.chunk"
    asked, memory = job.asked(), job.memory
    tickets = start_all(job.chat.model.worker, asked, memory, live=True)
    with_usage: dict[str, Any] = {"usage": None} if body.stream_options.include_usage else {}
    texts, shown, counts = [""] * body.n, [0] * body.n, [0] * body.n

    def chunk(index: int, delta: dict[str, Any], reason: str | None, **more: Any) -> str:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason, **more}
        return json.dumps(job.envelope(kind, [choice], **with_usage))

    async for index, piece in merged([live_pieces(ticket) for ticket in tickets]):
        if not counts[index] and not texts[index]:
            yield chunk(index, {"role": "assistant", "content": "", "refusal": None}, None)
        texts[index] += piece.text
        counts[index] += len(piece.drawn)
        text, calls = parse_answer(texts[index], job.chat.tools) if piece.ended is not None else (texts[index], [])
        held = piece.ended is None and bool(job.chat.tools) and may_be_call(texts[index])
        new = "" if held or text is None else text[shown[index] :]
        more = {"logprobs": chat_logprobs(piece.drawn)} if body.logprobs and piece.drawn else {}
        if new or more:
            shown[index] += len(new)
            yield chunk(index, {"content": new}, None, **more)
        if piece.ended is not None:
            found = await found_sources(asked[index], memory, texts[index])
            delta = {"tool_calls": [{"index": number, **_call(call)} for number, call in enumerate(calls)]} if calls else {}
            if delta:
                yield chunk(index, delta, None)
            reason = "tool_calls" if calls else GenerationResult(piece).reason
            yield chunk(index, {}, reason, **({"sources": found} if found else {}))
    if body.stream_options.include_usage:
        yield json.dumps(job.envelope(kind, [], usage=usage(asked, counts, body.n)))
