"""llama.cpp's `/completion` and `/infill`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.vocabulary import ByteTokenizer
from multiscale_transformer.server.core.generation import GenerationResult, GenerationStream, generate
from multiscale_transformer.server.core.prompts import Prompt, any_prompt, fim_prompt
from multiscale_transformer.server.core.requests import GenerationRequest, sampling_of
from multiscale_transformer.server.core.schemas import Body, SamplingOptions, TokenId, logit_bias_of
from multiscale_transformer.server.core.streams import EVENTS_WITHOUT_DONE, respond
from multiscale_transformer.server.runtime.model_manager import LoadedModel
from multiscale_transformer.server.state import ServerState, server_state

router = APIRouter(tags=["llama.cpp"])

RANDOM_SEEDS = (-1, 2**32 - 1)  # -1, also when unsigned


class CompletionBody(SamplingOptions):
    """`POST /completion`, with llama.cpp's names."""

    model: str = ""
    prompt: str | list[TokenId] = ""
    n_predict: int | None = None
    repeat_penalty: float | None = Field(None, ge=0.01, le=100)
    logit_bias: dict[str, float] | list[tuple[int, float]] | None = None
    stream: bool = False
    json_schema: dict[str, Any] | None = None
    t_max_predict_ms: float | None = None
    memory: list[str] | None = None

    def generation_request(self, state: ServerState, prompt: Prompt) -> GenerationRequest:
        """The request behind it."""
        pairs = self.logit_bias
        bias = logit_bias_of({str(key): value for key, value in pairs} if isinstance(pairs, list) else pairs)
        options = self.sampling_options(self.n_predict, self.repeat_penalty, logit_bias=bias)
        if self.seed in RANDOM_SEEDS:
            options["seed"] = None
        constraint = None if self.json_schema is None else GrammarConstraint.json_schema(self.json_schema)
        milliseconds = self.t_max_predict_ms if self.t_max_predict_ms and self.t_max_predict_ms > 0 else None
        sampling = sampling_of(options, self.stop, fim=prompt.fim, candidates=state.settings.fim_candidates)
        prompt = prompt.with_stop_rules(self.stop_rules)
        return GenerationRequest(prompt, sampling, constraint, state.time_limit(milliseconds, prompt))


class ExtraFile(Body):
    """A piece of another file."""

    filename: str = ""
    text: str = ""


class InfillBody(CompletionBody):
    """`POST /infill`: prefix and suffix, and what else the editor finds worth knowing."""

    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[ExtraFile] = []
    n_indent: int = Field(0, ge=0)


@router.post("/completion", summary="Complete a text, with llama.cpp's names")
async def completion(body: CompletionBody, http: Request) -> Response:
    """As llama.cpp's `/completion`."""
    return await _respond(body, http, lambda context: any_prompt(body.prompt, context))


@router.post("/infill", summary="Fill in the middle, with llama.cpp's names")
async def infill(body: InfillBody, http: Request) -> Response:
    """As llama.cpp's `/infill`: `input_extra` stands before the prefix, `prompt` at its end; `n_indent` as there."""
    extra = "".join(f"# {file.filename}\n{file.text}\n" for file in body.input_extra)
    prompt = body.prompt if isinstance(body.prompt, str) else ByteTokenizer().decode(body.prompt)
    prefix = extra + body.input_prefix + prompt
    return await _respond(body, http, lambda context: fim_prompt(prefix, body.input_suffix, context, min_indent=body.n_indent))


async def _respond(body: CompletionBody, http: Request, prompt: Callable[[int], Prompt]) -> Response:
    """Answer with the prompt that `prompt` makes for a context of so many ids."""
    state = server_state(http)
    entry = state.registry.find(body.model)

    def responder(model: LoadedModel, memory: CorpusMemory | None) -> _LlamaCppResponder:
        request = body.generation_request(state, prompt(model.config.max_seq_len))
        return _LlamaCppResponder(model, memory, request, entry.name)

    return await respond(http, state, entry, responder, stream=EVENTS_WITHOUT_DONE if body.stream else None, memory=body.memory)


@dataclass(frozen=True)
class _LlamaCppResponder:
    """Answers a completion or infill request with a loaded model."""

    model: LoadedModel
    memory: CorpusMemory | None
    request: GenerationRequest
    name: str

    async def whole(self) -> dict[str, Any]:
        """The answer as one body."""
        (result,) = await generate(self.model.worker, [self.request], self.memory)
        return {"content": result.text, **await self._end(result)}

    async def events(self) -> AsyncGenerator[str]:
        """The events of a stream."""
        with GenerationStream(self.model.worker, [self.request], self.memory) as stream:
            async for result in stream:
                tokens = [drawn.id for drawn in result.chunk.drawn]
                end = {"stop": False, "tokens_predicted": result.completion_tokens}
                if result.ended:
                    end = await self._end(result)
                yield json.dumps({"index": 0, "content": result.delta, "tokens": tokens, **end})

    async def _end(self, result: GenerationResult) -> dict[str, Any]:
        """The fields that the last event, or a whole answer, has beside its text."""
        sampling, prompt = self.request.sampling, self.request.prompt
        return {
            "stop": True,
            "model": self.name,
            "tokens_predicted": result.completion_tokens,
            "tokens_evaluated": len(prompt.ids),
            "truncated": bool(prompt.truncated),
            "stop_type": "eos" if result.finish_reason == "stop" else "limit",
            "stopping_word": "",
            "generation_settings": {"seed": sampling.seed, "temperature": sampling.temperature},
            **await result.sources(),
        }
