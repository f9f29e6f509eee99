"""The mesh as its clients find it: what the gateway costs beside a direct connection, and what is lost while members die.

Registry and members are processes, as `axl mesh registry` and `axl serve --join` start them. The gateway and the direct
connection take turns within a round, so that whatever else the machine does meets both. For the losses, members are killed (two
of three times by SIGKILL, else by SIGTERM) and started again at random while clients ask without a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import typer

from benchmarks.command import Rounds, main
from benchmarks.ports import free_port
from benchmarks.result import Result, Row, origin
from benchmarks.serve import PROMPTS, THROUGHPUT_CLIENTS, _http_rate
from multiscale_transformer.cli.options import Checkpoint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.zoo.shipped import shipped_model

AXL = "from multiscale_transformer.cli.main import main; raise SystemExit(main())"
START_SECONDS = 180.0  # that a process may take to answer on a busy machine
LOOK_SECONDS = 0.02
FIRST_BYTES = 100  # requests of each kind, one at a time
PAUSES = (4.0, 10.0)  # seconds between two kills
DETECTIONS = 5
MEMBERS = 3


class Cost(Row):
    """The gateway beside a direct connection: bytes a second of streams at once, and milliseconds to the first byte."""

    clients: int
    rounds: int
    bytes_per_second: dict[str, float]
    share: float
    shares: list[float]
    first_byte_ms: dict[str, float]
    added_first_byte_ms: float
    requests: int


class Detection(Row):
    """Seconds until a member that fell silent (SIGSTOP) is out, and one that answers is in: the worst and the median of `n`."""

    n: int
    out_worst: float
    out_median: float
    in_worst: float
    in_median: float


class Losses(Row):
    """What became of the requests while members died."""

    clients: int
    minutes: float
    kills: int
    requests: int
    outcomes: dict[str, int]
    lost: int
    waited_worst: float  # seconds to the first byte


class MeshResult(Result):
    """What the gateway costs, how soon it knows, and what is lost."""

    kind: Literal["mesh"] = "mesh"
    cost: Cost
    detection: Detection
    losses: Losses | None = None


def run(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    minutes: Annotated[float, typer.Option(metavar="M", help="How long members are killed; 0 leaves it out.")] = 10.0,
    clients: Annotated[int, typer.Option(metavar="N", min=1, help="Clients meanwhile.")] = 32,
    rounds: Rounds = 5,
) -> MeshResult:
    """A mesh of three servers: what the gateway costs, how soon it knows who is dead, what is lost while members are killed."""
    with tempfile.TemporaryDirectory() as folder, _mesh(Path(folder), model) as (url, members):
        members[0].start()
        _wait_for(url, {members[0].name: "up"})
        cost = measure_cost(url, members[0].url, rounds)
        detection = measure_detection(url, members[0])
        losses = measure_losses(url, members, clients, 60 * minutes) if minutes > 0 else None
    return MeshResult(**origin("mesh", None).model_dump(), cost=cost, detection=detection, losses=losses)


class Member:
    """`axl serve --join` on a port of its own."""

    def __init__(self, name: str, model: Path, registry: str) -> None:
        self.name, port = name, free_port()
        self.url = f"http://127.0.0.1:{port}"
        options = ["--model", str(model), "--port", str(port), "--quiet", "--kv-cache-mb", "64", "--max-queue", "256"]
        self._words = [sys.executable, "-c", AXL, "serve", *options, "--join", registry, "--member-name", name]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen(self._words, stderr=subprocess.DEVNULL)

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        os.kill(self._process.pid, number)

    def end(self, number: int = signal.SIGKILL) -> None:
        """End it, if it runs, and wait for that."""
        if self._process is not None and self._process.poll() is None:
            self.send(number)
            self._process.wait(60)


@contextlib.contextmanager
def _mesh(folder: Path, model: Path) -> Iterator[tuple[str, list[Member]]]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["--port", str(port), "--state", str(folder / "state"), "--quiet", "--patience", "60"]
    registry = subprocess.Popen([sys.executable, "-c", AXL, "mesh", "registry", *options], stderr=subprocess.DEVNULL)
    members = [Member(f"member-{number}", model, url) for number in range(MEMBERS)]
    try:
        _wait_for(url, {})
        yield url, members
    finally:
        for member in members:
            member.end()
        registry.terminate()
        registry.wait(60)


def measure_cost(url: str, direct: str, rounds: int) -> Cost:
    """Streams and first bytes through the gateway and past it, in turn."""
    addresses, rates = {"direct": direct, "gateway": url}, {"direct": list[float](), "gateway": list[float]()}
    for number in range(rounds + 1):
        names = list(addresses) if number % 2 else list(addresses)[::-1]
        for name in names:
            rate = asyncio.run(_http_rate(addresses[name], THROUGHPUT_CLIENTS, stream=True))
            if number:  # the first round fills caches
                rates[name].append(rate)
    shares = [through / past for through, past in zip(rates["gateway"], rates["direct"], strict=True)]
    times: dict[str, list[float]] = {name: [] for name in addresses}
    with contextlib.ExitStack() as stack:
        http = {name: stack.enter_context(httpx.Client(base_url=base, timeout=60)) for name, base in addresses.items()}
        for number in range(FIRST_BYTES + 5):
            for name, client in http.items():
                seconds = _first_byte(client, number)
                if number >= 5:
                    times[name].append(1000 * seconds)
    return Cost(
        clients=THROUGHPUT_CLIENTS,
        rounds=rounds,
        bytes_per_second={name: statistics.median(values) for name, values in rates.items()},
        share=statistics.median(shares),
        shares=shares,
        first_byte_ms={name: statistics.median(values) for name, values in times.items()},
        added_first_byte_ms=statistics.median(
            through - past for through, past in zip(times["gateway"], times["direct"], strict=True)
        ),
        requests=FIRST_BYTES,
    )


def _first_byte(client: httpx.Client, number: int) -> float:
    body = {"prompt": PROMPTS[number % len(PROMPTS)], "max_tokens": 1, "temperature": 0, "stream": True}
    begun = time.perf_counter()
    with client.stream("POST", "/v1/completions", json=body) as answer:
        pieces = answer.iter_raw()
        next(pieces)
        seconds = time.perf_counter() - begun
        for _ in pieces:  # so that the connection is kept
            pass
    return seconds


def measure_detection(url: str, member: Member) -> Detection:
    """How soon a silent member is out, and one that answers again is in."""
    out, back = [], []
    for _ in range(DETECTIONS):
        member.send(signal.SIGSTOP)
        begun = time.monotonic()
        _wait_for(url, {member.name: "gone"})
        out.append(time.monotonic() - begun)
        member.end()
        member.start()
        _until(lambda: _is_healthy(member.url))
        begun = time.monotonic()
        _wait_for(url, {member.name: "up"})
        back.append(time.monotonic() - begun)
    return Detection(
        n=DETECTIONS,
        out_worst=max(out),
        out_median=statistics.median(out),
        in_worst=max(back),
        in_median=statistics.median(back),
    )


def measure_losses(url: str, members: list[Member], clients: int, seconds: float, seed: int = 0) -> Losses:
    """What becomes of requests while members are killed and started again."""
    for member in members[1:]:
        member.start()
    _wait_for(url, dict.fromkeys((member.name for member in members), "up"))
    return asyncio.run(_Clients(url, seed).run(members, clients, seconds))


class _Clients:
    def __init__(self, url: str, seed: int) -> None:
        self._url, self._random = url, random.Random(seed)
        self._outcomes: Counter[str] = Counter()
        self._waited, self._kills = 0.0, 0

    async def run(self, members: list[Member], clients: int, seconds: float) -> Losses:
        """Ask, and kill, for so long."""
        end = time.monotonic() + seconds
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=self._url, timeout=300, limits=limits, trust_env=False) as http:
            killing = asyncio.create_task(self._kill(members, end))
            await asyncio.gather(*(self._client(http, end) for _ in range(clients)))
            await killing
        lost = sum(count for name, count in self._outcomes.items() if name.startswith(("LOST", "CUT")))
        return Losses(
            clients=clients,
            minutes=seconds / 60,
            kills=self._kills,
            requests=self._outcomes.total(),
            outcomes=dict(self._outcomes),
            lost=lost,
            waited_worst=self._waited,
        )

    async def _kill(self, members: list[Member], end: float) -> None:
        while time.monotonic() < end:
            await asyncio.sleep(self._random.uniform(*PAUSES))
            member = self._random.choice(members)
            number = signal.SIGKILL if self._random.random() < 2 / 3 else signal.SIGTERM
            await asyncio.to_thread(member.end, number)
            await asyncio.sleep(self._random.uniform(0, 1))
            member.start()
            self._kills += 1

    async def _client(self, http: httpx.AsyncClient, end: float) -> None:
        while time.monotonic() < end:
            try:
                outcome = await self._ask(http)
            except (httpx.HTTPError, OSError) as error:
                outcome = f"LOST ({type(error).__name__})"
            self._outcomes[outcome] += 1

    async def _ask(self, http: httpx.AsyncClient) -> str:
        """One request, and what became of it: whole, told (an event says that the member is gone), LOST or CUT."""
        stream = self._random.random() < 0.75
        prompt = self._random.choice(PROMPTS)
        body = {"prompt": prompt, "max_tokens": self._random.randrange(8, 200), "seed": self._random.randrange(1 << 30)}
        begun, first, last = time.monotonic(), None, ""
        async with http.stream("POST", "/v1/completions", json={**body, "stream": stream}) as answer:
            if answer.status_code != 200:
                await answer.aread()
                return f"LOST ({answer.status_code})"
            if not stream:
                content = json.loads(await answer.aread())
                self._waited = max(self._waited, time.monotonic() - begun)
                return "whole" if content.get("choices") else "LOST (no choices)"
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    first, last = first or time.monotonic(), line
        self._waited = max(self._waited, (first or time.monotonic()) - begun)
        if last == "data: [DONE]":
            return "whole"
        return "told" if last.startswith('data: {"error"') else "CUT"


def _statuses(url: str) -> dict[str, str] | None:
    try:
        found: dict[str, Any] = httpx.get(f"{url}/mesh/status", timeout=5, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return None
    return {one["name"]: one["status"] for one in found["members"]}


def _wait_for(url: str, statuses: dict[str, str]) -> None:
    _until(lambda: (found := _statuses(url)) is not None and found.items() >= statuses.items())


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _until(holds: Any) -> None:
    end = time.monotonic() + START_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise AxlError("the mesh did not come up; try axl mesh registry by hand")
        time.sleep(LOOK_SECONDS)


def table(result: MeshResult) -> str:
    """What the gateway costs, how soon it knows, and what was lost."""
    cost, found, losses = result.cost, result.detection, result.losses
    first = cost.first_byte_ms
    lines = [
        "| gateway beside a direct connection | direct | gateway | |",
        "|---|---:|---:|---:|",
        f"| {cost.clients} streams, bytes a second | {cost.bytes_per_second['direct']:,.0f} | "
        f"{cost.bytes_per_second['gateway']:,.0f} | {cost.share:.1%} |",
        f"| first byte, ms | {first['direct']:.1f} | {first['gateway']:.1f} | +{cost.added_first_byte_ms:.1f} |",
        "",
        f"Medians of {cost.rounds} rounds in turn, and of {cost.requests} requests one at a time. A member that falls silent "
        f"is out after {found.out_median:.1f} s ({found.out_worst:.1f} s at worst), one that answers is in after "
        f"{found.in_median:.1f} s ({found.in_worst:.1f} s at worst), of {found.n}.",
    ]
    if losses is not None:
        counts = ", ".join(f"{name} {count:,}" for name, count in sorted(losses.outcomes.items()))
        lines += [
            "",
            f"{losses.clients} clients for {losses.minutes:g} minutes, {losses.kills} members killed and started again: "
            f"{losses.requests:,} requests, **{losses.lost} lost** ({counts}); the longest wait for a first byte was "
            f"{losses.waited_worst:.0f} s.",
        ]
    return "\n".join(lines) + "\n"


RESULT = MeshResult

if __name__ == "__main__":
    main("mesh")
