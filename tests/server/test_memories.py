"""Indexes of a running server: seen when they change, gone on with when they go, loaded once, never the end of an answer."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.index import build_index, load_index, merge_index, update_index
from multiscale_transformer.server.core import sources as source_search
from multiscale_transformer.server.errors import ApiError, StoppedError
from multiscale_transformer.server.metrics import Metrics
from multiscale_transformer.server.runtime.memories import MAX_SETS, Memories
from multiscale_transformer.server.runtime.model_manager import ModelManager
from multiscale_transformer.server.settings import Limits
from server.running import CODE, running, settings_for

NEW = b"def perfectly_unheard_of_function(argument, another_argument):\n    return argument ** another_argument\n" * 3


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return build_index(tmp_path / "index", CODE).folder


def sources_of(client: httpx.Client, prompt: bytes) -> list[str]:
    """The files that echoing a prompt's end is traced to: the same answer each time, from whatever index there is."""
    asked = {"prompt": prompt.decode(), "max_tokens": 12, "temperature": 0, "memory": None}
    answer = client.post("/v1/completions", json=asked)
    assert answer.status_code == 200, answer.text
    return [source["file"] for source in answer.json()["choices"][0].get("sources", [])]


def wait_until(happened: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_server_sees_an_updated_and_a_merged_index(model: Path, index: Path, tmp_path: Path) -> None:
    """Defect D12."""
    with running(settings_for(model, tmp_path, indexes={"index": index})) as up:
        models = up.app.state.server.models
        with httpx.Client(base_url=up.url, timeout=60) as client:
            sources_of(client, NEW)
            (entry,) = up.app.state.server.registry.entries()
            loaded = models.loaded[entry.folder]

            def names() -> set[str]:
                return {name for shard in models.memory(loaded, None).shards for name in shard.names}

            assert "new.py" not in names()
            update_index(load_index(index), [("new.py", NEW)])
            wait_until(lambda: "new.py" in names())
            before = models.memory(loaded, None)
            merge_index(load_index(index))
            assert [one.text(0) for one in before.shards]  # who still reads the old one goes on
            wait_until(lambda: len(models.memory(loaded, None).shards) == 1)
            sources_of(client, NEW)
            shutil.rmtree(index)
            wait_until(lambda: index in models.memories.notes)
            sources_of(client, NEW)
            assert "gone" in models.memories.notes[index]
            build_index(index, [("again.py", NEW)])
            wait_until(lambda: names() == {"again.py"})
            assert not models.memories.notes


def test_sources_that_cannot_be_found_do_not_fail_an_answer(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect 3.3: a finished completion became a 400."""

    def failing(*_: object) -> None:
        raise AxlError("texts.bin is damaged")

    monkeypatch.setattr(source_search, "provenance", failing)
    with running(settings_for(model, tmp_path)) as up, httpx.Client(base_url=up.url, timeout=60) as client:
        for stream in (False, True):
            answer = client.post("/v1/completions", json={"prompt": "def area(", "max_tokens": 4, "stream": stream})
            assert answer.status_code == 200
            assert "damaged" not in answer.text


def test_sets_of_indexes_are_shared_counted_and_bounded(model: Path, tmp_path: Path) -> None:
    """Defect 3.4."""
    folders = [build_index(tmp_path / f"i{number}", [(f"{number}.py", NEW + b"%d" % number)]).folder for number in range(12)]

    async def run() -> None:
        memories = Memories()
        first = await memories.open((folders[0],))
        assert await memories.open((folders[0],)) is first
        assert memories.nbytes == first.nbytes > 0
        memories.keep("model", (folders[0],))
        for folder in folders[1:]:
            await memories.open((folder,), 1 << 30)
        assert len(memories._opened) == MAX_SETS + 1
        assert memories.get((folders[0],)) is first
        with pytest.raises(ApiError, match="no room"):
            await memories.open((folders[1],), first.nbytes)
        memories.release("model")
        assert memories.nbytes == 0

    asyncio.run(run())


def test_opening_indexes_leaves_the_event_loop_free(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from multiscale_transformer.server.runtime import memories as module

    opened, threads, go_on = module._open, [], threading.Event()

    def slow(folders: tuple[Path, ...]) -> object:
        threads.append(threading.current_thread() is threading.main_thread())
        go_on.wait(30)
        return opened(folders)

    monkeypatch.setattr(module, "_open", slow)

    async def run() -> None:
        memories, ticks = Memories(), 0
        opening = [asyncio.ensure_future(memories.open((index,))) for _ in range(3)]
        while not threads or ticks < 10:  # the loop turns while the thread waits
            assert not any(task.done() for task in opening)
            await asyncio.sleep(0.001)
            ticks += bool(threads)
        go_on.set()
        first, *others = await asyncio.gather(*opening)
        assert all(other is first for other in others)

    asyncio.run(run())
    assert threads == [False]


def test_two_models_with_room_for_one_are_both_answered(model: Path, tmp_path: Path) -> None:
    """Defect 3.1: between loading a model and counting its user another request unloaded it, and the first hung for ever."""
    twin = shutil.copytree(model, tmp_path / "twin")
    limits = Limits(ram_bytes=600 << 20, kv_cache_bytes=400 << 20)
    settings = settings_for(model, tmp_path, limits=limits, models={"tiny": model, "twin": twin})
    for _ in range(4):
        with running(settings) as up:

            async def ask(client: httpx.AsyncClient, name: str) -> int:
                body = {"model": name, "prompt": "x", "max_tokens": 1}
                return (await client.post("/v1/completions", json=body)).status_code

            async def run(url: str) -> list[int]:
                async with httpx.AsyncClient(base_url=url, timeout=30) as client:
                    return await asyncio.gather(*(ask(client, name) for name in ("tiny", "twin")))

            answers = set(asyncio.run(run(up.url)))
            assert 200 in answers
            assert answers <= {200, 503}


def test_a_model_is_counted_as_used_before_another_can_unload_it(model: Path, tmp_path: Path) -> None:
    """The order that hung, step by step."""
    from multiscale_transformer.server.runtime.registry import ModelEntry

    async def run() -> None:
        models = ModelManager(Limits(kv_cache_bytes=64 << 20), Metrics(), None)
        entry = ModelEntry("tiny", model)
        taking = asyncio.ensure_future(models._load_and_acquire(entry))
        while not models.loaded:
            await asyncio.sleep(0.001)
        models.limits = Limits(kv_cache_bytes=64 << 20, ram_bytes=1)
        with pytest.raises(ApiError, match="no room"):
            async with models._lock:
                await models._make_room(1)
        assert (await taking).users == 1
        await models.close()

    asyncio.run(run())


def test_a_closing_worker_takes_nothing_and_leaves_nobody_waiting(model: Path) -> None:
    from multiscale_transformer.engine.engine import load_engine
    from multiscale_transformer.engine.scheduler import Request
    from multiscale_transformer.model.sampling import Sampling
    from multiscale_transformer.server.runtime.worker import Worker

    async def run() -> None:
        worker = Worker(load_engine(model), "tiny", Metrics())
        request = Request([1, 2, 3], Sampling(max_new_tokens=50_000))
        ticket = worker.submit(request, live=False)
        waiting = asyncio.ensure_future(ticket.whole())
        worker.close()
        with pytest.raises(StoppedError):
            await asyncio.wait_for(waiting, 10)
        with pytest.raises(StoppedError):
            worker.submit(Request([1], Sampling()), live=False)

    asyncio.run(run())


def test_two_indexes_of_one_name_are_both_served(tmp_path: Path) -> None:
    """Defect 3.10: one was lost without a word."""
    from multiscale_transformer.cli.serve import _indexes

    folders = [build_index(tmp_path / name / "index", CODE).folder for name in "ab"]
    assert _indexes(list(map(str, folders))) == {"a/index": folders[0], "b/index": folders[1]}
    assert _indexes([str(folders[0]), str(folders[0])]) == {"index": folders[0]}
    assert _indexes(["none"]) == {}
