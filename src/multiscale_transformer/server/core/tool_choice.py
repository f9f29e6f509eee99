"""Which tool an answer calls, if any: the router reads the last message, and a grammar writes what it says.

The net is too small to choose among tools or to invent arguments. The router (`agents.router`) does both from the words of the
request; where a call has to be made and the request lacks what it needs, the tool's schema alone holds the net. After a
tool's result, or an answer, no further call is made: a request is one call.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from multiscale_transformer.agents.arguments import arguments_of
from multiscale_transformer.agents.router import choose, route
from multiscale_transformer.agents.tool_schema import Tool, ToolCall
from multiscale_transformer.engine.structured_output import GrammarConstraint, lark_string
from multiscale_transformer.server.core.chat_template import CALL_BEGIN, CALL_END, Message
from multiscale_transformer.server.errors import ApiError

_TEXT = r"start: /([^<](.|\n)*)?/"  # that is no call


def call_constraint(messages: Sequence[Message], tools: Sequence[Tool], choice: str) -> GrammarConstraint | None:
    """The grammar of an answer to the last message that is a call; None where the answer is text.

    `choice` is "none", "auto" (a call where one is asked for), "required", or the name of the tool to call. Raises ApiError for
    a name that no tool has.
    """
    if not tools or choice == "none":
        return None
    request = messages[-1].content if messages and messages[-1].role == "user" else ""
    if choice == "auto":
        call = route(request, tools) if request else None
        return None if call is None else _exactly(call)
    tool = choose(request, tools).ranked[0].tool if choice == "required" else _named(tools, choice)
    arguments = arguments_of(request, tool)
    return _any_of(tool) if arguments is None else _exactly(ToolCall(tool.name, arguments))


def no_call() -> GrammarConstraint:
    """The grammar of text that is no call."""
    return GrammarConstraint.lark(_TEXT)


def _named(tools: Sequence[Tool], name: str) -> Tool:
    for tool in tools:
        if tool.name == name:
            return tool
    raise ApiError(400, f"tool_choice: there is no tool {name!r}", param="tool_choice")


def _exactly(call: ToolCall) -> GrammarConstraint:
    """This call and nothing else."""
    text = json.dumps({"name": call.name, "arguments": json.loads(call.arguments)})
    return GrammarConstraint.lark(f"start: {lark_string(f'{CALL_BEGIN}{text}{CALL_END}')}")


def _any_of(tool: Tool) -> GrammarConstraint:
    """Any call of this tool."""
    schema = json.dumps({**tool.call_schema, "x-guidance": {"whitespace_flexible": False}})
    return GrammarConstraint.lark(f'start: "{CALL_BEGIN}" %json {schema} "{CALL_END}"')
