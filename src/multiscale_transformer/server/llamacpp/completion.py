"""llama.cpp's `/completion` and `/infill`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import Field

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.sampling import MAX_BIAS, SampledToken
from multiscale_transformer.model.vocabulary import EOS, ByteTokenizer
from multiscale_transformer.server.core import routing
from multiscale_transformer.server.core.generation import GenerationResult, GenerationStream, generate
from multiscale_transformer.server.core.logprobs import token_logprobs
from multiscale_transformer.server.core.prompts import Prompt, any_prompt, fim_prompt
from multiscale_transformer.server.core.requests import GenerationRequest, generation_request, stop_strings
from multiscale_transformer.server.core.schemas import Body, SamplingOptions, TokenId, logit_bias_of, named
from multiscale_transformer.server.core.streams import EVENTS_WITHOUT_DONE, respond
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.runtime.model_manager import LoadedModel
from multiscale_transformer.server.state import ServerState, server_state

router = routing.router("llama.cpp")

RANDOM_SEEDS = (-1, 2**32 - 1)  # -1, also when unsigned


class CompletionBody(SamplingOptions):
    """`POST /completion`, with llama.cpp's names. `samplers` has no effect: there is one order, and temperature 0 is greedy."""

    WITHOUT_EFFECT = named(
        "cache_prompt dry_allowed_length dry_base dry_penalty_last_n dry_sequence_breakers dynatemp_exponent"
        " id_slot min_keep mirostat_eta mirostat_tau n_cache_reuse n_keep return_progress samplers"
        " sse_ping_interval xtc_threshold"
    )
    REFUSED = {
        "dry_multiplier": (0,),
        "dynatemp_range": (0,),
        "lora": (),
        "mirostat": (0,),
        "n_cmpl": (1,),
        "post_sampling_probs": (False,),
        "typical_p": (1,),
        "xtc_probability": (0,),
    }

    model: str = ""
    prompt: str | list[TokenId] = ""
    n_predict: int | None = None
    n_indent: int = Field(0, ge=0)
    repeat_penalty: float | None = Field(None, ge=0.01, le=100)
    repeat_last_n: int | None = Field(None, ge=-1)
    logit_bias: dict[str, float] | list[tuple[int, float | bool]] | None = None
    ignore_eos: bool = False
    n_probs: int = Field(0, ge=0, le=20)
    stream: bool = False
    grammar: str = ""
    json_schema: dict[str, Any] | None = None
    t_max_predict_ms: float | None = None
    timings_per_token: bool = False
    return_tokens: bool = False
    response_fields: list[str] = []
    memory: list[str] | None = None

    def generation_request(self, state: ServerState, prompt: Prompt, context: int) -> GenerationRequest:
        """The request behind it."""
        options = self.sampling_options(
            self.n_predict,
            self.repeat_penalty,
            self.repeat_last_n,
            logit_bias=self._biases(),
            logprobs=self.n_probs or None,
        )
        if self.seed in RANDOM_SEEDS:
            options["seed"] = None
        milliseconds = self.t_max_predict_ms if self.t_max_predict_ms and self.t_max_predict_ms > 0 else None
        return generation_request(
            state,
            context,
            prompt,
            options,
            self.stop,
            constraint=self._constraint(),
            stop_rules=self.stop_rules,
            milliseconds=milliseconds,
        )

    def _biases(self) -> dict[int, float] | None:
        """By id; `false` is never."""
        pairs = self.logit_bias
        if isinstance(pairs, list):
            pairs = {str(key): -MAX_BIAS if value is False else float(value) for key, value in pairs}
        biases = logit_bias_of(pairs)
        return {**(biases or {}), EOS: -MAX_BIAS} if self.ignore_eos else biases

    def _constraint(self) -> GrammarConstraint | None:
        if self.grammar and self.json_schema is not None:
            raise ApiError(400, "grammar: there is a json_schema, too; send one of them", param="grammar")
        if self.grammar:
            return GrammarConstraint.gbnf(self.grammar)
        return None if self.json_schema is None else GrammarConstraint.json_schema(self.json_schema)


class ExtraFile(Body):
    """A piece of another file."""

    filename: str = ""
    text: str = ""


