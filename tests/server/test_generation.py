"""From chunks to results, from results to streams: what is held back, what keeps a stream alive, and how long a request has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.engine.scheduler import OutputChunk
from multiscale_transformer.model.sampling import DEFAULT_SAMPLING, Sampling
from multiscale_transformer.model.vocabulary import EOS
from multiscale_transformer.server.core import requests, streams
from multiscale_transformer.server.core.generation import GenerationResult, merged
from multiscale_transformer.server.core.prompts import fim_prompt, plain_prompt
from multiscale_transformer.server.core.requests import GenerationRequest, sampling_of
from multiscale_transformer.server.errors import StoppedError
from multiscale_transformer.server.metrics import Metrics
from multiscale_transformer.server.runtime.model_manager import ModelManager
from multiscale_transformer.server.runtime.registry import ModelRegistry
from multiscale_transformer.server.settings import Limits, Settings
from multiscale_transformer.server.state import ServerState

CALL = '<tool_call>{"name": "f", "arguments": {"x": true}}</tool_call>'
REQUEST = GenerationRequest(plain_prompt(b"x", 64), Sampling())


def folded(pieces: Sequence[str], tools: Sequence[Tool]) -> tuple[GenerationResult, list[str]]:
    """The result of these chunks, and what each of them made known."""
    result, deltas = GenerationResult(REQUEST, None, tools), []
    for number, piece in enumerate(pieces):
        result.add(OutputChunk(piece, ended="stop" if number == len(pieces) - 1 else None))
        deltas.append(result.delta)
    return result, deltas


@given(data=st.data(), text=st.one_of(st.just(CALL), st.just(CALL[:20]), st.text(max_size=30)), tools=st.booleans())
def test_any_chunks_give_the_same_result(data: st.DataObject, text: str, tools: bool) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    result, deltas = folded(pieces, [Tool("f")] if tools else [])
    assert result.text == text
    if tools and text == CALL:
        assert [call.name for call in result.calls] == ["f"]
        assert not any(deltas), "nothing of a call is shown as text"
    else:
        assert not result.calls
        assert "".join(deltas) == text


def test_what_may_become_a_call_is_held_back_until_it_cannot() -> None:
    assert folded(["<to", "ol_x", "y"], [Tool("f")])[1] == ["", "<tool_x", "y"]
    assert folded(["<to", "ol_call>{", "no"], [Tool("f")])[1] == ["", "", "<tool_call>{no"]
    assert folded(["<to", "ol_x", "y"], [])[1] == ["<to", "ol_x", "y"]


def test_merged_iterators_give_everything_once() -> None:
    async def numbers(first: int) -> AsyncGenerator[int]:
        for number in range(first, first + 3):
            await asyncio.sleep(0)
            yield number

    async def run(count: int) -> list[tuple[int, int]]:
        return [item async for item in merged([numbers(10 * index) for index in range(count)])]

    for count in (1, 3):
        assert sorted(asyncio.run(run(count))) == [(index, 10 * index + n) for index in range(count) for n in range(3)]


def test_a_silent_stream_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pings come while nothing is written, and none is needed by lines of JSON."""
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.001)
    assert streams.EVENTS.ping is not None

    async def run(stream: streams.StreamFormat) -> list[str]:
        heard, seen = asyncio.Event(), []

        async def source() -> AsyncGenerator[str]:
            if stream.ping is not None:
                await heard.wait()
            yield "written"

        async for line in streams._body("first", source(), stream):
            seen.append(line)
            if seen.count(stream.ping) == 3:  # type: ignore[arg-type]
                heard.set()
        return seen

    seen = asyncio.run(run(streams.EVENTS))
    assert seen[0] == "data: first\n\n"
    assert seen[-2:] == ["data: written\n\n", "data: [DONE]\n\n"]
    assert set(seen[1:-2]) == {streams.EVENTS.ping}
    assert len(seen[1:-2]) >= 3
    assert all(line.startswith(":") and line.endswith("\n\n") for line in seen[1:-2]), "a comment, which clients ignore"
    assert asyncio.run(run(streams.JSON_LINES)) == ["first\n", "written\n"]


@pytest.mark.parametrize("stream", [streams.EVENTS, streams.JSON_LINES])
def test_an_error_in_the_middle_is_the_last_line_of_a_stream(stream: streams.StreamFormat) -> None:
    closed = []

    async def source() -> AsyncGenerator[str]:
        try:
            yield "written"
            raise StoppedError("the engine failed")
        finally:
            closed.append(True)

    async def run() -> list[str]:
        return [line async for line in streams._body("first", source(), stream)]

    *lines, last = asyncio.run(run())
    assert lines == [stream.frame("first"), stream.frame("written")]
    error = json.loads(last.removeprefix("data: "))["error"]
    assert "the engine failed" in (error if stream is streams.JSON_LINES else error["message"])
    assert closed


