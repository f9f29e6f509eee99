"""The server as its clients find it: throughput beside the engine's own, and hours of bad manners in minutes.

The server runs in a process of its own, as `axl serve` starts it; the clients are tasks of this one. The soak sends what real
traffic holds at its worst: clients that hang up, that read slowly, bodies that are no JSON, prompts of a megabyte, and a
project whose files change all the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from unittest import mock
from urllib.parse import urlsplit

import httpx
import typer

from benchmarks.command import Rounds, main
from benchmarks.result import Result, Row, origin
from benchmarks.rss import rss_bytes
from multiscale_transformer.cli.memory_args import memory_for
from multiscale_transformer.cli.options import Checkpoint
from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.engine.scheduler import Request, Scheduler
from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import write_text
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.zoo.library import library_index
from multiscale_transformer.zoo.shipped import shipped_model

WRITTEN = 512  # bytes of an answer
FILLING = 0.2  # share of the soak in which caches fill and 64 clients at once wait for the model: what comes after it is quoted
TURNS = 3  # answers that a client asks for, one after the other
PROMPTS = [f"import {name}\n\n\ndef main(" for name in ("argparse", "json", "os", "re", "sys", "time", "logging", "pathlib")]
SAVE_SECONDS = 2.0  # between two files that are saved in the project
_SAVED = "\n# saved: "
SAMPLED_SECONDS = 5.0  # between two looks at the server's memory
THROUGHPUT_CLIENTS = 16
_ADDRESS = re.compile(r"on (http://\S+)")


class Throughput(Row):
    """Bytes per second of requests at once: medians, and medians of the ratios to the engine's own."""

    clients: int
    rounds: int
    bytes_per_second: dict[str, float]
    share_streamed: float
    share_whole: float


class FirstByteSeconds(Row):
    """Time to the first byte of answers, once the caches are full."""

    p50: float
    p99: float


class MeanRss(Row):
    """Resident memory of the server in MB, once its caches are full."""

    first_half: float
    second_half: float


class Soak(Row):
    """What became of the requests of ill-behaved clients."""

    clients: int
    minutes: float
    saves: int = 0  # of files of the project that is served; results from before there was one have none
    alive: bool
    left_over: int
    outcomes: dict[str, int]
    requests: int
    first_byte_seconds: FirstByteSeconds
    rss_mb: MeanRss
    rss_growth: float


class ServeResult(Result):
    """The server's throughput, and the soak."""

    kind: Literal["serve"] = "serve"
    serving: Throughput
    soak: Soak | None = None


def run(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    minutes: Annotated[float, typer.Option(metavar="M", help="How long the soak lasts; 0 leaves it out.")] = 10.0,
    clients: Annotated[int, typer.Option(metavar="N", min=1, help="Clients of the soak.")] = 64,
    rounds: Rounds = 5,
) -> ServeResult:
    """The server: 16 clients beside the engine's own throughput, then many clients that misbehave."""
    memory = memory_for(read_config(model), model, None)
    return ServeResult(
        **origin("serve", None).model_dump(),
        serving=measure_throughput(model, memory, THROUGHPUT_CLIENTS, rounds),
        soak=measure_soak(model, clients, minutes) if minutes > 0 else None,
    )


@contextlib.contextmanager
def cache_home(folder: Path) -> Iterator[None]:
    """Keep indexes of projects in a folder of this run; that of the library, which is made once, is taken along."""
    library = library_index()
    shutil.copytree(library, folder / "axl" / "indexes" / library.name)
    with mock.patch.dict(os.environ, {"XDG_CACHE_HOME": str(folder)}):
        yield


@contextlib.contextmanager
def serving(model: Path, *options: str) -> Iterator[tuple[str, int]]:
    """`axl serve` on a free port: its address and its process. Raises AxlError when it does not start."""
    code = "from multiscale_transformer.cli.main import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "serve", "--model", str(model), "--port", "0", "--quiet", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            address = _ADDRESS.search(line)
            if address:
                yield address[1], process.pid
                return
        raise AxlError("the server did not start; try axl serve by hand")
    finally:
        process.terminate()
        process.wait(60)


