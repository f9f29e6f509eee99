"""`POST /v1/responses`: OpenAI's newer API, without the state that its servers keep between calls."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import Response
from pydantic import Field

from multiscale_transformer.agents.tool_schema import ToolCall
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.server.core import routing
from multiscale_transformer.server.core.chat_template import Message
from multiscale_transformer.server.core.conversation import Conversation
from multiscale_transformer.server.core.generation import GenerationResult, GenerationStream, generate
from multiscale_transformer.server.core.requests import GenerationRequest
from multiscale_transformer.server.core.schemas import Body, FunctionBody, ToolBody, named
from multiscale_transformer.server.core.streams import EVENTS_WITHOUT_DONE, named_event, new_id, respond
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.openai.schemas import ChatMessage, ContentPart, OpenAIOptions, ResponseFormat
from multiscale_transformer.server.runtime.model_manager import LoadedModel
from multiscale_transformer.server.state import server_state

router = routing.router("OpenAI")


class InputItem(Body):
    """A part of the conversation: a message, a call, or what a call gave."""

    type: str = "message"
    role: Literal["developer", "system", "user", "assistant"] = "user"
    content: str | list[ContentPart] = ""
    name: str = ""
    arguments: str = ""
    output: str | list[ContentPart] = ""

    def as_message(self) -> Message:
        """As text."""
        if self.type == "function_call":
            return Message("assistant", json.dumps({"name": self.name, "arguments": self.arguments}))
        if self.type == "function_call_output":
            return ChatMessage(role="tool", content=self.output).as_message()
        return ChatMessage(role=self.role, content=self.content).as_message()


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

    WITHOUT_EFFECT = frozenset({"verbosity"})

    format: TextFormat = TextFormat()


class ResponsesBody(OpenAIOptions):
    """OpenAI's CreateResponse. `max_output_tokens` counts bytes."""

    WITHOUT_EFFECT = named(
        "access_programs background_options context_management image include max_tool_calls"
        " parallel_tool_calls prompt_cache_key prompt_cache_options prompt_cache_retention reasoning"
        " safety_identifier service_tier store user"
    )
    REFUSED = {"background": (False,), "conversation": (), "moderation": (), "prompt": (), "top_logprobs": (0,)}

    input: str | list[InputItem] = ""
    instructions: str = ""
    max_output_tokens: int | None = Field(None, ge=1)
    previous_response_id: str | None = None
    tools: list[FlatTool] = []
    tool_choice: Literal["none", "auto", "required"] | NamedChoice = "auto"
    text: TextOptions = TextOptions()
    metadata: dict[str, str] = {}
    truncation: Literal["auto", "disabled"] = "auto"

    @property
    def choice(self) -> str:
        """Which tool: a name, or a word; other tools than functions run at OpenAI only, so the model may choose."""
        if isinstance(self.tool_choice, str):
            return self.tool_choice
        return self.tool_choice.name if self.tool_choice.type == "function" else "auto"

    @property
    def functions(self) -> list[FlatTool]:
        """The tools that are functions: clients also offer tools that only OpenAI runs."""
        return [tool for tool in self.tools if tool.type == "function"]

    @property
    def response_format(self) -> ResponseFormat:
        """`text.format` as chat completions have it."""
        form = self.text.format
        schema = None if form.json_schema is None else {"schema": form.json_schema}
        return ResponseFormat.model_validate({"type": form.type, "json_schema": schema})

    def messages(self) -> list[Message]:
        """The conversation."""
        items = [Message("user", self.input)] if isinstance(self.input, str) else [item.as_message() for item in self.input]
        return [*([Message("system", self.instructions)] if self.instructions else []), *items]


@router.post("/v1/responses", summary="Go on with a conversation, in OpenAI's newer shape")
async def responses(body: ResponsesBody, http: Request) -> Response:
    """Nothing is stored: send the whole conversation each time."""
    if body.previous_response_id is not None:
        raise ApiError(400, "responses are not stored here; send the whole conversation", param="previous_response_id")
    state = server_state(http)
    entry = state.registry.find(body.model)
    created = int(time.time())

    def responder(model: LoadedModel, memory: CorpusMemory | None) -> _ResponseResponder:
        tools = [ToolBody(function=FunctionBody.model_validate(tool.model_dump())).as_tool() for tool in body.functions]
        constraint = body.response_format.constraint(body.grammar)
        conversation = Conversation(state, entry, body.messages(), tools, body.choice, constraint)
        request = conversation.generation_request(model, body.options(body.max_output_tokens, None), body.stop, **body.limits)
        if body.truncation == "disabled" and request.prompt.truncated:
            reason = f"the conversation is {request.prompt.truncated:,} bytes longer than the model's context"
            raise ApiError(400, f"input: {reason}", param="input", code="context_length_exceeded")
        return _ResponseResponder(body, conversation, model, memory, request, created)

    return await respond(http, state, entry, responder, stream=EVENTS_WITHOUT_DONE if body.stream else None, memory=body.memory)


