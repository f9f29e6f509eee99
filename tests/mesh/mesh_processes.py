"""Registries and members as processes that can be killed, on this machine or in a network namespace of their own.

Run as a script this file is such a member: `python mesh_processes.py NAME HOST PORT PAUSE REGISTRY…`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

TESTS = Path(__file__).resolve().parents[1]
AXL = "from multiscale_transformer.cli.main import main; raise SystemExit(main())"


class Process:
    """A process and what it takes to start it again; `within` are the words that put it into a namespace."""

    def __init__(self, *words: str, within: tuple[str, ...] = ()) -> None:
        self._words = [*within, sys.executable, *words]
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
        self.process = subprocess.Popen(self._words, env=environment, start_new_session=True)

    def kill(self) -> None:
        """Die without a word."""
        self._signal(signal.SIGKILL)

    def end(self) -> int:
        """End as a service is ended; returns the exit status."""
        self._signal(signal.SIGTERM)
        return self.process.returncode

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.process.wait(60)


@contextlib.contextmanager
def processes() -> Iterator[list[Process]]:
    """A list whose processes are killed at the end."""
    started: list[Process] = []
    try:
        yield started
    finally:
        for process in started:
            process.kill()


def registry(state: Path, port: int, *words: str, host: str = "127.0.0.1", within: tuple[str, ...] = ()) -> Process:
    options = ["--state", str(state), "--port", str(port), "--host", host, "--quiet", *words]
    return Process("-c", AXL, "mesh", "registry", *options, within=within)


def member(
    name: str, port: int, *registries: str, host: str = "127.0.0.1", pause: float = 0.02, within: tuple[str, ...] = ()
) -> Process:
    return Process(__file__, name, host, str(port), str(pause), *registries, within=within)


def statuses(url: str) -> dict[str, str]:
    """The state of each member; nothing where nobody answers."""
    try:
        found: dict[str, Any] = httpx.get(f"{url}/mesh/status", timeout=5, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return {one["name"]: one["status"] for one in found["members"]}


def _main(name: str, host: str, port: str, pause: str, *registries: str) -> None:
    from mesh.mesh_fakes import Fake
    from multiscale_transformer.mesh.member import Membership

    fake = Fake(name, host=host, port=int(port), pause=float(pause), mode="slow").start()
    membership = Membership(list(registries), fake.said, None, None, lambda line: None)
    membership.start()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    membership.leave()


if __name__ == "__main__":
    _main(*sys.argv[1:])
