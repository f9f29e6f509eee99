"""`POST /v1/completions`: text and holes, several at once, echoed and scored, streamed or whole."""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from multiscale_transformer.engine.prompt_scoring import ScoreRequest
from multiscale_transformer.model.sampling import SampledToken
from multiscale_transformer.model.vocabulary import BOS, VOCAB_SIZE
from multiscale_transformer.server.core.generation import (
    GenerationRequest,
    GenerationResult,
    all_whole,
    found_sources,
    live_pieces,
    sampling_of,
    seeded,
    start_all,
    submit_all,
    unless_gone,
    write_all,
)
from multiscale_transformer.server.core.prompts import (
    MAX_PROMPT_BYTES,
    Prompt,
    hole_prompt,
    id_prompt,
    plain_prompt,
    text_prompt,
)
from multiscale_transformer.server.core.schemas import OpenAIOptions
from multiscale_transformer.server.core.streams import event_stream, merged, new_id
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.openai.logprobs import completion_logprobs
from multiscale_transformer.server.runtime.model_manager import Loaded
from multiscale_transformer.server.state import Service, service_of

Id = Annotated[int, Field(ge=0, lt=VOCAB_SIZE)]
MAX_PROMPTS = 128

router = APIRouter(tags=["OpenAI"])


class CompletionBody(OpenAIOptions):
    """OpenAI's CreateCompletionRequest. `max_tokens` counts bytes."""

    prompt: str | list[Id] | list[str] | list[list[Id]] = ""
    suffix: str | None = None
    max_tokens: int | None = Field(None, ge=0)
    best_of: int | None = Field(None, ge=1, le=20)
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=5)

    @property
    def prompts(self) -> list[str | list[int]]:
        """One or several, each a text or ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if not self.prompt:
            return [""]
        return [self.prompt] if isinstance(self.prompt[0], int) else list(self.prompt)


@dataclass(frozen=True)
class _Job:
    """A completion request on a loaded model."""

    body: CompletionBody
    service: Service
    model: Loaded
    name: str
    id: str
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def memory(self) -> Any:
        return self.service.loader.memory(self.model, self.body.memory)

    def asked(self) -> list[GenerationRequest]:
        """One for each answer that is written: all of the first prompt, then of the next."""
        body = self.body
        kept = max(body.n, body.best_of or 0)
        wanted = body.logprobs if body.logprobs is not None or kept == body.n else 0
        out = []
        if len(body.prompts) * kept > MAX_PROMPTS:
            raise ApiError(400, f"{len(body.prompts) * kept} answers are too many; the most are {MAX_PROMPTS}", param="n")
        for prompt in map(self._prompt, body.prompts):
            sampling = sampling_of(body.options(body.max_tokens, wanted), body.stop, hole=prompt.hole)
            asked = GenerationRequest(prompt, sampling, None, self.service.seconds(body.t_max_predict_ms, prompt), body.sources)
            out += [seeded(asked, index) for index in range(kept)]
        return out

    def _prompt(self, given: str | list[int]) -> Prompt:
        context = self.model.config.max_seq_len
        if self.body.suffix:
            if not isinstance(given, str):
                raise ApiError(400, "suffix goes with a prompt that is a text", param="suffix")
            return hole_prompt(given, self.body.suffix, context)
        if self.body.echo and self.body.logprobs is not None and _bytes(given) > MAX_PROMPT_BYTES:
            raise ApiError(400, f"a text to be scored may have {MAX_PROMPT_BYTES:,} bytes at most", param="prompt")
        if isinstance(given, str):
            return plain_prompt(given.encode("utf-8", "replace"), context) if self.body.echo else text_prompt(given, context)
        return id_prompt(given, context)

    def envelope(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return self.service.envelope(self.name, self.id, self.created, "text_completion", choices, **more)


@router.post("/v1/completions", summary="Complete a text or fill a hole")
@router.post("/completions", include_in_schema=False)
async def completions(body: CompletionBody, http: Request) -> Response:
    """As OpenAI's completions, with `top_k`, `min_p`, `repetition_penalty`, `t_max_predict_ms`, `memory` and `sources`."""
    service = service_of(http)
    entry = service.catalogue.find(body.model)
    if body.best_of is not None and (body.best_of < body.n or (body.stream and body.best_of > 1)):
        raise ApiError(400, "best_of must not be less than n, and is 1 in a stream", param="best_of")
    if body.echo and body.suffix:
        raise ApiError(400, "echo goes with a prompt without suffix", param="echo")
    if body.stream:
        if body.echo and body.logprobs is not None:
            raise ApiError(400, "echo with logprobs is not streamed; leave stream out", param="echo")
        return await event_stream(
            http,
            service,
            entry,
            lambda model: _stream(_Job(body, service, model, entry.name, new_id("cmpl"))),
            memory=body.memory,
        )
    async with service.loader.use(entry, memory=body.memory) as model:
        job = _Job(body, service, model, entry.name, new_id("cmpl"))
        return JSONResponse(await unless_gone(http, _whole(job)))


