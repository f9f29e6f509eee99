"""OpenAI's routes as its own client uses them, and the shapes that it does not look at."""

from __future__ import annotations

import json
import math
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.engine.scheduler import Request, Scheduler
from multiscale_transformer.memory.lookup import memory_of
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.model.vocabulary import BOS
from server.running import Running

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "switch",
        "description": "Turns it on or off.",
        "parameters": {
            "type": "object",
            "properties": {"on": {"type": "boolean"}},
            "required": ["on"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def client(served: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "axl"
    with pytest.raises(openai.NotFoundError, match="there are: tiny"):
        client.models.retrieve("gpt-5")


def test_the_server_writes_the_bytes_of_the_library(client: openai.OpenAI, served: Running) -> None:
    folder = served.app.state.server.registry.find("tiny").folder
    sampling = Sampling(max_new_tokens=40, temperature=0.8, top_p=0.9, seed=5)
    memory = memory_of(folder, True, [folder / "memory"])
    pieces = Scheduler(load_engine(folder)).stream(Request([BOS, *b"def area("], sampling, memory))
    expected = "".join(piece.text for piece in pieces)
    asked: Any = {"prompt": "def area(", "max_tokens": 40, "temperature": 0.8, "top_p": 0.9, "seed": 5}
    assert client.completions.create(model="tiny", **asked).choices[0].text == expected
    streamed = client.completions.create(model="tiny", stream=True, **asked)
    assert "".join(chunk.choices[0].text for chunk in streamed) == expected


def test_lists_of_prompts_and_several_answers_each(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt=["a", "b"], n=2, max_tokens=6, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in answer.choices[:2]}) == 2, "choices of a prompt have seeds of their own"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 4
    alone = client.completions.create(model="tiny", prompt=[98], n=2, max_tokens=6, seed=1)
    assert [choice.text for choice in alone.choices] == [choice.text for choice in answer.choices[2:]]


def test_the_best_of_several_is_the_likeliest(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "prompt": "class", "max_tokens": 8, "seed": 2, "temperature": 1.0}
    every = client.completions.create(n=5, logprobs=0, **asked).choices
    best = client.completions.create(n=1, best_of=5, **asked).choices[0]

    def mean(choice: Any) -> float:
        return float(np.mean(choice.logprobs.token_logprobs))

    assert best.text == max(every, key=mean).text


def test_an_echo_is_scored_as_the_engine_scores(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt="def area(é", max_tokens=0, echo=True, logprobs=2)
    scores = answer.choices[0].logprobs
    assert scores is not None
    assert answer.choices[0].text == "def area(é"
    assert scores.tokens == [*"def area(", "bytes:\\xc3", "bytes:\\xa9"]
    assert scores.text_offset == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert scores.token_logprobs is not None
    assert scores.token_logprobs[0] is None
    assert all(logprob < 0 for logprob in scores.token_logprobs[1:])
    written = client.completions.create(model="tiny", prompt="def area", max_tokens=1, logprobs=2, temperature=0)
    again = client.completions.create(
        model="tiny", prompt=f"def area{written.choices[0].text}", max_tokens=0, echo=True, logprobs=2
    )
    first, second = written.choices[0].logprobs, again.choices[0].logprobs
    assert first is not None
    assert second is not None
    assert second.token_logprobs is not None
    assert first.token_logprobs == pytest.approx(second.token_logprobs[-1:], abs=1e-5)


def test_prompts_longer_than_the_context_are_cut_and_it_is_said(http: httpx.Client) -> None:
    answer = http.post("/v1/completions", json={"prompt": "x" * 5000, "max_tokens": 4, "seed": 1}).json()
    assert answer["usage"]["prompt_tokens_left_out"] == 5001 - 512
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "text",
    [
        "<fim_prefix>def f(<fim_suffix>return x<fim_middle>",
        "<|fim_prefix|>def f(<|fim_suffix|>return x<|fim_middle|>",
        "<PRE> def f( <SUF>return x <MID>",
        "[SUFFIX]return x[PREFIX]def f(",
    ],
)
def test_fim_tokens_of_editors_fill_in_the_middle(client: openai.OpenAI, text: str) -> None:
    spaced = text.startswith("<PRE>")
    prefix, suffix = (" def f( ", "return x ") if spaced else ("def f(", "return x")
    asked: Any = {"model": "tiny", "max_tokens": 12, "seed": 3}
    fim = client.completions.create(prompt=prefix, suffix=suffix, **asked)
    assert client.completions.create(prompt=text, **asked).choices[0].text == fim.choices[0].text


def test_stop_texts_and_usage_in_a_stream(client: openai.OpenAI) -> None:
    letters = {str(byte): 50 for byte in b"abcdefgh"}
    asked: Any = {"model": "tiny", "prompt": "def", "max_tokens": 60, "seed": 1, "logit_bias": letters, "temperature": 1}
    whole = client.completions.create(**asked).choices[0].text
    stop = whole[20:23]
    chunks = list(client.completions.create(stop=[stop], stream=True, stream_options={"include_usage": True}, **asked))
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole[: whole.index(stop)]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 4


def test_a_chat_and_its_stream_are_the_same(client: openai.OpenAI) -> None:
    asked: Any = {
        "model": "tiny",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "max_completion_tokens": 20,
        "seed": 4,
    }
    whole = client.chat.completions.create(logprobs=True, top_logprobs=3, **asked).choices[0]
    chunks = list(client.chat.completions.create(stream=True, **asked))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.message.content
    assert whole.logprobs is not None
    content = whole.logprobs.content or []
    assert bytes(byte for one in content for byte in one.bytes or ()).decode("utf-8", "replace") == whole.message.content
    assert all(len(one.top_logprobs) == 3 for one in content)


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_that_must_be_called_is(client: openai.OpenAI, stream: bool) -> None:
    asked: Any = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Light!"}],
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "switch"}},
        "max_tokens": 200,
    }
    if stream:
        chunks = list(client.chat.completions.create(stream=True, **asked))
        calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
        assert not any(chunk.choices[0].delta.content for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason == "tool_calls"
        arguments = calls[0].function.arguments if calls[0].function else ""
    else:
        choice = client.chat.completions.create(**asked).choices[0]
        assert choice.finish_reason == "tool_calls"
        arguments = choice.message.tool_calls[0].function.arguments  # type: ignore[index, union-attr]
    assert json.loads(arguments or "") in ({"on": True}, {"on": False})


def test_an_answer_keeps_to_a_schema(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"], "additionalProperties": False}
    form: Any = {"type": "json_schema", "json_schema": {"name": "state", "schema": schema}}
    answer = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "?"}], response_format=form, max_tokens=400
    )
    assert json.loads(answer.choices[0].message.content or "") in ({"on": True}, {"on": False})
    bad: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}
    with pytest.raises(openai.BadRequestError, match="JSON schema"):
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "?"}], response_format=bad)


