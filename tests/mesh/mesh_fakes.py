"""A mesh in this process: a gateway on a real port, and members that are scripts instead of models and fail on cue."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from benchmarks.ports import free_port
from multiscale_transformer.mesh.app import MeshSettings, build_app
from multiscale_transformer.mesh.members import Announcement, ModelOffer
from multiscale_transformer.mesh.registry import Directory, Registry
from multiscale_transformer.mesh.store import Store
from multiscale_transformer.server.runner import Server, Tls

EVENTS = 5  # of a stream


@dataclass
class Fake:
    """A server that answers as `mode` says.

    ok: whole or as a stream; cut: dies in the middle; early: dies before it answers; busy: 503; full: 429; hang: never answers;
    slow: answers after `pause`.
    """

    name: str
    models: tuple[str, ...] = ("m",)
    skills: tuple[str, ...] = ()
    mode: str = "ok"
    pause: float = 0.0
    running: int = 0
    port: int = 0
    host: str = "127.0.0.1"
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    hung_up: int = 0

    def start(self) -> Fake:
        """Listen, on the port it had before if it had one."""
        self.port = self.port or free_port(self.host)
        self._ready, self._writers = threading.Event(), set[asyncio.StreamWriter]()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def kill(self) -> None:
        """Die: the listener goes, and so does every connection."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    def stop_listening(self) -> None:
        """Take no more connections, and end what is there in peace."""
        self._loop.call_soon_threadsafe(self._server.close)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def said(self, **changes: Any) -> Announcement:
        offers = tuple(ModelOffer(id=model, skills=self.skills) for model in self.models)
        return Announcement(
            name=self.name, url=self.url, models=offers, incarnation=str(id(self._thread)), running=self.running, **changes
        )

    async def _main(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = self._server = await asyncio.start_server(self._serve, self.host, self.port, reuse_address=True)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            self.hung_up += 1
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False when the connection is over."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path = head[0].split()[1]
        if path in ("/health", "/metrics") and self.mode != "hang":
            text = b"# TYPE axl_written_bytes counter\naxl_written_bytes_total 7.0\n" if path == "/metrics" else b"{}"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
            return True
        if path == "/v1/models":
            return await self._whole(writer, json.dumps({"data": [{"id": model} for model in self.models]}).encode())
        asked = json.loads(body or b"{}")
        self.requests.append(asked)
        self.headers.append(headers)
        if self.mode in ("early", "hang"):
            if self.mode == "hang":
                await self._end.wait()
            writer.transport.abort()
            return False
        if self.mode in ("busy", "full"):
            status = b"503 Service Unavailable" if self.mode == "busy" else b"429 Too Many Requests"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")
            return True
        if self.mode == "slow":
            await asyncio.sleep(self.pause)
        if asked.get("stream"):
            return await self._stream(writer, path)
        return await self._whole(writer, json.dumps({"by": self.name, "model": asked.get("model")}).encode())

    async def _whole(self, writer: asyncio.StreamWriter, text: bytes) -> bool:
        if self.mode == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n" + text)
            await writer.drain()
            writer.transport.abort()
            return False
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        return True

    async def _stream(self, writer: asyncio.StreamWriter, path: str) -> bool:
        lines = path.startswith("/api/")
        kind = b"application/x-ndjson" if lines else b"text/event-stream; charset=utf-8"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(EVENTS):
            event = json.dumps({"by": self.name, "n": number})
            data = (event + "\n" if lines else f"data: {event}\n\n").encode()
            if self.mode == "cut" and number == 2:
                writer.write(b"%x\r\n" % len(data) + data[:9])  # half an event
                await writer.drain()
                await asyncio.sleep(0.05)
                writer.transport.abort()
                return False
            writer.write(b"%x\r\n" % len(data) + data + b"\r\n")
            await writer.drain()
            await asyncio.sleep(self.pause)
        end = b"" if lines else b"e\r\ndata: [DONE]\n\n\r\n"
        writer.write(end + b"0\r\n\r\n")
        return True


@dataclass
class RunningMesh:
    """A gateway that answers at `url`."""

    url: str
    app: FastAPI

    @property
    def registry(self) -> Registry:
        found = self.app.state.server.registry
        assert found is not None
        return found  # type: ignore[no-any-return]


@contextmanager
def running_mesh(directory: Directory, settings: MeshSettings | None = None, tls: Tls | None = None) -> Iterator[RunningMesh]:
    """A gateway to the members of a directory."""
    app = build_app(directory, settings or MeshSettings(patience=3.0))
    bound = socket.create_server(("127.0.0.1", 0))
    server = Server(app, 1.0, tls)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield RunningMesh(f"{'https' if tls else 'http'}://127.0.0.1:{bound.getsockname()[1]}", app)
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


class Heart:
    """Heartbeats of fakes, as long as they live."""

    def __init__(self, mesh: RunningMesh, *fakes: Fake) -> None:
        self._mesh, self._fakes, self._ended = mesh, list(fakes), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Heart:
        self.beat()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join(5)

    def beat(self) -> None:
        for fake in self._fakes:
            if fake._thread.is_alive():
                self._mesh.registry.announce(fake.said())

    def _run(self) -> None:
        while not self._ended.wait(0.3):
            self.beat()


def new_registry(folder: Path) -> Registry:
    return Registry(Store(folder / "mesh.sqlite"))


def wait_until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Return when something holds; fails after so long."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def events_of(text: str) -> list[Any]:
    """The data of server-sent events, read as strictly as clients do: every event must be JSON or [DONE]."""
    found = []
    for event in text.split("\n\n"):
        for line in event.splitlines():
            if line.startswith("data: "):
                found.append("[DONE]" if line == "data: [DONE]" else json.loads(line[6:]))
    return found
