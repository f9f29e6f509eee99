"""Anthropic's messages as its own client uses them, and as Claude Code was seen to."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from server.running import Running

MESSAGES: Any = [{"role": "user", "content": "def area("}]
TOOL: Any = {
    "name": "read_file",
    "description": "Read a file.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
READ: Any = [{"role": "user", "content": "Read the file src/net.py"}]


@pytest.fixture(scope="module")
def client(served: Running) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=served.url, api_key="none", max_retries=0)


def test_a_message_streamed_and_whole_is_that_of_openais_route(client: anthropic.Anthropic, http: httpx.Client) -> None:
    asked: Any = {"model": "tiny", "max_tokens": 12, "messages": MESSAGES, "extra_body": {"seed": 3}}
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        streamed = "".join(stream.text_stream)
        final = stream.get_final_message()
    theirs = http.post("/v1/chat/completions", json={"messages": MESSAGES, "max_tokens": 12, "seed": 3}).json()
    (block,) = whole.content
    assert block.type == "text"
    assert block.text == streamed == theirs["choices"][0]["message"]["content"]
    assert whole.stop_reason == final.stop_reason == "max_tokens"
    assert whole.usage.output_tokens == final.usage.output_tokens == 12
    assert whole.usage.input_tokens == theirs["usage"]["prompt_tokens"]


def test_events_have_the_names_and_the_order_of_the_description(http: httpx.Client) -> None:
    body = {"model": "tiny", "max_tokens": 5, "messages": MESSAGES, "stream": True}
    blocks = [block for block in http.post("/v1/messages", json=body).text.split("\n\n") if block]
    kinds = []
    for block in blocks:
        name, data = (line.split(": ", 1)[1] for line in block.splitlines())
        event = TypeAdapter[Any](RawMessageStreamEvent).validate_json(data)
        assert event.type == name
        kinds.append(name)
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) <= {"content_block_delta"}


def test_a_call_is_a_block_and_its_result_goes_back(client: anthropic.Anthropic) -> None:
    asked: Any = {"model": "tiny", "max_tokens": 300, "messages": READ, "tools": [TOOL]}
    whole = client.messages.create(**asked)
    (call,) = whole.content
    assert call.type == "tool_use"
    assert (call.name, call.input, whole.stop_reason) == ("read_file", {"path": "src/net.py"}, "tool_use")
    with client.messages.stream(**asked) as stream:
        (streamed,) = stream.get_final_message().content
    assert streamed.type == "tool_use"
    assert streamed.input == call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "x = 1"}]}
    behind = [*READ, {"role": "assistant", "content": [call.model_dump()]}, {"role": "user", "content": [result]}]
    answer = client.messages.create(model="tiny", max_tokens=9, messages=behind, tools=[TOOL], extra_body={"temperature": 0})
    assert answer.content[0].type == "text"
    assert answer.stop_reason == "max_tokens"


def test_choice_of_a_tool_and_a_form(client: anthropic.Anthropic) -> None:
    asked: Any = {"model": "tiny", "max_tokens": 300, "messages": READ, "tools": [TOOL]}
    assert client.messages.create(**asked, tool_choice={"type": "none"}).content[0].type == "text"
    for choice in ({"type": "any"}, {"type": "tool", "name": "read_file"}):
        assert client.messages.create(**asked, tool_choice=choice).stop_reason == "tool_use"
    form: Any = {"format": {"type": "json_schema", "schema": {"type": "boolean"}}}
    (block,) = client.messages.create(model="tiny", max_tokens=50, messages=MESSAGES, output_config=form).content
    assert block.type == "text"
    assert json.loads(block.text) in (True, False)


def test_a_stop_sequence_is_named(client: anthropic.Anthropic) -> None:
    asked: Any = {"model": "tiny", "max_tokens": 40, "messages": MESSAGES, "extra_body": {"seed": 3}}
    (block,) = client.messages.create(**asked).content
    assert block.type == "text"
    stop = block.text[10:12]
    cut = client.messages.create(**asked, stop_sequences=[stop])
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", stop)
    assert cut.content[0].type == "text"
    assert cut.content[0].text == block.text[: block.text.index(stop)]


def test_tokens_are_counted_as_they_are_read(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model="tiny", messages=MESSAGES, system="Be brief.", tools=[TOOL])
    read = client.messages.create(model="tiny", max_tokens=1, messages=MESSAGES, system="Be brief.", tools=[TOOL])
    assert counted.input_tokens == read.usage.input_tokens


def test_what_claude_code_was_seen_to_send(http: httpx.Client) -> None:
    body = {
        "model": "claude-sonnet-4-5-20250929",
        "max_tokens": 1,
        "system": [{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "quota", "cache_control": {"type": "ephemeral"}}]},
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "…", "signature": "s"}, {"type": "text", "text": "a"}],
            },
            {"role": "user", "content": "b"},
        ],
        "tools": [TOOL, {"type": "web_search_20250305", "name": "web_search"}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "metadata": {"user_id": "u"},
    }
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "x", "x-api-key": "k"}
    answer = http.post("/v1/messages?beta=true", json=body, headers=headers)
    assert answer.status_code == 200
    Message.model_validate(answer.json())
    assert http.get("/v1/models").json()["data"][0]["type"] == "model"
    assert http.head("/v1/models").status_code == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"max_tokens": -1}, 400),
        ({"max_tokens": None}, 400),
        ({"messages": []}, 400),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, 400),
        ({"tools": [{"input_schema": {}}]}, 400),
        ({"tool_choice": {"type": "tool", "name": "none_such"}, "tools": [TOOL]}, 400),
        ({"temperature": 3}, 400),
    ],
)
def test_errors_are_in_anthropics_shape(http: httpx.Client, change: dict[str, Any], status: int) -> None:
    answer = http.post("/v1/messages", json={"model": "tiny", "max_tokens": 5, "messages": MESSAGES, **change})
    assert answer.status_code == status
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["message"]
