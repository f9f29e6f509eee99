"""Tools in a chat: the router's call is what the answer is, in every dialect; where none is asked for, none is made."""

from __future__ import annotations

import json
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.agents.lab_tools import LAB_TOOLS, NONE
from multiscale_transformer.agents.router import route
from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.model.vocabulary import EOS
from multiscale_transformer.server.core.chat_template import Message, parse_answer
from multiscale_transformer.server.core.tool_choice import call_constraint, no_call
from multiscale_transformer.server.errors import ApiError

TOOLS = [tool for tool in LAB_TOOLS if tool != NONE]
READ = "Read the file src/net.py"
ASKED = [
    {"type": "function", "function": {"name": one.name, "description": one.description, "parameters": one.parameters}}
    for one in TOOLS
]


def forced(constraint: GrammarConstraint | None) -> bytes:
    """The text that a constraint leaves no choice about, from its beginning."""
    assert constraint is not None
    constraint, text = constraint.copy(), b""
    while not constraint.ended:
        (allowed,) = np.nonzero(constraint.allowed())
        if len(allowed) > 1 or allowed[0] == EOS:
            break
        constraint.advance(int(allowed[0]))
        text += bytes([int(allowed[0])])
    return text


def called(constraint: GrammarConstraint | None, tools: list[Tool] | None = None) -> tuple[str, Any]:
    _, (call,) = parse_answer(forced(constraint).decode(), tools or TOOLS)
    return call.name, json.loads(call.arguments)


def test_what_the_router_says_is_the_whole_answer() -> None:
    assert called(call_constraint([Message("user", READ)], TOOLS, "auto")) == ("read_file", {"path": "src/net.py"})


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).map(str.strip).filter(bool))
def test_any_words_come_through_the_grammar_as_they_are(words: str) -> None:
    request = f"Search the code for `{words}`"
    call = route(request, TOOLS)
    constraint = call_constraint([Message("user", request)], TOOLS, "auto")
    if call is None:
        assert constraint is None
    else:
        assert called(constraint) == (call.name, json.loads(call.arguments))


@pytest.mark.parametrize(
    "messages",
    [
        [Message("user", "Thanks a lot!")],
        [Message("user", READ), Message("assistant", "<tool_call>"), Message("tool", "import socket")],
        [Message("user", READ), Message("assistant", "It imports socket.")],
    ],
)
def test_text_where_no_call_is_asked_for_or_one_was_made(messages: list[Message]) -> None:
    assert call_constraint(messages, TOOLS, "auto") is None
    allowed = no_call().allowed()
    assert not allowed[ord("<")]
    assert allowed[ord("I")]


def test_text_beside_tools_is_never_taken_for_a_call(http: httpx.Client) -> None:
    bias = {str(ord("<")): 100, str(EOS): -100}
    body = {"messages": [{"role": "user", "content": "Thanks!"}], "tools": ASKED, "max_tokens": 9, "logit_bias": bias}
    for choice in ("auto", "none"):
        content = http.post("/v1/chat/completions", json={**body, "tool_choice": choice}).json()["choices"][0]["message"][
            "content"
        ]
        assert "<" in content
        assert not content.startswith("<")


def test_a_call_that_has_to_be_made_is_made() -> None:
    schema = {"type": "object", "properties": {"seconds": {"type": "integer"}}, "required": ["seconds"]}
    no_number = [Message("user", "Wait for a while")]
    held = forced(call_constraint(no_number, [*TOOLS, Tool("wait", "Waits for some seconds.", schema)], "required"))
    assert held == b'<tool_call>{"name":"wait","arguments":{"seconds":', "the net writes the number"
    assert called(call_constraint([Message("user", READ)], TOOLS, "list_dir"))[0] == "list_dir"
    assert forced(call_constraint([], TOOLS, "required")).startswith(b'<tool_call>{"name":')
    assert call_constraint(no_number, TOOLS, "none") is None
    assert call_constraint(no_number, [], "required") is None
    with pytest.raises(ApiError, match="no tool 'absent'"):
        call_constraint(no_number, TOOLS, "absent")


@pytest.mark.parametrize("stream", [False, True])
def test_every_dialect_makes_the_same_call(http: httpx.Client, stream: bool) -> None:
    messages = [{"role": "user", "content": READ}]
    wanted = ("read_file", {"path": "src/net.py"})
    body = {"messages": messages, "tools": ASKED, "max_tokens": 200, "stream": stream}
    answer = http.post("/v1/chat/completions", json=body).text
    if stream:
        chunks = [json.loads(line.removeprefix("data: ")) for line in answer.splitlines() if line.startswith("data: {")]
        (call,) = (call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", ()))
        assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    else:
        (call,) = json.loads(answer)["choices"][0]["message"]["tool_calls"]
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == wanted
    lines = http.post("/api/chat", json={"model": "tiny", "messages": messages, "tools": ASKED, "stream": stream}).text
    calls = [call for line in lines.splitlines() for call in json.loads(line)["message"].get("tool_calls", ())]
    assert [(call["function"]["name"], call["function"]["arguments"]) for call in calls] == [wanted]
    if not stream:
        flat = [{"type": "function", **tool["function"]} for tool in ASKED]
        (output,) = http.post("/v1/responses", json={"input": READ, "tools": flat, "max_output_tokens": 200}).json()["output"]
        assert (output["name"], json.loads(output["arguments"])) == wanted


def test_after_a_tools_result_the_answer_is_text(http: httpx.Client) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "src/net.py"}'}}
    messages = [
        {"role": "user", "content": READ},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "import socket"},
    ]
    choice = http.post("/v1/chat/completions", json={"messages": messages, "tools": ASKED, "max_tokens": 8}).json()["choices"][
        0
    ]
    assert "tool_calls" not in choice["message"]
    assert isinstance(choice["message"]["content"], str)
