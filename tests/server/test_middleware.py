"""Who gets an answer, how much may be asked, and what happens when somebody leaves or the server ends."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

from multiscale_transformer.engine.self_test import UnfitError
from multiscale_transformer.server.runtime import model_manager
from multiscale_transformer.server.settings import Limits
from server.running import Running, running, settings_for


def test_foreign_hosts_and_pages_get_nothing(http: httpx.Client) -> None:
    assert http.get("/v1/models", headers={"Host": "evil.example"}).status_code == 403
    assert http.get("/v1/models", headers={"Host": "192.168.0.7:8880"}).status_code == 200, "an address cannot be rebound"
    evil = http.post("/v1/completions", json={"prompt": "x"}, headers={"Origin": "https://evil.example"})
    assert evil.status_code == 403
    assert "access-control-allow-origin" not in evil.headers
    asking = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    local = http.options("/v1/completions", headers=asking)
    assert local.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert http.get("/health", headers={"Origin": "vscode-webview://x"}).status_code == 200


def test_errors_have_the_shape_of_their_routes(http: httpx.Client) -> None:
    assert isinstance(http.get("/api/nope").json()["error"], str)
    assert http.get("/v1/nope").json()["error"]["type"] == "not_found_error"
    wrong = http.get("/v1/completions")
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "POST"
    damaged = http.post("/v1/completions", content=b"{", headers={"Content-Type": "application/json"})
    assert damaged.status_code == 400
    assert "not JSON" in damaged.json()["error"]["message"]


@pytest.fixture(scope="module")
def guarded(model: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A server with a key and small limits."""
    limits = Limits(max_queue=2)
    with running(
        settings_for(model, tmp_path_factory.mktemp("guarded"), keys=("secret",), max_body_bytes=4000, limits=limits)
    ) as up:
        yield up


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "api-key"])
def test_keys(guarded: Running, name: str) -> None:
    with httpx.Client(base_url=guarded.url, timeout=60) as client:
        assert client.get("/health").status_code == client.get("/v1/models").status_code == 200
        assert client.get("/api/tags").status_code == 401
        key = "Bearer secret" if name == "Authorization" else "secret"
        assert client.get("/api/tags", headers={name: key}).status_code == 200
        assert client.get("/api/tags", headers={name: f"{key}x"}).status_code == 401


def test_large_bodies_are_refused_with_and_without_a_length(guarded: Running) -> None:
    with httpx.Client(base_url=guarded.url, timeout=60, headers={"x-api-key": "secret"}) as client:
        body = json.dumps({"prompt": "x" * 5000}).encode()
        assert client.post("/v1/completions", content=body).status_code == 413
        assert client.post("/v1/completions", content=iter([body[:2500], body[2500:]])).status_code == 413
        assert client.get("/health").status_code == 200


def test_more_than_may_wait_is_turned_away(guarded: Running) -> None:
    with httpx.Client(base_url=guarded.url, timeout=60, headers={"x-api-key": "secret"}) as client:
        answer = client.post("/v1/completions", json={"prompt": ["x"] * 67, "max_tokens": 50})  # 64 rows, and 2 that wait
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        ok = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 5})
        assert ok.status_code == 200, "what was turned away left nothing behind"


def worker_of(up: Running):  # type: ignore[no-untyped-def]
    (model,) = up.app.state.server.models.loaded.values()
    return model.worker


def until(condition, seconds: float = 20) -> bool:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("stream", [True, False])
def test_hanging_up_ends_the_work(served: Running, http: httpx.Client, stream: bool) -> None:
    http.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})
    body = json.dumps({"prompt": "x", "max_tokens": 60_000, "stream": stream, "logit_bias": {"257": -100}}).encode()
    length = f"Content-Length: {len(body)}"
    lines = ["POST /v1/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json", length]
    head = "\r\n".join([*lines, "", ""])
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(head.encode() + body)
        assert until(lambda: worker_of(served).counts[0] == 1)
    assert until(lambda: worker_of(served).counts == (0, 0))


def test_a_time_limit_returns_what_there_is(http: httpx.Client) -> None:
    body = {"prompt": "x", "max_tokens": 60_000, "t_max_predict_ms": 200, "logit_bias": {"257": -100}}
    answer = http.post("/v1/completions", json=body).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert 0 < answer["usage"]["completion_tokens"] < 60_000


def test_shutting_down_ends_streams_properly(model: Path, tmp_path: Path) -> None:
    with running(settings_for(model, tmp_path), grace=0.3) as up, httpx.Client(base_url=up.url, timeout=60) as client:
        body = {"prompt": "x", "max_tokens": 65_000, "stream": True, "logit_bias": {"257": -100}}
        with client.stream("POST", "/v1/completions", json=body) as answer:
            lines = answer.iter_lines()
            next(lines)
            threading.Thread(target=up.stop).start()
            rest = [line for line in lines if line.startswith("data: ")]
    assert rest[-1] == "data: [DONE]"
    assert json.loads(rest[-2][6:])["choices"][0]["finish_reason"] == "length"