def state_with(**settings: Any) -> ServerState:
    made = Settings(models={}, variants=Path("nowhere"), **settings)
    return ServerState(ModelRegistry({}, made.variants), ModelManager(Limits(), Metrics(), None), Metrics(), made)


def test_time_limits() -> None:
    fim, plain = fim_prompt("a", "b", 64), plain_prompt(b"a", 64)
    unlimited, limited = state_with(), state_with(fim_timeout=0.35, max_seconds=2.0)
    assert unlimited.time_limit(None, fim) is None
    assert unlimited.time_limit(500, plain) == 0.5
    assert limited.time_limit(None, fim) == 0.35
    assert limited.time_limit(None, plain) == 2.0
    assert limited.time_limit(900, fim) == 0.9, "a request's own limit comes before the server's for fill-in-the-middle"
    assert limited.time_limit(9000, plain) == 2.0


def test_a_time_limit_begins_when_the_engine_gets_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests.time, "monotonic", lambda: 100.0)
    assert GenerationRequest(REQUEST.prompt, REQUEST.sampling, time_limit=0.2).for_engine(None).deadline == 100.2
    assert REQUEST.for_engine(None).deadline is None


def test_options_that_are_not_given_are_the_defaults() -> None:
    assert sampling_of({"temperature": None, "seed": 1}, None) == DEFAULT_SAMPLING.model_copy(update={"seed": 1})
    assert sampling_of({"temperature": 0.0}, ["a", ""]).stop == (b"a",)
    assert b"<fim_" in sampling_of({}, "a", fim=True).stop


@pytest.mark.parametrize("prompt", ["def area(é", [100, 101]])
def test_an_echo_in_a_stream_is_that_of_the_whole_answer(http: httpx.Client, prompt: Any) -> None:
    body = {"prompt": [prompt, prompt], "n": 2, "max_tokens": 5, "seed": 1, "echo": True}
    whole = [choice["text"] for choice in http.post("/v1/completions", json=body).json()["choices"]]
    streamed = [""] * 4
    for line in http.post("/v1/completions", json={**body, "stream": True}).text.split("\n\n"):
        if line.startswith("data: {"):
            (choice,) = json.loads(line[6:])["choices"]
            streamed[choice["index"]] += choice["text"]
    assert streamed == whole
    assert all(text.startswith("def area(é" if isinstance(prompt, str) else "de") for text in whole)


@pytest.mark.parametrize("stream", [False, True])
def test_why_llamacpps_answers_end(http: httpx.Client, stream: bool) -> None:
    def last(**body: Any) -> dict[str, Any]:
        answer = http.post("/completion", json={"prompt": "x", "n_predict": 4, "stream": stream, **body})
        return json.loads(answer.text.strip().split("\n\n")[-1].removeprefix("data: "))  # type: ignore[no-any-return]

    assert last(logit_bias={str(EOS): -100})["stop_type"] == "limit"
    assert last(logit_bias={str(EOS): 100}, temperature=0)["stop_type"] == "eos"


def test_the_playground_begins_with_the_defaults(http: httpx.Client) -> None:
    page = http.get("/", headers={"Accept": "text/html"}).text
    params = http.get("/props").json()["default_generation_settings"]["params"]
    assert params == {"max_new_tokens": 256, "temperature": 0.4, "top_p": 0.95}
    for name in ("temperature", "top_p"):
        (field,) = [line for line in page.splitlines() if f'<input id="{name}"' in line]
        assert f'value="{params[name]}"' in field


@pytest.mark.parametrize("route", ["/v1/completions", "/completion", "/api/generate"])
def test_a_prompt_with_crlf_is_continued_with_crlf(http: httpx.Client, route: str) -> None:
    options = {"seed": 3, "max_tokens": 60, "n_predict": 60, "num_predict": 60, "temperature": 1.5}
    bias = {"logit_bias": {"10": 5.0}}

    def text(prompt: str, **more: object) -> str:
        body = {"prompt": prompt, "raw": True, "stream": False, **options, **bias, "options": options, **more}
        answer = http.post(route, json=body).json()
        return str(answer.get("response") or answer.get("content") or answer["choices"][0]["text"])

    plain, crlf = text("def f(x):\n    return x\n"), text("def f(x):\r\n    return x\r\n")
    assert "\n" in plain or route == "/api/generate"  # which has no bias
    assert crlf == plain.replace("\r", "").replace("\n", "\r\n")
    if route != "/api/generate":
        stopped = text("def f(x):\r\n    return x\r\n", stop=["\r\n"])
        assert stopped == crlf.partition("\r\n")[0]
