"""What Anthropic's clients send: messages of blocks, tools and formats in its spelling."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.server.core.chat_template import Message
from multiscale_transformer.server.core.pictures import from_base64
from multiscale_transformer.server.core.schemas import Body, SamplingOptions, named
from multiscale_transformer.server.errors import ApiError

CUSTOM = ("custom", "function")  # kinds of tools that clients run; the others run at Anthropic
THOUGHTS = ("thinking", "redacted_thinking")  # of another model; this one has none


class Source(Body):
    """Where the bytes of a picture are."""

    type: str = "base64"
    data: str = ""


class Block(Body):
    """A part of a message: text, a picture, a call, or what a call gave."""

    type: str = "text"
    text: str = ""
    name: str = ""
    input: dict[str, Any] = {}
    content: str | list[Block] = ""
    source: Source = Source()

    def picture(self) -> bytes:
        """The picture of an image block. Raises ApiError for one that would have to be fetched."""
        if self.source.type != "base64":
            raise ApiError(400, f"messages: pictures are not fetched, and this one's source is {self.source.type!r}")
        return from_base64(self.source.data)

    def as_text(self) -> str:
        """Raises ApiError for what is no text."""
        if self.type == "text":
            return self.text
        if self.type == "tool_use":
            return json.dumps({"name": self.name, "arguments": self.input})
        raise ApiError(400, f"messages: this model reads text, not {self.type!r}", param="messages")


class MessageParam(Body):
    """A turn."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]

    def pictures(self) -> list[bytes]:
        """The pictures of the turn. Raises ApiError for one that cannot be read."""
        blocks = [] if isinstance(self.content, str) else self.content
        return [block.picture() for block in blocks if block.type == "image"]

    def as_messages(self) -> Iterator[Message]:
        """Results of calls as messages of their own, then the rest."""
        blocks = [Block(text=self.content)] if isinstance(self.content, str) else self.content
        kept = [block for block in blocks if block.type not in THOUGHTS]
        for block in kept:
            if block.type == "tool_result":
                yield Message("tool", text_of(block.content))
        rest = [block for block in kept if block.type != "tool_result"]
        if rest or not kept:
            yield Message(self.role, text_of(rest))


class ToolParam(Body):
    """A tool."""

    WITHOUT_EFFECT = named("allowed_callers cache_control defer_loading eager_input_streaming input_examples strict")

    type: str = "custom"
    name: str = Field("", max_length=200)
    description: str = ""
    input_schema: dict[str, Any] = {"type": "object"}


class ToolChoice(Body):
    """Whether a tool is called, and which."""

    WITHOUT_EFFECT = frozenset({"disable_parallel_tool_use"})  # an answer has one call

    type: Literal["auto", "any", "tool", "none"] = "auto"
    name: str = ""

    @property
    def word(self) -> str:
        """As the core has it: a name, or auto, required or none."""
        return {"any": "required", "tool": self.name}.get(self.type, self.type)


class OutputFormat(Body):
    """What form an answer has."""

    type: Literal["json_schema"] = "json_schema"
    json_schema: dict[str, Any] = Field({"type": "object"}, alias="schema")


class OutputConfig(Body):
    """The form of an answer, and how hard to think about it."""

    WITHOUT_EFFECT = frozenset({"effort"})

    format: OutputFormat | None = None


class CountBody(Body):
    """`POST /v1/messages/count_tokens`: what of a request is read."""

    WITHOUT_EFFECT = named("cache_control speed thinking user_profile_id workspace_id")

    model: str = ""
    messages: list[MessageParam] = Field(min_length=1)
    system: str | list[Block] = ""
    tools: list[ToolParam] = []
    tool_choice: ToolChoice = ToolChoice()
    output_config: OutputConfig = OutputConfig()

    def conversation(self) -> list[Message]:
        """System prompt and turns as the core has them."""
        system = text_of(self.system)
        turns = [message for turn in self.messages for message in turn.as_messages()]
        return [*([Message("system", system)] if system else []), *turns]

    def functions(self) -> list[Tool]:
        """The tools that clients run. Raises ApiError for one without a name."""
        custom = [tool for tool in self.tools if tool.type in CUSTOM]
        if any(not tool.name for tool in custom):
            raise ApiError(400, "tools: a name is missing", param="tools")
        return [Tool(tool.name, tool.description, tool.input_schema) for tool in custom]

    def constraint(self) -> GrammarConstraint | None:
        """Raises AxlError for a schema that cannot be kept to."""
        form = self.output_config.format
        return None if form is None else GrammarConstraint.json_schema(form.json_schema)


class MessagesBody(CountBody, SamplingOptions):
    """`POST /v1/messages`. `max_tokens` counts bytes."""

    WITHOUT_EFFECT = CountBody.WITHOUT_EFFECT | {"diagnostics", "inference_geo", "metadata", "service_tier"}
    REFUSED = {"container": ()}

    max_tokens: int = Field(ge=0)
    temperature: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0)
    stop_sequences: list[str] = []
    stream: bool = False
    memory: list[str] | None = None
    sources: bool = True


def text_of(content: str | list[Block]) -> str:
    """The text of blocks; a call or a paragraph begins on a line of its own."""
    return content if isinstance(content, str) else "\n".join(block.as_text() for block in content)