@dataclass(frozen=True)
class _ResponseResponder:
    """Answers a request for a response with a loaded model."""

    body: ResponsesBody
    conversation: Conversation
    model: LoadedModel
    memory: CorpusMemory | None
    request: GenerationRequest
    created: int
    id: str = field(default_factory=lambda: new_id("resp"))
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    async def whole(self) -> dict[str, Any]:
        """The response as one body."""
        (result,) = await generate(self.model.worker, [self.request], self.memory, self.conversation.tools)
        return self._finished(result, _output(result, new_id("msg")), await result.sources())

    async def events(self) -> AsyncGenerator[str]:
        """The events of a response in OpenAI's order."""
        message_id, began = new_id("msg"), False
        at = {"item_id": message_id, "output_index": 0, "content_index": 0}
        with GenerationStream(self.model.worker, [self.request], self.memory, self.conversation.tools) as stream:
            in_progress = self._response("in_progress", [])
            yield self._event("response.created", response=in_progress)
            yield self._event("response.in_progress", response=in_progress)
            async for result in stream:
                if not result.held_back and not began:
                    began = True
                    item = _message(message_id, None, "in_progress")
                    yield self._event("response.output_item.added", output_index=0, item=item)
                    yield self._event("response.content_part.added", **at, part=_text_part(""))
                if result.delta:
                    yield self._event("response.output_text.delta", **at, delta=result.delta, logprobs=[])
        output = _output(result, message_id)
        if result.calls:
            for index, item in enumerate(output):
                yield self._event("response.output_item.added", output_index=index, item=item)
                done = {"item_id": item["id"], "output_index": index, "name": item["name"], "arguments": item["arguments"]}
                yield self._event("response.function_call_arguments.done", **done)
                yield self._event("response.output_item.done", output_index=index, item=item)
        else:
            yield self._event("response.output_text.done", **at, text=result.text, logprobs=[])
            yield self._event("response.content_part.done", **at, part=_text_part(result.text))
            yield self._event("response.output_item.done", output_index=0, item=output[0])
        finished = self._finished(result, output, await result.sources())
        yield self._event(f"response.{finished['status']}", response=finished)

    def _event(self, kind: str, **fields: Any) -> str:
        return named_event(kind, sequence_number=next(self._numbers), **fields)

    def _finished(self, result: GenerationResult, output: list[dict[str, Any]], sources: dict[str, Any]) -> dict[str, Any]:
        return self._response(_status(result), output, usage=_usage(result), **sources)

    def _response(self, status: str, output: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        body, sampling = self.body, self.request.sampling
        choice = body.choice if body.choice in ("none", "auto", "required") else {"type": "function", "name": body.choice}
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": body.instructions or None,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata,
            "model": self.conversation.entry.name,
            "output": output,
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "temperature": sampling.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": choice,
            "tools": [{**tool.model_dump(), "strict": None} for tool in body.functions],
            "top_p": sampling.top_p,
            "truncation": body.truncation,
            "usage": None,
            **more,
        }


def _status(result: GenerationResult) -> str:
    return "completed" if result.calls or result.finish_reason == "stop" else "incomplete"


def _output(result: GenerationResult, message_id: str) -> list[dict[str, Any]]:
    """The items of a finished response: its calls, or one message."""
    if result.calls:
        return [_function_call(call) for call in result.calls]
    return [_message(message_id, result.text, _status(result))]


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(message_id: str, text: str | None, status: str) -> dict[str, Any]:
    content = [] if text is None else [_text_part(text)]
    return {"id": message_id, "type": "message", "role": "assistant", "status": status, "content": content}


def _function_call(call: ToolCall) -> dict[str, Any]:
    ids = {"id": new_id("fc"), "call_id": new_id("call")}
    return {**ids, "type": "function_call", "name": call.name, "arguments": call.arguments, "status": "completed"}


def _usage(result: GenerationResult) -> dict[str, Any]:
    read, written = len(result.request.prompt.ids), result.completion_tokens
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
