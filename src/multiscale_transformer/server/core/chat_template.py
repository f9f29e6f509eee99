"""Makes the prompt of a conversation, and reads tool calls out of answers.

The template is that of the model's format (`zoo.prompt_formats`), or the checkpoint's own. Small contexts cannot hold what
agents send (kilobytes of tool schemas): schemas go first, then the oldest messages, then the system prompt, and the last
message stays for as long as anything fits.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Template as JinjaTemplate
from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from multiscale_transformer.agents.tool_schema import Tool, ToolCall
from multiscale_transformer.server.core.prompts import Prompt, plain_prompt
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.zoo.prompt_formats import FORMATS, format_of

CALL_BEGIN, CALL_END = "<tool_call>", "</tool_call>"


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


@dataclass(frozen=True)
class ChatTemplate:
    """How a model's conversations look, and what ends an answer."""

    text: str = FORMATS["code"].chat
    stops: tuple[str, ...] = FORMATS["code"].stops

    def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> str:
        """The text to continue. Raises ApiError where the template refuses the messages."""
        try:
            return _compiled(self.text).render(
                messages=[{"role": message.role, "content": message.content} for message in _with_tools(messages, tools)],
                system="\n".join(message.content for message in messages if message.role == "system"),
                prompt=messages[-1].content if messages else "",
                add_generation_prompt=True,
                bos_token="",
                eos_token="",
            )
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise ApiError(400, f"the model's chat template refuses these messages: {error}", param="messages") from None


def template_of(folder: Path) -> ChatTemplate:
    """The template of a checkpoint."""
    prompt_format = format_of(folder)
    return ChatTemplate(prompt_format.chat, prompt_format.stops)


def chat_prompt(template: ChatTemplate, messages: Sequence[Message], tools: Sequence[Tool], context: int) -> Prompt:
    """The prompt of a conversation: what fits into three quarters of the context, so that there is room for an answer."""
    if not messages:
        raise ApiError(400, "messages: at least one is needed", param="messages")
    room = context - context // 4
    whole = fitting = _encoded(template.render(messages, tools))
    if len(whole) > room:
        fitting = _shortened(template, messages, room)
    prompt = plain_prompt(fitting, context)
    return replace(prompt, truncated=prompt.truncated + len(whole) - len(fitting))


def parse_answer(text: str, tools: Sequence[Tool]) -> tuple[str | None, list[ToolCall]]:
    """The text and the calls of an answer. A call that was cut short is a text."""
    if not tools or not text.startswith(CALL_BEGIN):
        return text, []
    body = text.removeprefix(CALL_BEGIN).removesuffix(CALL_END)
    try:
        call = json.loads(body)
        return None, [ToolCall(str(call["name"]), json.dumps(call["arguments"]))]
    except (ValueError, KeyError, TypeError):
        return text, []


def may_be_call(text: str) -> bool:
    """Whether the text of an unfinished answer is a tool call or may become one."""
    return text.startswith(CALL_BEGIN) or CALL_BEGIN.startswith(text)


def _shortened(template: ChatTemplate, messages: Sequence[Message], room: int) -> bytes:
    """Without tools, with as many of the last messages as fit behind the system prompt; the last one in any case."""

    def rendered(messages: Sequence[Message]) -> bytes:
        return _encoded(template.render(messages))

    system = [message for message in messages[:1] if message.role == "system" and len(messages) > 1]
    rest = messages[len(system) :]
    first, last = max(0, len(rest) - room), len(rest) - 1  # a message is a byte at least
    while first < last:  # binary search: the fewer messages, the shorter
        middle = (first + last) // 2
        first, last = (first, middle) if len(rendered([*system, *rest[middle:]])) <= room else (middle + 1, last)
    text = rendered([*system, *rest[first:]])
    return text if len(text) <= room else rendered(rest[-1:])


def _with_tools(messages: Sequence[Message], tools: Sequence[Tool]) -> list[Message]:
    """The tools as a part of the system prompt."""
    if not tools:
        return list(messages)
    described = [{"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in tools]
    lines = "\n".join(
        ["Tools:", *map(json.dumps, described), f'Call one with {CALL_BEGIN}{{"name": ..., "arguments": ...}}{CALL_END}']
    )
    if messages[0].role == "system":
        return [Message("system", f"{messages[0].content}\n\n{lines}"), *messages[1:]]
    return [Message("system", lines), *messages]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


@functools.lru_cache(maxsize=32)
def _compiled(text: str) -> JinjaTemplate:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(text)


def _refuse(message: str) -> None:
    raise TemplateError(message)
