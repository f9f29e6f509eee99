"""`POST /v1/completions`: text and fill-in-the-middle, several at once, echoed and scored, streamed or whole."""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import Field

from multiscale_transformer.engine.prompt_scoring import ScoreRequest
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.sampling import DEFAULT_SAMPLING, SampledToken
from multiscale_transformer.model.vocabulary import BOS
from multiscale_transformer.server.core import routing
from multiscale_transformer.server.core.generation import GenerationResult, GenerationStream, generate, submit_and_wait
from multiscale_transformer.server.core.prompts import (
    MAX_PROMPT_BYTES,
    Prompt,
    any_prompt,
    byte_count,
    fim_prompt,
    literal_prompt,
)
from multiscale_transformer.server.core.requests import GenerationRequest, generation_request
from multiscale_transformer.server.core.schemas import TokenId, prompts_of
from multiscale_transformer.server.core.streams import EVENTS, new_id, respond
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.openai.logprobs import completion_logprobs
from multiscale_transformer.server.openai.schemas import OpenAIOptions, ResponseFormat, envelope, usage
from multiscale_transformer.server.runtime.model_manager import LoadedModel
from multiscale_transformer.server.state import ServerState, server_state

MAX_ANSWERS = 128  # of one request

router = routing.router("OpenAI")


class CompletionBody(OpenAIOptions):
    """OpenAI's CreateCompletionRequest. `max_tokens` counts bytes."""

    WITHOUT_EFFECT = frozenset({"user"})

    prompt: str | list[TokenId] | list[str] | list[list[TokenId]] = ""
    suffix: str | None = None
    max_tokens: int = Field(DEFAULT_SAMPLING.max_new_tokens, ge=0)
    best_of: int | None = Field(None, ge=1, le=20)
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=5)
    response_format: ResponseFormat = ResponseFormat()  # of vLLM and llama.cpp

    @property
    def prompts(self) -> list[str | list[int]]:
        """One or several, each a text or ids."""
        return prompts_of(self.prompt) or [""]

    @property
    def answers_per_prompt(self) -> int:
        """Answers that are generated for each prompt; the best `n` of them are sent."""
        return max(self.n, self.best_of or 0)

    @property
    def scores_prompt(self) -> bool:
        """Whether the answer has the log-probabilities of the prompt's own bytes."""
        return self.echo and self.logprobs is not None


@router.post("/v1/completions", summary="Complete a text or fill in the middle")
@router.post("/completions", include_in_schema=False)
async def completions(body: CompletionBody, http: Request) -> Response:
    """As OpenAI's completions, with `top_k`, `min_p`, `repetition_penalty`, `t_max_predict_ms`, `memory` and `sources`."""
    state = server_state(http)
    entry = state.registry.find(body.model)
    _refuse_contradictions(body)

    def responder(model: LoadedModel, memory: CorpusMemory | None) -> _CompletionResponder:
        return _CompletionResponder(body, state, model, memory, entry.name, _requests(body, state, model.config.max_seq_len))

    return await respond(http, state, entry, responder, stream=EVENTS if body.stream else None, memory=body.memory)


def _refuse_contradictions(body: CompletionBody) -> None:
    if body.best_of is not None and (body.best_of < body.n or (body.stream and body.best_of > 1)):
        raise ApiError(400, "best_of must not be less than n, and is 1 in a stream", param="best_of")
    if body.echo and body.suffix:
        raise ApiError(400, "echo goes with a prompt without suffix", param="echo")
    if body.stream and body.scores_prompt:
        raise ApiError(400, "echo with logprobs is not streamed; leave stream out", param="echo")


def _requests(body: CompletionBody, state: ServerState, context: int) -> list[GenerationRequest]:
    """One for each answer: all of the first prompt, then of the next."""
    count = body.answers_per_prompt
    logprobs = body.logprobs if body.logprobs is not None or count == body.n else 0  # the best are found by them
    if len(body.prompts) * count > MAX_ANSWERS:
        raise ApiError(400, f"{len(body.prompts) * count} answers are too many; the most are {MAX_ANSWERS}", param="n")
    options, requests = body.options(body.max_tokens, logprobs), list[GenerationRequest]()
    more = {**body.limits, "constraint": body.response_format.constraint(body.grammar)}
    for given in body.prompts:
        request = generation_request(state, context, _prompt(body, given, context), options, body.stop, **more)
        requests += [request.for_choice(index) for index in range(count)]
    return requests


def _prompt(body: CompletionBody, given: str | list[int], context: int) -> Prompt:
    if body.suffix:
        if not isinstance(given, str):
            raise ApiError(400, "suffix goes with a prompt that is a text", param="suffix")
        return fim_prompt(given, body.suffix, context)
    if body.scores_prompt and byte_count(given) > MAX_PROMPT_BYTES:
        raise ApiError(400, f"a text to be scored may have {MAX_PROMPT_BYTES:,} bytes at most", param="prompt")
    return literal_prompt(given, context) if body.echo else any_prompt(given, context)


