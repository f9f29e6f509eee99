"""What Ollama's clients send: its options by their names there, and messages, formats and times in its spelling."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import Field

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.server.core.chat_template import Message
from multiscale_transformer.server.core.generation import MAX_NEW
from multiscale_transformer.server.core.schemas import Body
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.openai.chat import ToolBody

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)(ms|s|m|h)")


class Options(Body):
    """The options of a request; those of Ollama that have no meaning here are ignored."""

    temperature: float | None = Field(None, ge=0)
    top_k: int | None = Field(None, ge=0)
    top_p: float | None = Field(None, ge=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    repeat_penalty: float | None = Field(None, ge=0.01, le=100)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    num_predict: int | None = None
    stop: str | list[str] | None = None

    def sampling(self) -> dict[str, Any]:
        """For `generation.sampling_of`; -1 and -2 bytes are as many as it takes."""
        return {
            "max_new_tokens": MAX_NEW if self.num_predict is not None and self.num_predict < 0 else self.num_predict,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": None if self.top_p is None else max(self.top_p, 1e-9),
            "min_p": self.min_p,
            "repetition_penalty": self.repeat_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "seed": self.seed,
        }


class Named(Body):
    """A body that names a model; older clients say `name`."""

    model: str = ""
    name: str = ""

    @property
    def called(self) -> str:
        """The name."""
        return self.model or self.name


class Timed(Named):
    """A body that says how long the model stays loaded."""

    keep_alive: float | str | None = None

    @property
    def keep_seconds(self) -> float | None:
        """Seconds; below 0 for ever. Raises ApiError for what is no duration."""
        kept = self.keep_alive
        if kept is None or isinstance(kept, int | float):
            return kept
        if re.fullmatch(r"-?\d+(\.\d+)?", kept):
            return float(kept)
        parts = _DURATION.findall(kept)
        if not parts or "".join(number + unit for number, unit in parts) != kept:
            raise ApiError(400, f"keep_alive: {kept!r} is no duration; try 5m or 300")
        return sum(float(number) * _UNITS[unit] for number, unit in parts)


class GenerateBody(Timed):
    """`POST /api/generate`."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    raw: bool = False
    stream: bool = True
    format: Literal["", "json"] | dict[str, Any] = ""
    options: Options = Options()
    images: list[str] = []
    memory: list[str] | None = None


class OllamaFunction(Body):
    """What was called."""

    name: str = ""
    arguments: dict[str, Any] = {}


class OllamaCall(Body):
    """A call in an earlier answer."""

    function: OllamaFunction = OllamaFunction()


class OllamaMessage(Body):
    """A turn."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    images: list[str] = []
    tool_calls: list[OllamaCall] = []

    def plain(self) -> Message:
        """As text. Raises ApiError for pictures."""
        refuse_images(self.images)
        calls = [json.dumps(call.function.model_dump()) for call in self.tool_calls]
        return Message(self.role, "\n".join([*([self.content] if self.content else []), *calls]))


class ChatBody(Timed):
    """`POST /api/chat`."""

    messages: list[OllamaMessage] = []
    tools: list[ToolBody] = []
    stream: bool = True
    format: Literal["", "json"] | dict[str, Any] = ""
    options: Options = Options()
    memory: list[str] | None = None


class EmbedBody(Timed):
    """`POST /api/embed`, and `/api/embeddings` with its `prompt`."""

    input: str | list[str] | None = None
    prompt: str | None = None
    dimensions: int | None = Field(None, ge=1)

    @property
    def inputs(self) -> list[str | list[int]]:
        """The texts."""
        given = self.input if self.input is not None else self.prompt if self.prompt is not None else []
        return [given] if isinstance(given, str) else list(given)


class CreateBody(Named):
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


def constraint_of(wanted: str | dict[str, Any]) -> GrammarConstraint | None:
    """What `format` asks for. Raises AxlError for a schema that cannot be kept to."""
    if wanted == "json":
        return GrammarConstraint.json_object()
    return GrammarConstraint.json_schema(wanted) if isinstance(wanted, dict) and wanted else None


def refuse_images(images: list[str]) -> None:
    """Raises ApiError where there are any."""
    if images:
        raise ApiError(400, "this model reads text, not images")