def test_tools_too_large_for_the_context_leave_the_question(http: httpx.Client, served: Running) -> None:
    many = [{**TOOL, "function": {**TOOL["function"], "name": f"tool{number}"}} for number in range(20)]
    asked = {"messages": [{"role": "user", "content": "What is 2 + 2?"}], "tools": many, "max_tokens": 3, "seed": 1}
    with_tools = http.post("/v1/chat/completions", json=asked).json()
    without = http.post("/v1/chat/completions", json={**asked, "tools": []}).json()
    assert with_tools["usage"]["prompt_tokens"] == without["usage"]["prompt_tokens"]
    assert with_tools["usage"]["prompt_tokens_left_out"] > 1000


def test_embeddings_are_unit_vectors_in_both_encodings(client: openai.OpenAI) -> None:
    vectors = [one.embedding for one in client.embeddings.create(model="tiny", input=["def area", "class", "def area"]).data]
    plain = client.embeddings.create(model="tiny", input="def area", encoding_format="float").data[0].embedding
    assert vectors[0] == pytest.approx(vectors[2])
    assert plain == pytest.approx(vectors[0], abs=1e-6)
    assert math.dist(vectors[0], vectors[1]) > 0.01
    assert math.hypot(*vectors[0]) == pytest.approx(1, abs=1e-5)
    short = client.embeddings.create(model="tiny", input=[100, 101], dimensions=8).data[0].embedding
    assert len(short) == 8
    assert math.hypot(*short) == pytest.approx(1, abs=1e-5)


def test_responses(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "input": "Hello", "instructions": "Be brief.", "max_output_tokens": 12}
    whole = client.responses.create(**asked, extra_body={"seed": 9})
    assert whole.status == "incomplete"
    assert whole.usage is not None
    assert whole.usage.output_tokens == 12
    events = list(client.responses.create(stream=True, **asked, extra_body={"seed": 9}))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.incomplete"
    tool: Any = {"type": "function", **TOOL["function"]}
    called = client.responses.create(model="tiny", input="Light!", tools=[tool], tool_choice="required", max_output_tokens=200)
    assert called.output[0].type == "function_call"
    assert json.loads(called.output[0].arguments) in ({"on": True}, {"on": False})


def test_a_request_chooses_its_memory_and_says_where_text_is_from(http: httpx.Client) -> None:
    asked = {"prompt": "x", "max_tokens": 5}
    assert http.post("/v1/completions", json={**asked, "memory": []}).status_code == 200
    assert http.post("/v1/completions", json={**asked, "memory": ["own"]}).status_code == 200
    refused = http.post("/v1/completions", json={**asked, "memory": ["other"]})
    assert refused.status_code == 400
    assert "started with: own" in refused.json()["error"]["message"]
    bias = {str(byte): 100 for byte in b"side * i"}  # a net that may write little else comes across the indexed text
    found = [
        source
        for seed in range(20)
        for source in http.post(
            "/v1/completions",
            json={"prompt": "def area(side):\n    return side *", "max_tokens": 5, "seed": seed, "logit_bias": bias},
        )
        .json()["choices"][0]
        .get("sources", [])
    ]
    assert found
    assert {source["file"] for source in found} == {"shapes.py"}
    assert {source["line"] for source in found} == {3}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/v1/completions", {"prompt": "x", "max_tokens": -1}, "max_tokens"),
        ("/v1/completions", {"prompt": "x", "temperature": 9}, "temperature"),
        ("/v1/completions", {"prompt": [300]}, "prompt"),
        ("/v1/completions", {"prompt": "x", "logit_bias": {"a": 1}}, "logit_bias"),
        ("/v1/completions", {"prompt": "x", "n": 2, "best_of": 1}, "best_of"),
        ("/v1/completions", {"prompt": [100], "suffix": "x"}, "suffix"),
        ("/v1/chat/completions", {"messages": []}, "messages"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "image_url"),
        ("/v1/chat/completions", {"messages": [{"role": "nobody", "content": ""}]}, "role"),
        ("/v1/embeddings", {"input": []}, "input"),
        ("/v1/embeddings", {"input": "x", "dimensions": 999}, "dimensions"),
        ("/v1/responses", {"input": "x", "previous_response_id": "resp_1"}, "not stored"),
    ],
)
def test_bad_requests_get_a_line_in_openais_shape(http: httpx.Client, path: str, body: Any, named: str) -> None:
    answer = http.post(path, json=body)
    assert answer.status_code == 400
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert named in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"