@dataclass(frozen=True)
class _CompletionResponder:
    """Answers a completion request with a loaded model."""

    body: CompletionBody
    state: ServerState
    model: LoadedModel
    memory: CorpusMemory | None
    name: str
    requests: list[GenerationRequest]  # all of the first prompt, then of the next
    id: str = field(default_factory=lambda: new_id("cmpl"))
    created: int = field(default_factory=lambda: int(time.time()))

    async def whole(self) -> dict[str, Any]:
        """All answers, the best of each prompt, as one body."""
        body = self.body
        scores = await self._score_prompts() if body.scores_prompt else None
        results = await generate(self.model.worker, self.requests, self.memory)
        choices: list[dict[str, Any]] = []
        count = body.answers_per_prompt
        for number in range(len(body.prompts)):
            answers = results[number * count : (number + 1) * count]
            if count > body.n:
                answers = sorted(answers, key=_mean_logprob, reverse=True)[: body.n]
            for result in answers:
                choices.append(await self._choice(len(choices), number, result, None if scores is None else scores[number]))
        return self._envelope(choices, usage=usage(results, count))

    async def events(self) -> AsyncGenerator[str]:
        """The chunks of all answers as they are written."""
        body = self.body
        with_usage: dict[str, Any] = {"usage": None} if body.stream_options.include_usage else {}
        with GenerationStream(self.model.worker, self.requests, self.memory) as stream:
            async for result in stream:
                echoed = self._echoed(result.index // body.n, result) if result.begins else ""
                text, drawn = echoed + result.delta, result.chunk.drawn
                offset = len(result.text) - len(result.delta)
                logprobs = None if body.logprobs is None else completion_logprobs(drawn, offset)
                reason = result.finish_reason if result.ended else None
                choice: dict[str, Any] = {"text": text, "index": result.index, "logprobs": logprobs, "finish_reason": reason}
                if result.ended:
                    choice |= await result.sources()
                if text or result.ended or logprobs:
                    yield json.dumps(self._envelope([choice], **with_usage))
            if body.stream_options.include_usage:
                yield json.dumps(self._envelope([], usage=usage(stream.results, body.n)))

    async def _choice(
        self, index: int, number: int, result: GenerationResult, scores: list[SampledToken] | None
    ) -> dict[str, Any]:
        """An answer to prompt `number`; `scores` are the log-probabilities of that prompt's bytes."""
        echoed, logprobs = self._echoed(number, result), None
        if self.body.logprobs is not None:
            logprobs = completion_logprobs(result.chunk.drawn, len(echoed))
            if scores is not None:
                before = _prompt_logprobs(self.body.prompts[number], scores)
                logprobs = {name: before[name] + logprobs[name] for name in logprobs}
        choice = {"text": echoed + result.text, "index": index, "logprobs": logprobs, "finish_reason": result.finish_reason}
        return {**choice, **await result.sources()}

    def _echoed(self, number: int, result: GenerationResult) -> str:
        """The text of prompt `number` where it is to be echoed."""
        if not self.body.echo:
            return ""
        given = self.body.prompts[number]
        return given if isinstance(given, str) else result.request.prompt.before.decode("utf-8", "replace")

    async def _score_prompts(self) -> list[list[SampledToken]]:
        """The log-probabilities of each prompt's bytes, as one request to the engine each."""
        prompts = [request.prompt for request in self.requests[:: self.body.answers_per_prompt]]
        score_requests = [ScoreRequest(prompt.ids, self.memory, top=self.body.logprobs) for prompt in prompts]
        await submit_and_wait(self.model.worker, score_requests)
        return [request.costs for request in score_requests]

    def _envelope(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return envelope(self.state, self.name, self.id, self.created, "text_completion", choices, **more)


def _prompt_logprobs(given: str | list[int], scores: list[SampledToken]) -> dict[str, Any]:
    """Those of an echoed prompt. Its first byte has none: a text begins behind BOS, ids with their first."""
    first = None if isinstance(given, str) or not given else given[0]
    logprobs = completion_logprobs(scores if first is None or first >= BOS else scores[1:], first=first)
    if first is None and scores:
        logprobs["token_logprobs"][0], logprobs["top_logprobs"][0] = None, None
    return logprobs


def _mean_logprob(result: GenerationResult) -> float:
    logprobs = [drawn.logprob for drawn in result.chunk.drawn]
    return math.fsum(logprobs) / len(logprobs) if logprobs else -math.inf
