"""What goes wrong inside a server that is running: engines that fail, loads at the same time, and PyTorch that is not there."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from multiscale_transformer.engine import self_test
from multiscale_transformer.engine.scheduler import OutputChunk, Scheduler
from multiscale_transformer.errors import AxlError
from multiscale_transformer.server.metrics import Metrics
from multiscale_transformer.server.runtime import model_manager
from multiscale_transformer.server.runtime.model_manager import ModelManager
from multiscale_transformer.server.runtime.registry import ModelEntry
from multiscale_transformer.server.settings import Limits
from server.running import Running, running, settings_for
from server.test_middleware import until, worker_of

LONG = {"prompt": "x", "max_tokens": 60_000, "logit_bias": {"257": -100}}


@pytest.fixture(scope="module")
def up(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(settings_for(model, tmp_path_factory.mktemp("failures"))) as server:
        yield server


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Put an error in, and the next step of the engine that has written something raises it."""
    errors: list[Exception] = []
    step = Scheduler.step

    def failing_step(self: Scheduler) -> list[tuple[object, OutputChunk]]:
        output = step(self)
        if errors and any(chunk.drawn for _, chunk in output):
            raise errors.pop()
        return output  # type: ignore[return-value]

    monkeypatch.setattr(Scheduler, "step", failing_step)
    return errors


@pytest.mark.parametrize(
    ("error", "shown"),
    [(RuntimeError("SECRET"), "the engine failed; the server's log says more"), (AxlError("the cache is full"), "is full")],
)
def test_an_engine_that_fails_in_the_middle_of_streams_ends_them(
    up: Running, failing: list[Exception], error: Exception, shown: str
) -> None:
    with httpx.Client(base_url=up.url, timeout=60) as client:
        client.post("/v1/completions", json={"prompt": "x", "max_tokens": 1})
        for path, body in (
            ("/v1/completions", {**LONG, "stream": True}),
            ("/v1/responses", {"input": "x", "max_output_tokens": 60_000, "stream": True, "logit_bias": {"257": -100}}),
            ("/api/generate", {"model": "tiny", "prompt": "x", "options": {"num_predict": -1}}),
        ):
            with client.stream("POST", path, json=body) as answer:
                assert answer.status_code == 200
                lines = answer.iter_lines()
                seen = [next(lines)]
                failing.append(error)
                seen += [line for line in lines if line]
            if failing:  # it had ended by itself: a text that the model ends is no failure
                failing.clear()
                assert path == "/api/generate"
                continue
            last = json.loads(seen[-1].removeprefix("data: "))["error"]
            message = last if isinstance(last, str) else last["message"]
            assert shown in message
            assert "SECRET" not in message
        assert until(lambda: worker_of(up).idle)
        again = client.post("/v1/completions", json={"prompt": "x", "max_tokens": 3})
        assert again.status_code == 200, "the next request finds a new batch"


def test_an_engine_that_fails_is_an_error_that_may_be_tried_again(up: Running, failing: list[Exception]) -> None:
    with httpx.Client(base_url=up.url, timeout=60) as client:
        failing.append(RuntimeError("defect"))
        answer = client.post("/v1/completions", json=LONG)
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "unavailable_error"
    assert int(answer.headers["retry-after"]) > 0


def test_requests_at_once_load_a_model_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads, load = [], model_manager.load_engine

    def counted(*args: object, **options: object) -> object:
        loads.append(args)
        return load(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(model_manager, "load_engine", counted)

    async def run() -> None:
        models = ModelManager(Limits(kv_cache_bytes=64 << 20), Metrics(), None)
        everybody_has_it, users = asyncio.Event(), []

        async def use(name: str) -> Path:
            async with models.use(ModelEntry(name, model)) as loaded:
                users.append(name)
                if len(users) == 8:
                    assert loaded.users == 8
                    everybody_has_it.set()
                await everybody_has_it.wait()
                return loaded.folder

        folders = await asyncio.wait_for(asyncio.gather(*(use(f"name{number}") for number in range(8))), 60)
        assert set(folders) == {model}
        (loaded,) = models.loaded.values()
        assert loaded.users == 0
        await models.close()

    asyncio.run(run())
    assert len(loads) == 1


def test_a_load_that_fails_fails_for_all_that_wait_and_is_tried_again(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, failures = model_manager.load_engine, [AxlError("the disk is away"), AxlError("the disk is away")]

    def failing_load(*args: object, **options: object) -> object:
        if failures:
            raise failures.pop()
        return load(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(model_manager, "load_engine", failing_load)

    async def run() -> None:
        models = ModelManager(Limits(kv_cache_bytes=64 << 20), Metrics(), None)

        async def use() -> bool:
            async with models.use(ModelEntry("tiny", model)):
                return True

        answers = await asyncio.gather(use(), use(), use(), return_exceptions=True)
        assert [str(answer) for answer in answers] == ["the disk is away", "the disk is away", "True"]
        await models.close()

    asyncio.run(run())


def test_without_pytorch_a_model_is_served_and_the_missing_test_is_said(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "user_cache_path", lambda *_, **__: tmp_path / "empty")  # no reference is stored there
    monkeypatch.setitem(sys.modules, "torch", None)
    with running(settings_for(model, tmp_path)) as up, httpx.Client(base_url=up.url, timeout=60) as client:
        assert client.post("/v1/completions", json={"prompt": "x", "max_tokens": 3}).status_code == 200
        (note,) = up.app.state.server.models.notes.values()
        assert "PyTorch" in note


def test_the_server_is_imported_without_pytorch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import multiscale_transformer.server.app, multiscale_transformer.server.runner, multiscale_transformer.cli.serve"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