class InfillBody(CompletionBody):
    """`POST /infill`: prefix and suffix, and what else the editor finds worth knowing."""

    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[ExtraFile] = []


@router.post("/completion", summary="Complete a text, with llama.cpp's names")
async def completion(body: CompletionBody, http: Request) -> Response:
    """As llama.cpp's `/completion`."""

    def prompt(context: int) -> Prompt:
        made = any_prompt(body.prompt, context)
        return replace(made, rules=replace(made.rules, min_indent=body.n_indent)) if body.n_indent else made

    return await _respond(body, http, prompt)


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
        context = model.config.max_seq_len
        request = body.generation_request(state, prompt(context), context)
        return _LlamaCppResponder(body, model, memory, request, entry.name)

    return await respond(http, state, entry, responder, stream=EVENTS_WITHOUT_DONE if body.stream else None, memory=body.memory)


@dataclass(frozen=True)
class _LlamaCppResponder:
    """Answers a completion or infill request with a loaded model."""

    body: CompletionBody
    model: LoadedModel
    memory: CorpusMemory | None
    request: GenerationRequest
    name: str

    async def whole(self) -> dict[str, Any]:
        """The answer as one body."""
        (result,) = await generate(self.model.worker, [self.request], self.memory)
        tokens = [drawn.id for drawn in result.chunk.drawn] if self.body.return_tokens else []
        answer = {
            "content": result.text,
            "tokens": tokens,
            **self._probabilities(result.chunk.drawn),
            **await self._end(result),
        }
        return selected(answer, self.body.response_fields)

    async def events(self) -> AsyncGenerator[str]:
        """The events of a stream."""
        with GenerationStream(self.model.worker, [self.request], self.memory) as stream:
            async for result in stream:
                drawn = result.chunk.drawn
                end: dict[str, Any] = {"stop": False, "tokens_predicted": result.completion_tokens}
                if result.ended:
                    end = await self._end(result)
                elif self.body.timings_per_token:
                    end["timings"] = _timings(result)
                tokens = [token.id for token in drawn]
                event = {"index": 0, "content": result.delta, "tokens": tokens, **self._probabilities(drawn), **end}
                yield json.dumps(selected(event, self.body.response_fields) if result.ended else event)

    def _probabilities(self, drawn: list[SampledToken]) -> dict[str, Any]:
        return {"completion_probabilities": token_logprobs(drawn)} if self.body.n_probs else {}

    async def _end(self, result: GenerationResult) -> dict[str, Any]:
        """The fields that the last event, or a whole answer, has beside its text."""
        sampling, prompt, word = self.request.sampling, self.request.prompt, result.stop_among(stop_strings(self.body.stop))
        return {
            "stop": True,
            "model": self.name,
            "tokens_predicted": result.completion_tokens,
            "tokens_evaluated": len(prompt.ids),
            "tokens_cached": 0,
            "truncated": bool(prompt.truncated),
            "stop_type": "limit" if result.finish_reason != "stop" else "word" if word else "eos",
            "stopping_word": word,
            "generation_settings": {
                "seed": sampling.seed,
                "temperature": sampling.temperature,
                "n_predict": sampling.max_new_tokens,
                "n_ctx": self.model.config.max_seq_len,
            },
            "timings": _timings(result),
            **await result.sources(),
        }


def _timings(result: GenerationResult) -> dict[str, float]:
    """llama.cpp's figures of speed; a token is a byte."""
    figures: dict[str, float] = {"cache_n": 0}
    for name, count, seconds in zip(
        ("prompt", "predicted"), (len(result.request.prompt.ids), result.completion_tokens), result.seconds, strict=True
    ):
        figures |= {
            f"{name}_n": count,
            f"{name}_ms": 1000 * seconds,
            f"{name}_per_token_ms": 1000 * seconds / count if count else 0.0,
            f"{name}_per_second": count / seconds if seconds else 0.0,
        }
    return figures


def selected(answer: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    """Those fields of an answer that a client asks for, all where it names none; `a/b` is field b of a, put into the answer."""
    if not fields:
        return answer
    found: dict[str, Any] = {}
    for path in fields:
        value: Any = answer
        *_, last = parts = path.split("/")
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            found[last] = value
    return found