async def _whole(job: _Job) -> dict[str, Any]:
    body, memory = job.body, job.memory
    asked = job.asked()
    scored = await _score_prompts(job, asked) if body.echo and body.logprobs is not None else None
    written = await write_all(job.model.worker, asked, memory)
    per_prompt = len(asked) // len(body.prompts)
    choices: list[dict[str, Any]] = []
    for number, given in enumerate(body.prompts):
        part = list(range(number * per_prompt, (number + 1) * per_prompt))
        best = sorted(part, key=lambda index: -_mean_logprob(written[index]))[: body.n] if per_prompt > body.n else part
        for index in best:
            scores = None if scored is None else scored[number]
            choices.append(_choice(job, len(choices), asked[index], written[index], given, scores))
    return job.envelope(choices, usage=usage(asked, [len(one.piece.drawn) for one in written], per_prompt))


def _choice(
    job: _Job,
    index: int,
    asked: GenerationRequest,
    written: GenerationResult,
    given: str | list[int],
    scores: list[SampledToken] | None,
) -> dict[str, Any]:
    body = job.body
    echoed = (given if isinstance(given, str) else asked.prompt.before.decode("utf-8", "replace")) if body.echo else ""
    logprobs = None
    if body.logprobs is not None:
        logprobs = completion_logprobs(written.piece.drawn, len(echoed))
        if scores is not None:
            first = None if isinstance(given, str) or not given else given[0]
            before = completion_logprobs(scores if first is None or first >= BOS else scores[1:], first=first)
            logprobs = {name: before[name] + logprobs[name] for name in logprobs}
            if first is None and scores:
                logprobs["token_logprobs"][0], logprobs["top_logprobs"][0] = None, None
    choice = {"text": echoed + written.piece.text, "index": index, "logprobs": logprobs, "finish_reason": written.reason}
    return {**choice, "sources": written.sources} if written.sources else choice


async def _score_prompts(job: _Job, asked: list[GenerationRequest]) -> list[list[SampledToken]]:
    """What each prompt's bytes cost, as one request each."""
    per_prompt = len(asked) // len(job.body.prompts)
    scans = [ScoreRequest(one.prompt.ids, job.memory, top=job.body.logprobs) for one in asked[::per_prompt]]
    await all_whole(submit_all(job.model.worker, scans, live=False))
    return [scan.costs for scan in scans]


async def _stream(job: _Job) -> AsyncIterator[str]:
    body, memory = job.body, job.memory
    asked = job.asked()
    tickets = start_all(job.model.worker, asked, memory, live=True)
    with_usage: dict[str, Any] = {"usage": None} if body.stream_options.include_usage else {}
    texts, counts = [""] * len(asked), [0] * len(asked)
    async for index, piece in merged([live_pieces(ticket) for ticket in tickets]):
        echoed = body.prompts[index // body.n] if body.echo and not counts[index] and not texts[index] else ""
        text = (echoed if isinstance(echoed, str) else asked[index].prompt.before.decode("utf-8", "replace")) + piece.text
        logprobs = None if body.logprobs is None else completion_logprobs(piece.drawn, len(texts[index]))
        texts[index] += piece.text
        counts[index] += len(piece.drawn)
        reason = None if piece.ended is None else GenerationResult(piece).reason
        choice: dict[str, Any] = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": reason}
        if piece.ended is not None:
            found = await found_sources(asked[index], memory, texts[index])
            choice |= {"sources": found} if found else {}
        if text or piece.ended is not None or logprobs:
            yield json.dumps(job.envelope([choice], **with_usage))
    if body.stream_options.include_usage:
        yield json.dumps(job.envelope([], usage=usage(asked, counts, body.n)))


def usage(asked: list[GenerationRequest], written: list[int], per_prompt: int = 1) -> dict[str, Any]:
    """OpenAI's counts, of bytes; a prompt counts once however many answers it has."""
    prompt = sum(len(one.prompt.ids) for one in asked[::per_prompt])
    left_out = sum(one.prompt.left_out for one in asked[::per_prompt])
    counted = {"prompt_tokens": prompt, "completion_tokens": sum(written), "total_tokens": prompt + sum(written)}
    return {**counted, "prompt_tokens_left_out": left_out} if left_out else counted


def _bytes(given: str | list[int]) -> int:
    return len(given.encode("utf-8", "replace")) if isinstance(given, str) else len(given)


def _mean_logprob(written: GenerationResult) -> float:
    logprobs = [drawn.logprob for drawn in written.piece.drawn]
    return math.fsum(logprobs) / len(logprobs) if logprobs else -math.inf
