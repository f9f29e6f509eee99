"""Clients that send nothing, half a request, or far too much of one: others are answered all the same."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.engine.structured_output import MAX_FORM, GrammarConstraint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.server import connections
from multiscale_transformer.server.connections import BoundedProtocol
from multiscale_transformer.server.core.embeddings import MAX_TOTAL_BYTES
from multiscale_transformer.server.core.prompts import MAX_PROMPT_BYTES
from multiscale_transformer.server.core.routing import MAX_CONTAINERS, MAX_VALUES, check_shape
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.ollama.go_templates import MAX_ACTIONS, to_jinja
from server.running import Running, running, settings_for

HALF_HEADER = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HALF_BODY = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"


@pytest.fixture
def short(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(BoundedProtocol, "most", 20)
    with running(settings_for(model, tmp_path)) as up:
        yield up


def is_closed(client: socket.socket, seconds: float) -> bool:
    client.settimeout(seconds)
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize("sent", [b"", HALF_HEADER, HALF_BODY], ids=["nothing", "half a header", "half a body"])
def test_who_sends_no_whole_request_is_hung_up_on(short: Running, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", short.port)) as client:
        client.sendall(sent)
        assert is_closed(client, 10)


def test_a_slow_answer_is_no_slow_request(short: Running) -> None:
    asked = {"prompt": "x", "max_tokens": 60_000, "logit_bias": {"257": -100}, "t_max_predict_ms": 900}
    began = time.monotonic()
    assert httpx.post(f"{short.url}/v1/completions", json=asked, timeout=60).status_code == 200
    assert time.monotonic() - began > 0.8


def test_where_no_more_may_connect_who_waits_longest_makes_room(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "most", 20)
    with running(settings_for(model, tmp_path)) as up:
        idle = [socket.create_connection(("127.0.0.1", up.port)) for _ in range(60)]
        try:
            for _ in range(5):
                assert httpx.get(f"{up.url}/health", timeout=10).status_code == 200
            assert is_closed(idle[0], 5)
            closed = [is_closed(client, 0.05) for client in idle]
            assert not closed[-1]
            assert closed == sorted(closed, reverse=True)  # all of whom came before those who are left
        finally:
            for client in idle:
                client.close()


def test_headers_have_a_bound(served: Running) -> None:
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.settimeout(20)
        client.sendall(HALF_HEADER)
        try:
            for _ in range(200):
                client.sendall(b"X-A: " + b"a" * 5000 + b"\r\n")
            answer = client.recv(100)
        except ConnectionError:
            answer = b""
        assert answer in (b"",) or answer.startswith(b"HTTP/1.1 4")


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_bodies_of_few_parts_are_taken_whatever_stands_in_their_strings(value: Any) -> None:
    check_shape(json.dumps([value, "[{," * MAX_CONTAINERS, 'a"\\' * 5]).encode())


def test_bodies_of_many_parts_are_refused_before_they_are_parsed(http: httpx.Client) -> None:
    check_shape(json.dumps({"prompt": [1] * (MAX_VALUES // 2)}).encode())
    for body in (b"[" * (MAX_CONTAINERS + 1), b'{"a":[' + b"1," * (MAX_VALUES + 1)):
        with pytest.raises(ApiError, match="objects and arrays"):
            check_shape(body)
    many = {"messages": [{"role": "user", "content": "a"}] * (MAX_CONTAINERS + 1)}
    refused = http.post("/v1/chat/completions", json=many)
    assert refused.status_code == 413
    assert "objects" in refused.json()["error"]["message"]


def test_embeddings_are_refused_by_what_they_cost(http: httpx.Client) -> None:
    many = ["a" * MAX_PROMPT_BYTES] * (MAX_TOTAL_BYTES // MAX_PROMPT_BYTES + 1)
    for route, body in (
        ("/v1/embeddings", {"input": many}),
        ("/api/embed", {"input": many}),
        ("/embedding", {"content": many}),
    ):
        refused = http.post(route, json=body)
        assert refused.status_code == 400
        assert "bytes" in refused.text


def test_forms_and_templates_have_a_bound() -> None:
    long = "a" * (MAX_FORM + 1)
    for make in (lambda: GrammarConstraint.json_schema({"const": long}), lambda: GrammarConstraint.regex(long),
                 lambda: GrammarConstraint.gbnf(f'root ::= "{long}"')):  # fmt: skip
        with pytest.raises(AxlError, match="characters"):
            make()
    with pytest.raises(ApiError, match="actions"):
        to_jinja("{{ .Prompt }}" * (MAX_ACTIONS + 1))


def test_a_server_answers_others_while_it_prepares_a_large_request(served: Running) -> None:
    """Defect B2: /health waited for seconds. The bodies are those of the report, as large as they may be now."""
    message = {"role": "user", "content": "a"}
    tools = [{"type": "function", "function": {"name": f"tool_{n}", "description": "Reads a file."}} for n in range(120)]
    bodies = [
        {"messages": [message] * (MAX_CONTAINERS - 10), "max_tokens": 1},
        {"messages": [{"role": "user", "content": "read " * 2000}], "tools": tools, "max_tokens": 1},
    ]
    alone = _health(served, 20)
    for body in bodies:
        with httpx.Client(base_url=served.url, timeout=60) as client, _posting(client, body) as done:
            waits = []
            while not done.is_set():
                waits += _health(served, 1)
        assert sorted(waits)[-1] < max(0.5, 50 * sorted(alone)[len(alone) // 2])


def _health(served: Running, times: int) -> list[float]:
    waits = []
    for _ in range(times):
        began = time.monotonic()
        assert httpx.get(f"{served.url}/health", timeout=30).status_code == 200
        waits.append(time.monotonic() - began)
    return waits


class _posting:  # noqa: N801
    """Send a body in a thread; the event is set when it is answered."""

    def __init__(self, client: httpx.Client, body: dict[str, Any]) -> None:
        import threading

        self._done = threading.Event()

        def post() -> None:
            try:
                self._status = client.post("/v1/chat/completions", json=body).status_code
            finally:
                self._done.set()

        self._thread = threading.Thread(target=post)

    def __enter__(self) -> Any:
        self._thread.start()
        return self._done

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        assert self._status in (200, 400, 413)