def measure_throughput(model: Path, memory: CorpusMemory | None, clients: int, rounds: int) -> Throughput:
    """Bytes per second of `clients` requests at once, through HTTP and by the engine itself, in turn."""
    rates: dict[str, list[float]] = {"engine": [], "http, streamed": [], "http, whole": []}
    scheduler = Scheduler(load_engine(model))
    with serving(model) as (url, _):
        for number in range(rounds + 1):
            measured = {
                "engine": _engine_rate(scheduler, memory, clients),
                "http, streamed": asyncio.run(_http_rate(url, clients, stream=True)),
                "http, whole": asyncio.run(_http_rate(url, clients, stream=False)),
            }
            if number:  # the first round compiles and fills caches
                for name, rate in measured.items():
                    rates[name].append(rate)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratios = {
        name: statistics.median(theirs / own for theirs, own in zip(rates[name], rates["engine"], strict=True))
        for name in rates
    }
    return Throughput(
        clients=clients,
        rounds=rounds,
        bytes_per_second=medians,
        share_streamed=ratios["http, streamed"],
        share_whole=ratios["http, whole"],
    )


def _body(number: int) -> dict[str, Any]:
    body = {"prompt": PROMPTS[number % len(PROMPTS)], "max_tokens": WRITTEN, "seed": number, "logit_bias": {str(EOS): -100}}
    return {**body, "temperature": 0.8, "top_p": 1.0}


def _engine_rate(scheduler: Scheduler, memory: CorpusMemory | None, clients: int) -> float:
    left = [_as_request(number, memory) for number in range(clients * TURNS)]
    begin = time.perf_counter()
    for _ in range(clients):
        scheduler.submit(left.pop())
    while scheduler.busy:
        for _, piece in scheduler.step():
            if piece.ended is not None and left:
                scheduler.submit(left.pop())
    return clients * TURNS * WRITTEN / (time.perf_counter() - begin)


def _as_request(number: int, memory: CorpusMemory | None) -> Request:
    sampling = Sampling(max_new_tokens=WRITTEN, temperature=0.8, seed=number, logit_bias={EOS: -100.0})
    return Request([BOS, *PROMPTS[number % len(PROMPTS)].encode()], sampling, memory)


async def _http_rate(url: str, clients: int, *, stream: bool) -> float:
    begin = time.perf_counter()

    async def one(first: int) -> None:
        for number in range(first, clients * TURNS, clients):
            await _ask(url, {**_body(number), "stream": stream})

    await asyncio.gather(*(one(number) for number in range(clients)))
    return clients * TURNS * WRITTEN / (time.perf_counter() - begin)


async def _ask(url: str, body: dict[str, Any]) -> None:
    """A request over a plain socket: a client that takes next to no time from the server it measures, on the same cores."""
    address, content = urlsplit(url), json.dumps(body).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        answer = await reader.read()
    finally:
        writer.close()
    if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith((b"[DONE]\n\n\r\n0\r\n\r\n", b"}")):
        raise AxlError(f"the server answers {answer[:300].decode('utf-8', 'replace')!r}")


def measure_soak(model: Path, clients: int, minutes: float, seed: int = 0) -> Soak:
    """What becomes of requests, of the time to the first byte and of the server's memory while clients misbehave."""
    small = ("--kv-cache-mb", "64")  # which is full before the memory is first looked at: what grows then is a leak
    with tempfile.TemporaryDirectory() as scratch, cache_home(Path(scratch) / "cache"):
        project = Path(scratch) / "project"
        shutil.copytree(Path(asyncio.__file__).parent, project, ignore=shutil.ignore_patterns("__pycache__"))
        with serving(model, str(project), "--max-queue", str(2 * clients), *small) as (url, process):
            return asyncio.run(_Clients(url, process, project, seed).run(clients, 60 * minutes))


