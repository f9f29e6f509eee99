"""What Ollama's clients send: its options by their names there, and messages, formats and times in its spelling."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import Field

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.server.core.chat_template import Message
from multiscale_transformer.server.core.schemas import Body, SamplingOptions, ToolBody, named
from multiscale_transformer.server.errors import ApiError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)(ms|s|m|h)")


class Options(SamplingOptions):
    """The options of a request."""

    WITHOUT_EFFECT = named(
        "embedding_only f16_kv logits_all low_vram main_gpu mirostat_eta mirostat_tau num_batch num_ctx num_gpu"
        " num_keep num_thread numa use_mlock use_mmap vocab_only"
    )
    REFUSED = {"mirostat": (0,), "penalize_newline": (True,), "tfs_z": (1,), "typical_p": (1,)}

    top_k: int | None = Field(None, ge=0)
    repeat_penalty: float | None = Field(None, ge=0.01, le=100)
    repeat_last_n: int | None = Field(None, ge=-1)
    num_predict: int | None = None

    def sampling(self, logprobs: int | None) -> dict[str, Any]:
        """For `requests.sampling_of`."""
        return self.sampling_options(self.num_predict, self.repeat_penalty, self.repeat_last_n, logprobs=logprobs)


class NamedBody(Body):
    """A body that names a model; older clients say `name`."""

    model: str = ""
    name: str = ""

    @property
    def model_name(self) -> str:
        """The name."""
        return self.model or self.name


class KeepAliveBody(NamedBody):
    """A body that says how long the model stays loaded."""

    keep_alive: float | str | None = None

    @property
    def keep_alive_seconds(self) -> float | None:
        """Seconds; below 0 for ever. Raises ApiError for what is no duration."""
        given = self.keep_alive
        if given is None or isinstance(given, int | float):
            return given
        if re.fullmatch(r"-?\d+(\.\d+)?", given):
            return float(given)
        parts = _DURATION.findall(given)
        if not parts or "".join(number + unit for number, unit in parts) != given:
            raise ApiError(400, f"keep_alive: {given!r} is no duration; try 5m or 300")
        return sum(float(number) * _UNITS[unit] for number, unit in parts)


class GenerationBody(KeepAliveBody):
    """What `/api/generate` and `/api/chat` share."""

    REFUSED = {"context": (), "height": (0,), "steps": (0,), "think": (False,), "width": (0,)}

    stream: bool = True
    format: Literal["", "json"] | dict[str, Any] = ""
    options: Options = Options()
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)
    memory: list[str] | None = None

    @property
    def logprobs_asked(self) -> int | None:
        """How many of the likeliest bytes are reported beside each byte."""
        return self.top_logprobs if self.logprobs else None


class GenerateBody(GenerationBody):
    """`POST /api/generate`."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    raw: bool = False
    images: list[str] = []


class FunctionCallBody(Body):
    """What was called."""

    name: str = ""
    arguments: dict[str, Any] = {}


class ToolCallBody(Body):
    """A call in an earlier answer."""

    function: FunctionCallBody = FunctionCallBody()


class MessageBody(Body):
    """A turn."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    images: list[str] = []
    tool_calls: list[ToolCallBody] = []

    def as_message(self) -> Message:
        """As text. Raises ApiError for pictures."""
        refuse_images(self.images)
        calls = [json.dumps(call.function.model_dump()) for call in self.tool_calls]
        return Message(self.role, "\n".join([*([self.content] if self.content else []), *calls]))


class ChatBody(GenerationBody):
    """`POST /api/chat`."""

    messages: list[MessageBody] = []
    tools: list[ToolBody] = []


class EmbedBody(KeepAliveBody):
    """`POST /api/embed`, and `/api/embeddings` with its `prompt`."""

    WITHOUT_EFFECT = frozenset({"options"})
    REFUSED = {"truncate": (True,)}

    input: str | list[str] | None = None
    prompt: str | None = None
    dimensions: int | None = Field(None, ge=1)

    @property
    def inputs(self) -> list[str | list[int]]:
        """The texts."""
        given = self.input if self.input is not None else self.prompt if self.prompt is not None else []
        return [given] if isinstance(given, str) else list(given)


class CreateBody(NamedBody):
    """`POST /api/create`."""

    from_: str = Field("", alias="from")
    system: str = ""
    template: str = ""
    parameters: dict[str, Any] = {}
    stream: bool = True


class CopyBody(Body):
    """`POST /api/copy`."""

    source: str
    destination: str


def constraint_of(form: str | dict[str, Any]) -> GrammarConstraint | None:
    """The constraint that `format` asks for. Raises AxlError for a schema that cannot be kept to."""
    if form == "json":
        return GrammarConstraint.json_object()
    return GrammarConstraint.json_schema(form) if isinstance(form, dict) and form else None


def refuse_images(images: list[str]) -> None:
    """Raises ApiError where there are any."""
    if images:
        raise ApiError(400, "this model reads text, not images")
