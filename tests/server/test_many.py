"""Among many: the same bytes as alone, and nobody is lost however badly others behave."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.serve import measure_soak, measure_throughput
from multiscale_transformer.memory.lookup import memory_of
from server.running import Running


def test_a_seed_writes_the_same_bytes_alone_and_among_others(served: Running) -> None:
    async def ask(client: httpx.AsyncClient, body: dict[str, Any]) -> str:
        return (await client.post("/v1/completions", json=body)).json()["choices"][0]["text"]  # type: ignore[no-any-return]

    async def run() -> None:
        rng = random.Random(0)
        mine: dict[str, Any] = {"prompt": "def area(", "max_tokens": 60, "seed": 11, "temperature": 0.9}
        others = [
            {"prompt": "class C:" * rng.randrange(1, 60), "max_tokens": rng.randrange(1, 90), "temperature": 1.0}
            for _ in range(32)
        ]
        async with httpx.AsyncClient(base_url=served.url, timeout=60) as client:
            alone = await ask(client, mine)
            among, *_ = await asyncio.gather(ask(client, mine), *(ask(client, body) for body in others))
        assert among == alone

    asyncio.run(run())


@pytest.mark.slow
def test_nobody_is_lost_among_misbehaving_clients(model: Path) -> None:
    """A quarter of a minute of what `axl bench serve` does for ten."""
    figures = measure_soak(model, 24, 0.25)
    assert figures.alive
    assert figures.left_over == 0
    assert not [outcome for outcome in figures.outcomes if "LOST" in outcome or "CUT SHORT" in outcome or ": 5" in outcome]
    assert figures.outcomes["polite: answered"] > 0
    assert set(figures.outcomes) >= {"malformed: 400", "huge: answered", "hangs_up: hung up"}


@pytest.mark.slow
def test_throughput_is_measured_beside_the_engine(model: Path) -> None:
    figures = measure_throughput(model, memory_of(model, True, None), 2, 1)
    assert set(figures.bytes_per_second) == {"engine", "http, streamed", "http, whole"}
    assert all(rate > 0 for rate in figures.bytes_per_second.values())
