"""Requests through a gateway whose members fail: what has not begun is not lost, and what breaks off ends in one event."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.mesh_fakes import EVENTS, Fake, Heart, RunningMesh, events_of, new_registry, running_mesh, wait_until
from multiscale_transformer.mesh.app import MeshSettings
from multiscale_transformer.mesh.attempts import MAX_SENT
from multiscale_transformer.mesh.members import LEASE_SECONDS

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def fakes() -> Iterator[list[Fake]]:
    started = [Fake(name).start() for name in ("one", "two", "three")]
    yield started
    for fake in started:
        fake.kill()


@pytest.fixture
def mesh(tmp_path: Path, fakes: list[Fake]) -> Iterator[RunningMesh]:
    with running_mesh(new_registry(tmp_path)) as up, Heart(up, *fakes):
        yield up


@pytest.fixture
def http(mesh: RunningMesh) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=mesh.url, timeout=30) as client:
        yield client


def ask(http: httpx.Client, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
    return http.post(path, json={**CHAT, **fields})


def test_all_models_stand_under_one_address(http: httpx.Client, fakes: list[Fake], mesh: RunningMesh) -> None:
    fakes[1].models, fakes[1].skills = ("other", "m"), ("debug",)
    mesh.registry.announce(fakes[1].said())
    assert [one["id"] for one in http.get("/v1/models").json()["data"]] == ["m", "other", "auto"]
    assert http.get("/v1/models/other").json()["skills"] == ["debug"]
    assert {one["model"] for one in http.get("/api/tags").json()["models"]} == {"m:latest", "other:latest", "auto:latest"}
    assert {ask(http, model="other").json()["by"] for _ in range(3)} == {"two"}
    assert ask(http, model="skill:debug").json() == {"by": "two", "model": "other"}
    assert ask(http, model="other:latest").json()["model"] == "other"


def test_what_nobody_has_is_refused_at_once_in_the_shape_of_the_route(http: httpx.Client) -> None:
    answer = ask(http, model="nope")
    assert answer.status_code == 404
    assert "there are: m" in answer.json()["error"]["message"]
    assert isinstance(ask(http, "/api/chat", model="nope").json()["error"], str)
    assert ask(http, "/v1/messages", model="nope").json()["type"] == "error"
    for body in (b"{", b"[]", b"\xff", b"[" * 100_000):
        assert http.post("/v1/completions", content=body).status_code in (400, 413)
    assert http.post("/api/delete", json={"model": "m"}).status_code in (404, 405), "members are not administered from here"


def test_sessions_stay_and_requests_spread(http: httpx.Client, fakes: list[Fake]) -> None:
    by = [ask(http, user="ada").json()["by"] for _ in range(6)]
    assert len(set(by)) == 1
    assert http.post("/v1/completions", json=CHAT, headers={"x-session-id": "ada"}).json()["by"] == by[0]
    spread = Counter(ask(http, user=str(number)).json()["by"] for number in range(60))
    assert set(spread) == {"one", "two", "three"}


def test_a_busy_member_is_passed_over_by_its_own_sessions(http: httpx.Client, fakes: list[Fake], mesh: RunningMesh) -> None:
    first = ask(http, user="ada").json()["by"]
    for fake in fakes:
        fake.running = 9 if fake.name == first else 0
        mesh.registry.announce(fake.said())
    assert ask(http, user="ada").json()["by"] != first


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", ["early", "busy", "killed"])
def test_what_has_not_begun_is_asked_elsewhere(http: httpx.Client, fakes: list[Fake], mode: str, stream: bool) -> None:
    for fake in fakes[:2]:
        if mode == "killed":
            fake.kill()
        else:
            fake.mode = mode
    for number in range(12):
        answer = ask(http, user=str(number), stream=stream)
        assert answer.status_code == 200
        assert '"three"' in answer.text
    shown = {one["name"]: one["traffic"] for one in http.get("/mesh/status").json()["members"]}
    if mode != "busy":
        assert shown["one"]["failed"] + shown["two"]["failed"] > 0
        assert shown["one"]["failed"] < 12, "the breaker keeps most from trying"
    for fake in fakes[:2]:
        fake.mode = "ok"
        if mode == "killed":
            fake.start()


def test_a_whole_answer_that_breaks_off_is_asked_elsewhere(http: httpx.Client, fakes: list[Fake]) -> None:
    fakes[0].mode = fakes[1].mode = "cut"
    assert {ask(http, user=str(number)).json()["by"] for number in range(12)} == {"three"}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat"])
def test_a_stream_that_breaks_off_ends_in_one_event(http: httpx.Client, fakes: list[Fake], path: str) -> None:
    for fake in fakes:
        fake.mode = "cut"
    answer = ask(http, path, stream=True)
    assert answer.status_code == 200
    events = [json.loads(line) for line in answer.text.splitlines()] if path == "/api/chat" else events_of(answer.text)
    assert [event.get("n") for event in events] == [0, 1, None], (
        "two whole events, no half one, and the last says what happened"
    )
    assert "broken off" in json.dumps(events[-1]["error"])
    assert sum(len(fake.requests) for fake in fakes) == 1, "what has begun is not asked again"


def test_streams_pass_unbuffered(http: httpx.Client, fakes: list[Fake]) -> None:
    for fake in fakes:
        fake.pause = 0.15
    times = []
    with http.stream("POST", "/v1/completions", json={**CHAT, "stream": True}) as answer:
        assert answer.headers["x-axl-member"] in {"one", "two", "three"}
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                times.append(time.monotonic())
    assert len(times) == EVENTS
    assert times[-1] - times[0] > 0.3, "they came one after the other"


def test_a_request_that_kills_members_is_given_up(http: httpx.Client, fakes: list[Fake]) -> None:
    for fake in fakes:
        fake.mode = "early"
    answer = ask(http)
    assert answer.status_code in (502, 503)
    assert 3 <= sum(len(fake.requests) for fake in fakes) <= MAX_SENT


def test_where_all_are_full_the_client_is_told(http: httpx.Client, fakes: list[Fake]) -> None:
    for fake in fakes:
        fake.mode = "full"
    assert ask(http).status_code == 429
    assert sum(len(fake.requests) for fake in fakes) == 3


def test_a_request_waits_for_a_member_to_come_back(http: httpx.Client, fakes: list[Fake], mesh: RunningMesh) -> None:
    for fake in fakes:
        fake.kill()
    later = threading.Timer(1.0, lambda: (fakes[0].start(), mesh.registry.announce(fakes[0].said())))
    later.start()
    assert ask(http).json()["by"] == "one"
    later.join()
    for fake in fakes[1:]:
        fake.start()


def test_no_request_waits_for_ever(http: httpx.Client, fakes: list[Fake]) -> None:
    for fake in fakes:
        fake.kill()
    answer = ask(http)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    for fake in fakes:
        fake.start()


def test_drain(http: httpx.Client, fakes: list[Fake]) -> None:
    assert http.post("/mesh/members/one/drain", json={"drain": True}).json() == {"name": "one", "drained": True}
    assert {ask(http, user=str(number)).json()["by"] for number in range(12)} == {"two", "three"}
    http.post("/mesh/members/one/drain", json={"drain": False})
    assert "one" in {ask(http, user=str(number)).json()["by"] for number in range(30)}
    assert http.post("/mesh/members/nobody/drain", json={}).status_code == 404


def test_a_client_that_hangs_up_is_noticed_by_the_member(http: httpx.Client, fakes: list[Fake], mesh: RunningMesh) -> None:
    for fake in fakes:
        fake.pause = 0.1
    with http.stream("POST", "/v1/completions", json={**CHAT, "stream": True}) as answer:
        next(answer.iter_lines())
    wait_until(lambda: sum(fake.hung_up for fake in fakes) == 1)
    wait_until(lambda: sum(mesh.app.state.server.traffic.in_flight().values()) == 0)


def test_a_member_that_is_dead_to_the_world_gives_its_requests_back(tmp_path: Path) -> None:
    """It took the request, neither answers nor closes, and its heartbeats have ended: a host that was unplugged."""
    dead, alive = Fake("dead", mode="hang").start(), Fake("alive").start()
    with running_mesh(new_registry(tmp_path)) as mesh, httpx.Client(base_url=mesh.url, timeout=30) as http:
        begun = time.monotonic()
        mesh.registry.announce(dead.said())
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(ask(http).json()))
        asking.start()
        wait_until(lambda: dead.requests)
        with Heart(mesh, alive):
            asking.join(60)
            assert answers == [{"by": "alive", "model": "m"}]
            assert time.monotonic() - begun >= LEASE_SECONDS, "while its lease held it was believed in"
    dead.kill()
    alive.kill()


def test_a_member_that_says_goodbye_ends_its_streams_in_peace(tmp_path: Path) -> None:
    fake = Fake("one", pause=0.8).start()
    with running_mesh(new_registry(tmp_path)) as mesh, httpx.Client(base_url=mesh.url, timeout=30) as http:
        mesh.registry.announce(fake.said())
        text = ""
        with http.stream("POST", "/v1/completions", json={**CHAT, "stream": True}) as answer:
            for piece in answer.iter_text():
                if not text:
                    mesh.registry.leave("one")
                    fake.stop_listening()
                text += piece
        assert [event if event == "[DONE]" else event.get("n") for event in events_of(text)] == [0, 1, 2, 3, 4, "[DONE]"]
    fake.kill()


def test_hedging_asks_a_second_member_when_the_first_is_slow(tmp_path: Path) -> None:
    slow, quick = Fake("slow", mode="slow", pause=5.0).start(), Fake("quick").start()
    settings = MeshSettings(hedge=0.2)
    with (
        running_mesh(new_registry(tmp_path), settings) as mesh,
        httpx.Client(base_url=mesh.url, timeout=30) as http,
        Heart(mesh, slow, quick),
    ):
        assert {ask(http, user=str(number), stream=bool(number % 2)).status_code for number in range(8)} == {200}
        assert 0 < len(slow.requests) < 8
        assert len(quick.requests) == 8
        wait_until(lambda: sum(mesh.app.state.server.traffic.in_flight().values()) == 0)
    slow.kill()
    quick.kill()


def test_tokens_and_keys(tmp_path: Path) -> None:
    fake, other = Fake("one").start(), Fake("two", models=("n",)).start()
    settings = MeshSettings(token="mesh-token", keys=("client-key",), patience=1.0)
    with running_mesh(new_registry(tmp_path), settings) as mesh, httpx.Client(base_url=mesh.url, timeout=30) as http:
        said = fake.said().model_dump(mode="json")
        assert http.post("/mesh/members", json=said).status_code == 401
        assert http.get("/mesh/status", headers={"Authorization": "Bearer client-key"}).status_code == 401
        members = {"Authorization": "Bearer mesh-token"}
        assert http.post("/mesh/members", json=said, headers=members).status_code == 200
        with_key = other.said(key="its-own").model_dump(mode="json")
        assert http.post("/mesh/members", json=with_key, headers=members).status_code == 200
        assert "its-own" not in http.get("/mesh/status", headers=members).text
        assert "its-own" in http.get("/mesh/members", headers=members).text
        assert ask(http).status_code == 401
        client = {"Authorization": "Bearer client-key"}
        assert http.post("/v1/completions", json=CHAT, headers=client).status_code == 200
        assert http.post("/v1/completions", json={**CHAT, "model": "n"}, headers=client).status_code == 200
        assert fake.headers[0]["authorization"] == "Bearer mesh-token", "members are not told the keys of clients"
        assert other.headers[0]["authorization"] == "Bearer its-own"
    fake.kill()
    other.kill()


def test_a_mesh_without_a_token_carries_no_keys(http: httpx.Client, fakes: list[Fake]) -> None:
    assert http.post("/mesh/members", json=fakes[0].said(key="x").model_dump(mode="json")).status_code == 400
    assert http.post("/mesh/members", json={"name": "x y", "url": "http://h:1"}).status_code == 400
    assert http.post("/v1/completions", content=b" " * (9 << 20)).status_code == 413
    assert http.get("/v1/models", headers={"Host": "evil.example"}).status_code == 403


def test_metrics_of_all_members_stand_on_one_page(http: httpx.Client, fakes: list[Fake], mesh: RunningMesh) -> None:
    ask(http)
    fakes[2].mode = "hang"
    text = http.get("/metrics").text
    assert 'axl_written_bytes_total{member="one"} 7.0' in text
    assert 'axl_requests_total{member="gateway",route="/v1/chat/completions",status="200"} 1.0' in text
    assert text.count("# TYPE axl_written_bytes_total") == 1
    assert 'axl_mesh_member_scraped{member="one"} 1.0' in text


def test_the_page_asks_nobody_else(http: httpx.Client) -> None:
    page = http.get("/", headers={"Accept": "text/html"})
    assert "sha256-" in page.headers["content-security-policy"]
    assert "http://" not in page.text.replace("http://www.w3.org/", "")
    assert "https://" not in page.text
    assert http.get("/").text == "Ollama is running"
