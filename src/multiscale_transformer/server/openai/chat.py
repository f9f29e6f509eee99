"""`POST /v1/chat/completions`: conversations, tools and formats, streamed or whole."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import Request
from fastapi.responses import Response
from pydantic import Field, model_validator

from multiscale_transformer.agents.tool_schema import ToolCall
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.server.core import routing
from multiscale_transformer.server.core.conversation import Conversation
from multiscale_transformer.server.core.generation import GenerationResult, GenerationStream, generate
from multiscale_transformer.server.core.requests import GenerationRequest
from multiscale_transformer.server.core.schemas import ToolBody, named
from multiscale_transformer.server.core.streams import EVENTS, new_id, respond
from multiscale_transformer.server.openai.logprobs import chat_logprobs
from multiscale_transformer.server.openai.schemas import (
    ChatMessage,
    NamedTool,
    OpenAIOptions,
    ResponseFormat,
    envelope,
    usage,
)
from multiscale_transformer.server.openai.seeing import see_chat
from multiscale_transformer.server.runtime.model_manager import LoadedModel
from multiscale_transformer.server.state import server_state

router = routing.router("OpenAI")


class ChatBody(OpenAIOptions):
    """OpenAI's CreateChatCompletionRequest. `max_tokens` counts bytes."""

    WITHOUT_EFFECT = named(
        "metadata parallel_tool_calls prediction prompt_cache_key prompt_cache_options prompt_cache_retention"
        " reasoning_effort safety_identifier service_tier store user verbosity"
    )
    REFUSED = {
        "audio": (),
        "function_call": ("none",),
        "functions": (),
        "modalities": (["text"],),
        "moderation": (),
        "web_search_options": (),
    }

    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=0)
    max_completion_tokens: int | None = Field(None, ge=0)
    n_predict: int | None = None  # llama.cpp's clients send it here, too
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
    def max_new_tokens(self) -> int | None:
        """Bytes to write at most."""
        named = (self.max_completion_tokens, self.max_tokens, self.n_predict)
        return next((given for given in named if given is not None), None)


@router.post("/v1/chat/completions", summary="Go on with a conversation")
@router.post("/chat/completions", include_in_schema=False)
async def chat_completions(body: ChatBody, http: Request) -> Response:
    """As OpenAI's chat completions, with `top_k`, `min_p`, `repetition_penalty`, `t_max_predict_ms`, `memory` and `sources`."""
    state = server_state(http)
    if seer := state.seers.named(body.model):
        return await see_chat(body, http, state, seer)
    entry = state.registry.find(body.model)

    def responder(model: LoadedModel, memory: CorpusMemory | None) -> _ChatResponder:
        conversation = Conversation(
            state,
            entry,
            [message.as_message() for message in body.messages],
            [tool.as_tool() for tool in body.tools],
            body.tool_choice if isinstance(body.tool_choice, str) else body.tool_choice.function.name,
            body.response_format.constraint(body.grammar),
        )
        options = body.options(body.max_new_tokens, (body.top_logprobs or 0) if body.logprobs else None)
        request = conversation.generation_request(model, options, body.stop, **body.limits)
        requests = [request.for_choice(index) for index in range(body.n)]
        return _ChatResponder(body, conversation, model, memory, requests)

    return await respond(http, state, entry, responder, stream=EVENTS if body.stream else None, memory=body.memory)


@dataclass(frozen=True)
class _ChatResponder:
    """Answers a chat request with a loaded model."""

    body: ChatBody
    conversation: Conversation
    model: LoadedModel
    memory: CorpusMemory | None
    requests: list[GenerationRequest]  # one for each choice
    id: str = field(default_factory=lambda: new_id("chatcmpl"))
    created: int = field(default_factory=lambda: int(time.time()))

    async def whole(self) -> dict[str, Any]:
        """All choices as one body."""
        results = await generate(self.model.worker, self.requests, self.memory, self.conversation.tools)
        choices = [await self._choice(result) for result in results]
        return self._envelope("chat.completion", choices, usage=usage(results, self.body.n))

    async def events(self) -> AsyncGenerator[str]:
        """The chunks of all choices as they are written."""
        body = self.body
        with GenerationStream(self.model.worker, self.requests, self.memory, self.conversation.tools) as stream:
            async for result in stream:
                if result.begins:
                    yield self._chunk(result, {"role": "assistant", "content": "", "refusal": None})
                logprobs = chat_logprobs(result.chunk.drawn) if body.logprobs and result.chunk.drawn else None
                if result.delta or logprobs:
                    yield self._chunk(result, {"content": result.delta}, logprobs=logprobs)
                if result.ended:
                    sources = await result.sources()
                    if result.calls:
                        calls = [{"index": number, **_rendered(call)} for number, call in enumerate(result.calls)]
                        yield self._chunk(result, {"tool_calls": calls})
                    yield self._chunk(result, {}, finish_reason=_finish_reason(result), **sources)
            if body.stream_options.include_usage:
                yield json.dumps(self._envelope("chat.completion.chunk", [], usage=usage(stream.results, body.n)))

    async def _choice(self, result: GenerationResult) -> dict[str, Any]:
        content = None if result.calls else result.text
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
        if result.calls:
            message["tool_calls"] = [_rendered(call) for call in result.calls]
        logprobs = chat_logprobs(result.chunk.drawn) if self.body.logprobs else None
        reason = _finish_reason(result)
        choice = {"index": result.index, "message": message, "logprobs": logprobs, "finish_reason": reason}
        return {**choice, **await result.sources()}

    def _chunk(self, result: GenerationResult, delta: dict[str, Any], **fields: Any) -> str:
        choice = {"index": result.index, "delta": delta, "logprobs": None, "finish_reason": None, **fields}
        with_usage: dict[str, Any] = {"usage": None} if self.body.stream_options.include_usage else {}
        return json.dumps(self._envelope("chat.completion.chunk", [choice], **with_usage))

    def _envelope(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        conversation = self.conversation
        return envelope(conversation.state, conversation.entry.name, self.id, self.created, kind, choices, **more)


def _finish_reason(result: GenerationResult) -> str:
    return "tool_calls" if result.calls else result.finish_reason


def _rendered(call: ToolCall) -> dict[str, Any]:
    return {"id": new_id("call"), "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
