"""Skills over HTTP: what the command line proposes, one at a time, of texts that nobody vouches for."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from held import needs_sandbox
from multiscale_transformer.server import skills
from multiscale_transformer.server.errors import ApiError
from server.running import Running, running, settings_for

LONGEST = """def longest(words):
    best = ""
    for word in words:
        if len(word) > len(best):
            best = word
    return best


def shorter(a, b):
    return a if len(a) < len(b) else b
"""


@pytest.fixture(scope="module")
def up(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(settings_for(model, tmp_path_factory.mktemp("skills"))) as server:
        yield server


def post(up: Running, skill: str, **body: object) -> httpx.Response:
    return httpx.post(f"{up.url}/v1/skills/{skill}", json=body, timeout=120)


def test_the_list_names_each_skill_that_there_is_a_route_for(up: Running) -> None:
    listed = httpx.get(f"{up.url}/v1/skills").json()["data"]
    assert [one["id"] for one in listed] == list(skills.SKILLS)
    assert all(one["proposes"] for one in listed)
    assert httpx.post(f"{up.url}/v1/skills/dance", json={"source": "x"}).status_code == 400


@pytest.mark.slow
def test_an_edit_comes_with_what_verified_it_and_leaves_the_rest(up: Running) -> None:
    rest = "\n\ndef kept(a):\n    return a\n"
    source = "def known(word, words):\n    return not word in words\n"
    found = post(up, "refactor", source=source + rest, function="known").json()
    assert found["file"] == "text.py"
    assert found["after"] == source.replace("not word in words", "word not in words") + rest
    assert "1 finding gone" in found["verified"]
    assert found["diff"].startswith("--- a/text.py\n+++ b/text.py\n")


@pytest.mark.slow
@needs_sandbox
def test_tests_are_a_file_of_their_own(up: Running) -> None:
    found = post(up, "test", source=LONGEST).json()
    assert found["file"] == "test_text.py"
    assert "from text import" in found["after"]
    assert "/tmp" not in found["diff"]


@pytest.mark.slow
def test_nothing_to_propose_has_a_reason(up: Running) -> None:
    found = post(up, "secure", source=LONGEST).json()
    assert (found["diff"], found["after"], found["verified"], found["file"]) == (None,) * 4
    assert found["reason"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"source": "def f(:"}, "text.py cannot be read as Python"),
        ({"source": "x = 1"}, "text.py has no function"),
        ({"source": LONGEST, "function": "shortest"}, "shortest"),
    ],
)
def test_what_is_no_program_is_said_in_one_line(up: Running, body: dict[str, str], message: str) -> None:
    answer = post(up, "secure", **body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]
    assert "/tmp" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"source": 5},
        {"source": "x" * (skills.MAX_CHARACTERS + 1)},
        {"source": "x", "function": "--model"},
        {"source": "x", "function": "f; rm"},
        {"source": "x", "model": "nobody", "apply": True},
    ],
)
def test_bad_requests_start_no_process(up: Running, body: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skills, "_axl", None)
    assert post(up, "secure", **body).status_code == 400


def test_more_than_may_wait_are_sent_away(up: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skills, "_asked", set(range(skills.MAX_WAITING + 1)))
    answer = post(up, "secure", source=LONGEST)
    assert answer.status_code == 429
    assert answer.headers["retry-after"]


def test_a_command_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skills, "MAX_SECONDS", 0.2)
    start, started = asyncio.create_subprocess_exec, []

    async def starting(*command: str, **how: Any) -> asyncio.subprocess.Process:
        started.append(await start(*command, **how))
        return started[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", starting)
    with pytest.raises(ApiError, match="no proposal within") as raised:
        asyncio.run(skills._axl("serve", "--port", "0", folder=str(tmp_path)))
    assert raised.value.status == 504
    assert [process.returncode for process in started] == [-signal.SIGKILL]