def test_models_come_and_go(model: Path, tmp_path: Path) -> None:
    with running(settings_for(model, tmp_path)) as up, httpx.Client(base_url=up.url, timeout=60) as client:
        assert client.get("/api/ps").json()["models"] == []
        client.post("/api/generate", json={"model": "tiny", "prompt": "x", "options": {"num_predict": 1}, "stream": False})
        assert len(client.get("/api/ps").json()["models"]) == 1
        assert client.post("/api/generate", json={"model": "tiny", "keep_alive": 0}).json()["done_reason"] == "unload"
        assert client.get("/api/ps").json()["models"] == []


def test_a_model_that_there_is_no_room_for_waits_for_another_to_go(model: Path, tmp_path: Path) -> None:
    limits = Limits(ram_bytes=600 << 20, kv_cache_bytes=400 << 20)
    settings = settings_for(model, tmp_path, limits=limits, models={"tiny": model, "twin": copied(model, tmp_path / "twin")})
    with running(settings) as up, httpx.Client(base_url=up.url, timeout=60) as client:
        for name in ("tiny", "twin", "tiny"):
            assert client.post("/v1/completions", json={"model": name, "prompt": "x", "max_tokens": 1}).status_code == 200
            assert [one["name"] for one in client.get("/api/ps").json()["models"]] == [f"{name}:latest"]


def test_a_model_without_its_memory_goes_on(model: Path, tmp_path: Path) -> None:
    damaged = copied(model, tmp_path / "damaged")
    (damaged / "memory" / "manifest.json").write_text("{")
    with running(settings_for(damaged, tmp_path)) as up, httpx.Client(base_url=up.url, timeout=60) as client:
        assert client.post("/v1/completions", json={"prompt": "x", "max_tokens": 3}).status_code == 200
        assert "goes on without" in next(iter(up.app.state.server.models.notes.values()))


def test_a_model_that_cannot_be_loaded_is_said(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UnfitError("the compiled engine strays")

    monkeypatch.setattr(model_manager, "check", refuse)
    with running(settings_for(model, tmp_path)) as up, httpx.Client(base_url=up.url, timeout=60) as client:
        for stream in (False, True):
            answer = client.post("/v1/completions", json={"prompt": "x", "stream": stream})
            assert answer.status_code == 400
            assert "strays" in answer.json()["error"]["message"]


def copied(model: Path, to: Path) -> Path:
    shutil.copytree(model, to)
    return to


def test_who_hangs_up_leaves_nothing_behind(served: Running, http: httpx.Client) -> None:
    http.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})
    worker = worker_of(served)
    body = {"prompt": "x", "max_tokens": 60_000, "logit_bias": {"257": -100}}
    for _ in range(3):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{served.url}/v1/completions", json=body, timeout=0.3)
    assert until(lambda: worker.idle)


@pytest.mark.parametrize(
    ("path", "raw"),
    [
        ("/v1/chat/completions", '{"messages": [{"role": "user", "content": "\\ud83d"}], "max_tokens": 2}'),
        ("/v1/completions", '{"prompt": "\\ud83d", "echo": true, "max_tokens": 2}'),
        ("/v1/responses", '{"input": "x", "metadata": {"a": "\\ud83d"}, "max_output_tokens": 2}'),
        ("/v1/responses", '{"input": "x", "top_p": NaN}'),
        ("/v1/completions", '{"prompt": "x", "t_max_predict_ms": NaN}'),
        ("/v1/completions", json.dumps({"prompt": "x", "stop": ["q"] * 1000})),
        ("/v1/completions", json.dumps({"prompt": [""] * 1000, "n": 128})),
        ("/v1/chat/completions", json.dumps({"messages": [{"role": "user", "content": "x"}] * 3000, "max_tokens": 2})),
        ("/api/generate", json.dumps({"model": "tiny", "prompt": "x", "template": "{% for a in range(9) %}{% endfor %}"})),
        ("/api/generate", json.dumps({"model": "tiny", "prompt": "x", "template": "{{" + " " * 3000, "stream": False})),
        ("/v1/completions", json.dumps({"prompt": "<PRE>" * 20_000 + "[SUFFIX]" * 20_000, "max_tokens": 2})),
    ],
)
def test_strange_bodies_are_answered_and_never_a_defect(http: httpx.Client, path: str, raw: str) -> None:
    answer = http.post(path, content=raw.encode(), timeout=20)
    assert answer.status_code in (200, 400), answer.text


def test_a_variant_whose_model_has_gone_hides_nothing(model: Path, tmp_path: Path) -> None:
    gone = copied(model, tmp_path / "gone")
    with running(settings_for(gone, tmp_path)) as up, httpx.Client(base_url=up.url, timeout=60) as client:
        assert client.post("/api/copy", json={"source": "tiny", "destination": "second"}).status_code == 200
    shutil.rmtree(gone)
    with running(settings_for(model, tmp_path)) as up, httpx.Client(base_url=up.url, timeout=60) as client:
        assert [one["name"] for one in client.get("/api/tags").json()["models"]] == ["tiny:latest"]
