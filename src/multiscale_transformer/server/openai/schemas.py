"""What OpenAI's routes have in common: options, messages, formats, and the shape of their answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.server.core.chat_template import Message
from multiscale_transformer.server.core.generation import GenerationResult
from multiscale_transformer.server.core.schemas import Body, SamplingOptions, logit_bias_of
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.state import ServerState

PICTURE_PARTS = ("image_url", "input_image")
TEXT_PARTS = ("text", "input_text", "output_text", "refusal")


class StreamOptions(Body):
    """What else a stream says."""

    WITHOUT_EFFECT = frozenset({"include_obfuscation"})

    include_usage: bool = False


class OpenAIOptions(SamplingOptions):
    """The options of OpenAI's generation routes, and AXL's own: top_k, min_p, a time limit, memory and sources."""

    model: str = ""
    temperature: float | None = Field(None, ge=0, le=2)
    n: int = Field(1, ge=1, le=128)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    logit_bias: dict[str, float] | None = None
    top_k: int | None = Field(None, ge=-1)
    repetition_penalty: float | None = Field(None, ge=0.01, le=100)
    t_max_predict_ms: float | None = Field(None, gt=0)
    memory: list[str] | None = None
    sources: bool = True
    grammar: str = ""  # GBNF, which llama.cpp's clients send to these routes, too

    def options(self, max_new_tokens: int | None, logprobs: int | None) -> dict[str, Any]:
        """For `requests.sampling_of`."""
        bias = logit_bias_of(self.logit_bias)
        return self.sampling_options(max_new_tokens, self.repetition_penalty, logit_bias=bias, logprobs=logprobs)

    @property
    def limits(self) -> dict[str, Any]:
        """For `requests.generation_request`."""
        return {"stop_rules": self.stop_rules, "milliseconds": self.t_max_predict_ms, "sources": self.sources}


class ImageUrl(Body):
    """A picture, in a data: URL."""

    WITHOUT_EFFECT = frozenset({"detail"})

    url: str = ""


class ContentPart(Body):
    """A part of a message."""

    type: str = "text"
    text: str = ""
    image_url: str | ImageUrl = ""
    refusal: str = ""


class FunctionCallBody(Body):
    """What an earlier answer called."""

    name: str = ""
    arguments: str | dict[str, Any] = ""


class ToolCallBody(Body):
    """A call in an earlier answer."""

    function: FunctionCallBody = FunctionCallBody()


class ChatMessage(Body):
    """A message as OpenAI's clients send it."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] = ""
    tool_calls: list[ToolCallBody] = []

    def picture_urls(self) -> list[str]:
        """The addresses of its pictures."""
        parts = [] if isinstance(self.content, str) else self.content
        urls = [part.image_url for part in parts if part.type in PICTURE_PARTS]
        return [url if isinstance(url, str) else url.url for url in urls]

    def as_message(self) -> Message:
        """As text. Raises ApiError for what is no text."""
        role = {"developer": "system", "function": "tool"}.get(self.role, self.role)
        if isinstance(self.content, str):
            text = self.content
        else:
            other = [part.type for part in self.content if part.type not in TEXT_PARTS]
            if other:
                raise ApiError(400, f"messages: this model reads text, not {other[0]!r}", param="messages")
            text = "".join(part.text or part.refusal for part in self.content)
        calls = [{"name": call.function.name, "arguments": call.function.arguments} for call in self.tool_calls]
        return Message(role, "\n".join([*([text] if text else []), *map(json.dumps, calls)]))


class NamedTool(Body):
    """The one tool that is to be called."""

    function: FunctionCallBody = FunctionCallBody()


class JsonSchema(Body):
    """A schema with its name."""

    json_schema: dict[str, Any] = Field({"type": "object"}, alias="schema")


class ResponseFormat(Body):
    """What form an answer has."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None
    given_schema: dict[str, Any] | None = Field(None, alias="schema")  # beside json_object, as llama.cpp has it

    def constraint(self, grammar: str = "") -> GrammarConstraint | None:
        """The form, or a grammar where there is one. Raises AxlError for what cannot be kept to."""
        if grammar:
            if self.type != "text":
                raise ApiError(400, "grammar: there is a response_format, too; send one of them", param="grammar")
            return GrammarConstraint.gbnf(grammar)
        if self.type == "text":
            return None
        given = self.json_schema.json_schema if self.json_schema is not None else self.given_schema
        if given is not None:
            return GrammarConstraint.json_schema(given)
        if self.type == "json_object":
            return GrammarConstraint.json_object()
        raise ApiError(400, "response_format: json_schema is missing", param="response_format")


def envelope(
    state: ServerState, model: str, answer: str, created: int, kind: str, choices: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """OpenAI's answer around choices; all chunks of a stream have the same `created`."""
    head = {"id": answer, "object": kind, "created": created, "model": model, "system_fingerprint": state.fingerprint}
    return {**head, "choices": choices, **more}


def usage(results: Sequence[GenerationResult], answers_per_prompt: int = 1) -> dict[str, Any]:
    """OpenAI's counts, of bytes; a prompt counts once however many answers it has."""
    prompts = [result.request.prompt for result in results[::answers_per_prompt]]
    prompt = sum(len(prompt.ids) for prompt in prompts)
    completion = sum(result.completion_tokens for result in results)
    truncated = sum(prompt.truncated for prompt in prompts)
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**counts, "prompt_tokens_left_out": truncated} if truncated else counts
