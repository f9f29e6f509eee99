"""`POST /v1/messages`: conversations in Anthropic's shape, streamed or whole, and how many tokens one has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from multiscale_transformer.agents.tool_schema import ToolCall
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.server.anthropic.schemas import CountBody, MessagesBody
from multiscale_transformer.server.anthropic.seeing import see_message
from multiscale_transformer.server.core import routing
from multiscale_transformer.server.core.conversation import Conversation
from multiscale_transformer.server.core.generation import GenerationResult, GenerationStream, generate
from multiscale_transformer.server.core.requests import GenerationRequest
from multiscale_transformer.server.core.streams import NAMED_EVENTS, named_event, new_id, respond
from multiscale_transformer.server.runtime.model_manager import LoadedModel
from multiscale_transformer.server.runtime.registry import ModelEntry
from multiscale_transformer.server.state import ServerState, server_state

router = routing.router("Anthropic")


@router.post("/v1/messages", summary="Go on with a conversation, in Anthropic's shape")
async def messages(body: MessagesBody, http: Request) -> Response:
    """As Anthropic's messages, with `memory`, `sources` and the other extensions."""
    state = server_state(http)
    if seer := state.seers.named(body.model):
        return await see_message(body, http, state, seer)
    entry = state.registry.find(body.model)

    def responder(model: LoadedModel, memory: CorpusMemory | None) -> _MessageResponder:
        conversation = _conversation(body, state, entry)
        options, more = body.sampling_options(body.max_tokens, None), {"stop_rules": body.stop_rules, "sources": body.sources}
        request = conversation.generation_request(model, options, body.stop_sequences, **more)
        return _MessageResponder(body, conversation, model, memory, request)

    return await respond(http, state, entry, responder, stream=NAMED_EVENTS if body.stream else None, memory=body.memory)


@router.post("/v1/messages/count_tokens", summary="How many tokens a conversation has")
async def count_tokens(body: CountBody, http: Request) -> dict[str, int]:
    """In bytes, with the chat template and the tools, before anything is left out for the model's context."""
    state = server_state(http)
    text = await asyncio.to_thread(lambda: _conversation(body, state, state.registry.find(body.model)).text)
    return {"input_tokens": 1 + len(text.encode("utf-8", "replace"))}  # behind BOS


def _conversation(body: CountBody, state: ServerState, entry: ModelEntry) -> Conversation:
    choice, tools = body.tool_choice.word, body.functions()
    return Conversation(state, entry, body.conversation(), tools, choice, body.constraint())


@dataclass(frozen=True)
class _MessageResponder:
    """Answers a request for a message with a loaded model."""

    body: MessagesBody
    conversation: Conversation
    model: LoadedModel
    memory: CorpusMemory | None
    request: GenerationRequest
    id: str = field(default_factory=lambda: new_id("msg"))

    async def whole(self) -> dict[str, Any]:
        """The message as one body."""
        (result,) = await generate(self.model.worker, [self.request], self.memory, self.conversation.tools)
        content = [_called(call) for call in result.calls] or [{"type": "text", "text": result.text}]
        return {**self._message(content, result), **self._ending(result), **await result.sources()}

    async def events(self) -> AsyncGenerator[str]:
        """The events of a message in Anthropic's order: one block of text, or one for each call."""
        began = False
        with GenerationStream(self.model.worker, [self.request], self.memory, self.conversation.tools) as stream:
            (result,) = stream.results
            yield named_event(
                "message_start", message={**self._message([], result), "stop_reason": None, "stop_sequence": None}
            )
            async for result in stream:
                if not began and not result.held_back:
                    began = True
                    yield named_event("content_block_start", index=0, content_block={"type": "text", "text": ""})
                if result.delta:
                    yield named_event("content_block_delta", index=0, delta={"type": "text_delta", "text": result.delta})
        for index, call in enumerate(result.calls):
            yield named_event("content_block_start", index=index, content_block={**_called(call), "input": {}})
            delta = {"type": "input_json_delta", "partial_json": call.arguments}
            yield named_event("content_block_delta", index=index, delta=delta)
            yield named_event("content_block_stop", index=index)
        if began:
            yield named_event("content_block_stop", index=0)
        usage = {"output_tokens": result.completion_tokens}
        yield named_event("message_delta", delta=self._ending(result), usage=usage, **await result.sources())
        yield named_event("message_stop")

    def _message(self, content: list[dict[str, Any]], result: GenerationResult) -> dict[str, Any]:
        usage = {
            "input_tokens": len(result.request.prompt.ids),
            "output_tokens": result.completion_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        }
        head = {"id": self.id, "type": "message", "role": "assistant", "model": self.conversation.entry.name}
        return {**head, "content": content, "usage": usage}

    def _ending(self, result: GenerationResult) -> dict[str, Any]:
        """Why a message ended, in Anthropic's words."""
        word = result.stop_among(self.body.stop_sequences)
        if result.calls:
            reason = "tool_use"
        elif result.finish_reason != "stop":
            reason = "max_tokens"
        else:
            reason = "stop_sequence" if word else "end_turn"
        return {"stop_reason": reason, "stop_sequence": word or None}


def _called(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": new_id("toolu"), "name": call.name, "input": json.loads(call.arguments)}