class _Clients:
    def __init__(self, url: str, process: int, project: Path, seed: int) -> None:
        self.url, self.process, self.project, self.saves = url, process, project, 0
        self.outcomes: Counter[str] = Counter()
        self.first_bytes: list[float] = []
        self.settled_at = 0.0
        self.rss: list[float] = []
        self.random = random.Random(seed)

    async def run(self, clients: int, seconds: float) -> Soak:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self.settled_at = time.monotonic() + FILLING * seconds
        end = time.monotonic() + seconds
        async with httpx.AsyncClient(base_url=self.url, timeout=120, limits=limits) as client:
            beside = asyncio.gather(self._watch(end), self._edit(end))
            await asyncio.gather(*(self._client(client, end) for _ in range(clients)))
            await beside
            alive = (await client.get("/health")).status_code == 200
            waiting = [slot["running"] + slot["waiting"] for slot in (await client.get("/slots")).json()]
        settled = self.rss[int(len(self.rss) * FILLING) :]
        half = len(settled) // 2
        ordered = sorted(self.first_bytes)
        rss = MeanRss(first_half=statistics.mean(settled[:half]), second_half=statistics.mean(settled[half:]))
        return Soak(
            clients=clients,
            minutes=seconds / 60,
            saves=self.saves,
            alive=alive,
            left_over=sum(waiting),
            outcomes=dict(self.outcomes),
            requests=sum(self.outcomes.values()),
            first_byte_seconds=FirstByteSeconds(p50=ordered[len(ordered) // 2], p99=ordered[int(len(ordered) * 0.99)]),
            rss_mb=rss,
            rss_growth=rss.second_half / rss.first_half - 1,
        )

    async def _watch(self, end: float) -> None:
        while time.monotonic() < end:
            self.rss.append(rss_bytes(self.process) / 1e6)
            await asyncio.sleep(SAMPLED_SECONDS)

    async def _edit(self, end: float) -> None:
        """Change one file after the other, as an editor saves it."""
        files = sorted(self.project.rglob("*.py"))
        while time.monotonic() < end:
            path = files[self.saves % len(files)]
            text = path.read_text(encoding="utf-8").partition(_SAVED)[0]
            write_text(path, f"{text}{_SAVED}{self.saves}\n")
            self.saves += 1
            await asyncio.sleep(SAVE_SECONDS)

    async def _client(self, client: httpx.AsyncClient, end: float) -> None:
        kinds = (self._polite, self._polite, self._polite, self._hangs_up, self._reads_slowly, self._malformed, self._huge)
        while time.monotonic() < end:
            kind = self.random.choice(kinds)
            name = kind.__name__.strip("_")
            try:
                self.outcomes[f"{name}: {await kind(client)}"] += 1
            except (httpx.HTTPError, OSError) as error:
                self.outcomes[f"{name}: LOST ({type(error).__name__})"] += 1

    def _request(self) -> dict[str, Any]:
        body = {**_body(self.random.randrange(1 << 30)), "stream": True, "max_tokens": self.random.randrange(1, 200)}
        return {**body, "prompt": body["prompt"] * self.random.randrange(1, 30)}

    async def _polite(self, client: httpx.AsyncClient) -> str:
        return await self._read(client, self._request(), pause=0.0)

    async def _reads_slowly(self, client: httpx.AsyncClient) -> str:
        return await self._read(client, self._request(), pause=0.2)

    async def _huge(self, client: httpx.AsyncClient) -> str:
        return await self._read(client, {**self._request(), "prompt": "x = [1, 2, 3]\n" * 75_000, "max_tokens": 8}, pause=0.0)

    async def _read(self, client: httpx.AsyncClient, body: dict[str, Any], pause: float) -> str:
        began, first, last = time.monotonic(), None, ""
        async with client.stream("POST", "/v1/completions", json=body) as answer:
            if answer.status_code != 200:
                await answer.aread()
                await asyncio.sleep(0.2)
                return str(answer.status_code)
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    first, last = first or time.monotonic(), line
                    await asyncio.sleep(pause)
        if first is not None and began >= self.settled_at:
            self.first_bytes.append(first - began)
        return "answered" if last == "data: [DONE]" else "CUT SHORT"

    async def _hangs_up(self, client: httpx.AsyncClient) -> str:
        patience = self.random.random() * 2
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._read(client, {**self._request(), "max_tokens": 4000}, pause=0.0)
        return "hung up"

    async def _malformed(self, client: httpx.AsyncClient) -> str:
        good = json.dumps(self._request()).encode()
        bad = (good[:-5], b"\xff\xfe" + good, b'{"prompt": 5, "stream": "perhaps"}', b"[]", b"")
        answer = await client.post("/v1/completions", content=self.random.choice(bad))
        return str(answer.status_code)


def table(result: ServeResult) -> str:
    """Throughput through HTTP, and what became of the soak's requests."""
    figures, soak = result.serving, result.soak
    text = (
        f"{figures.clients} clients get **{figures.share_streamed:.0%}** of the engine's own bytes per second as streams "
        f"and {figures.share_whole:.0%} as whole answers (medians of ratios, {figures.rounds} rounds).\n"
    )
    if not soak:
        return text
    first, lost = soak.first_byte_seconds, sum(n for name, n in soak.outcomes.items() if "LOST" in name or "CUT" in name)
    lines = [f"| {name} | {count:,} |" for name, count in sorted(soak.outcomes.items())]
    return (
        f"{text}\n{soak.clients} clients for {soak.minutes:g} minutes, while files of the project that is served are saved "
        f"{soak.saves:,} times: {soak.requests:,} requests, {lost} without an answer; resident memory of the second half "
        f"{soak.rss_growth:+.1%} of the first; first byte after {first.p50:.2f} s (median), {first.p99:.1f} s (99 %), while a "
        "seventh of the requests are prompts of a megabyte.\n\n"
        + "\n".join(["| what became of them | |", "|---|---:|", *lines])
        + "\n"
    )


RESULT = ServeResult

if __name__ == "__main__":
    main("serve")
