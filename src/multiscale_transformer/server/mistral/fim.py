"""`POST /v1/fim/completions`: fill in the middle as Codestral does; the text stands where chats have theirs."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import Field

from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.server.core import routing
from multiscale_transformer.server.core.generation import GenerationResult, GenerationStream, generate
from multiscale_transformer.server.core.prompts import fim_prompt
from multiscale_transformer.server.core.requests import GenerationRequest, generation_request
from multiscale_transformer.server.core.schemas import SamplingOptions, named
from multiscale_transformer.server.core.streams import EVENTS, new_id, respond
from multiscale_transformer.server.openai.schemas import envelope, usage
from multiscale_transformer.server.runtime.model_manager import LoadedModel
from multiscale_transformer.server.state import ServerState, server_state

router = routing.router("Mistral")


class FimBody(SamplingOptions):
    """Mistral's FIMCompletionRequest. `max_tokens` counts bytes."""

    WITHOUT_EFFECT = named("metadata")
    REFUSED = {"min_tokens": (0,)}

    model: str = ""
    prompt: str
    suffix: str = ""
    max_tokens: int | None = Field(None, ge=0)
    random_seed: int | None = Field(None, ge=0)
    stream: bool = False
    memory: list[str] | None = None


@router.post("/v1/fim/completions", summary="Fill in the middle, in Mistral's shape")
async def fim_completions(body: FimBody, http: Request) -> Response:
    """As Codestral's."""
    state = server_state(http)
    entry = state.registry.find(body.model)

    def responder(model: LoadedModel, memory: CorpusMemory | None) -> _FimResponder:
        context, seed = model.config.max_seq_len, body.random_seed if body.seed is None else body.seed
        prompt = fim_prompt(body.prompt, body.suffix, context)
        options = {**body.sampling_options(body.max_tokens, None), "seed": seed}
        request = generation_request(state, context, prompt, options, body.stop, stop_rules=body.stop_rules)
        return _FimResponder(state, entry.name, model, memory, request)

    return await respond(http, state, entry, responder, stream=EVENTS if body.stream else None, memory=body.memory)


@dataclass(frozen=True)
class _FimResponder:
    """Answers a request with a loaded model."""

    state: ServerState
    name: str
    model: LoadedModel
    memory: CorpusMemory | None
    request: GenerationRequest
    id: str = field(default_factory=lambda: new_id("fim"))
    created: int = field(default_factory=lambda: int(time.time()))

    async def whole(self) -> dict[str, Any]:
        """The answer as one body."""
        (result,) = await generate(self.model.worker, [self.request], self.memory)
        message = {"role": "assistant", "content": result.text, "tool_calls": None}
        choice = {"index": 0, "message": message, "finish_reason": result.finish_reason, **await result.sources()}
        return self._envelope("chat.completion", choice, result)

    async def events(self) -> AsyncGenerator[str]:
        """The chunks of a stream."""
        with GenerationStream(self.model.worker, [self.request], self.memory) as stream:
            async for result in stream:
                delta = {"role": "assistant", "content": result.delta}
                reason = result.finish_reason if result.ended else None
                choice = {"index": 0, "delta": delta, "finish_reason": reason}
                if result.delta or result.ended:
                    yield json.dumps(self._envelope("chat.completion.chunk", choice, result if result.ended else None))

    def _envelope(self, kind: str, choice: dict[str, Any], ended: GenerationResult | None) -> dict[str, Any]:
        counts = {} if ended is None else {"usage": usage([ended])}
        return envelope(self.state, self.name, self.id, self.created, kind, [choice], **counts)
