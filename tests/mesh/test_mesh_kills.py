"""Processes that die: registries that start again or are stood in for, members that are killed at random under load."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from benchmarks.ports import free_port
from mesh.mesh_fakes import events_of, wait_until
from mesh.mesh_processes import Process, member, processes, registry, statuses
from multiscale_transformer.mesh.store import Store
from multiscale_transformer.model.config import ModelConfig
from tiny import checkpoint

pytestmark = pytest.mark.slow
SECONDS = 20.0  # under load
CLIENTS = 8
START = 120.0  # that processes may take to start on a busy machine


def test_a_registry_that_is_killed_forgets_nothing(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with processes() as started:
        started.append(registry(tmp_path / "s", port))
        started.append(member("one", free_port(), url))
        started.append(member("two", free_port(), url))
        wait_until(lambda: statuses(url) == {"one": "up", "two": "up"}, START)
        httpx.post(f"{url}/mesh/members/two/drain", json={"drain": True})
        started[2].kill()
        started[0].kill()
        started[0].start()
        wait_until(lambda: statuses(url) == {"one": "up", "two": "gone"}, START)
        assert httpx.post(f"{url}/v1/completions", json={"model": "m"}, timeout=30).json()["by"] == "one"
        started[2].start()
        wait_until(lambda: statuses(url) == {"one": "up", "two": "draining"}, START)


def test_the_second_registry_takes_the_place_of_the_first(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with processes() as started:
        started.append(registry(tmp_path / "s", port))
        started.append(member("one", free_port(), url))
        wait_until(lambda: statuses(url) == {"one": "up"}, START)
        refused = registry(tmp_path / "s", port)
        started.append(refused)
        assert refused.process.wait(START) == 2, "one file, one registry"
        started.append(registry(tmp_path / "s", port, "--standby"))
        started[0].kill()
        wait_until(lambda: statuses(url) == {"one": "up"}, START)
        assert httpx.post(f"{url}/v1/completions", json={"model": "m"}, timeout=30).json()["by"] == "one"
        assert started[-1].process.poll() is None
        assert started[-1].end() == 128 + signal.SIGTERM
        assert Store(tmp_path / "s").take_charge("next"), "whoever ends gives its charge up"


def test_nothing_is_lost_while_members_are_killed_at_random(tmp_path: Path) -> None:
    """What had not begun to stream is answered; what had ends whole, or in one event that says so."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    outcomes: Counter[str] = Counter()
    draws = random.Random(7)

    def client(number: int, end: float) -> None:
        draw = random.Random(number)
        limits = httpx.Limits(max_keepalive_connections=0)  # a kept connection may be closed just when it is used again
        with httpx.Client(base_url=url, timeout=120, limits=limits) as http:
            while time.monotonic() < end:
                stream = draw.random() < 0.7
                try:
                    outcomes[ask(http, str(draw.random()), stream)] += 1
                except (httpx.HTTPError, ValueError) as error:
                    outcomes[f"LOST {error!r}"] += 1

    def ask(http: httpx.Client, user: str, stream: bool) -> str:
        answer = http.post("/v1/completions", json={"model": "m", "user": user, "stream": stream})
        if answer.status_code != 200:
            return f"LOST {answer.status_code} {answer.text[:200]}"
        events = events_of(answer.text) if stream else [json.loads(answer.text), "[DONE]"]
        if events[-1] == "[DONE]":
            return "whole"
        return "told" if "error" in events[-1] else f"CUT {answer.text[-200:]}"

    with processes() as started:
        started.append(registry(tmp_path / "s", port, "--patience", "60"))
        members = [member(name, free_port(), url) for name in ("one", "two", "three")]
        started.extend(members)
        wait_until(lambda: list(statuses(url).values()) == ["up"] * 3, START)
        end = time.monotonic() + SECONDS
        threads = [threading.Thread(target=client, args=(number, end)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        killed = 0
        while time.monotonic() < end:
            time.sleep(draws.uniform(0.3, 1.5))
            victim = draws.choice(members)
            (victim.kill if draws.random() < 0.7 else victim.end)()
            time.sleep(draws.uniform(0.0, 0.5))
            victim.start()
            killed += 1
        for thread in threads:
            thread.join(180)
    assert killed > 0
    assert set(outcomes) <= {"whole", "told"}, outcomes
    assert outcomes["whole"] > outcomes["told"]


def test_a_server_joins_by_its_option_and_leaves_when_it_ends(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    checkpoint(ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=1, max_seq_len=512), tmp_path / "tiny")
    code = "from multiscale_transformer.cli.main import main; raise SystemExit(main())"
    options = ["--model", str(tmp_path / "tiny"), "--port", "0", "--join", url, "--member-name", "coder", "--skill", "code"]
    with processes() as started:
        started.append(registry(tmp_path / "s", port, "--token", "secret"))
        started.append(Process("-c", code, "serve", *options, "--mesh-token", "secret", "--quiet"))
        headers = {"Authorization": "Bearer secret"}

        def status() -> dict[str, str]:
            try:
                rows = httpx.get(f"{url}/mesh/status", headers=headers).json()["members"]
            except (httpx.HTTPError, ValueError, LookupError):
                return {}
            return {one["name"]: one["status"] for one in rows}

        wait_until(lambda: status() == {"coder": "up"}, START)
        body = {"model": "auto", "prompt": "def f(", "max_tokens": 8}
        answer = httpx.post(f"{url}/v1/completions", json=body, timeout=60)
        assert answer.json()["model"] == "tiny"
        direct = httpx.get(f"{url}/mesh/members", headers=headers).json()["members"][0]["url"]
        assert httpx.post(f"{direct}/v1/completions", json=body).status_code == 401, "with a token it answers only the mesh"
        started[1].end()
        assert status() == {"coder": "gone"}, "it said goodbye"
