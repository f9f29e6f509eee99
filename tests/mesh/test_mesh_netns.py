"""A mesh on hosts of its own: network namespaces on one switch, with latency, loss, cut cables and hosts that fall silent.

Needs root, `ip` and `tc` (apt-get install iproute2), and a kernel that permits namespaces; where it has no `netem`, a link of
our own delays and loses.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mesh.mesh_fakes import events_of, wait_until
from mesh.mesh_processes import member, processes, registry, statuses
from mesh.slow_link import SlowLink, inside, tap

HOSTS = ("gateway", "one", "two")
PORT = 8900
START = 120.0  # that processes may take to start on a busy machine


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)


def reason_why_not() -> str | None:
    """What keeps these tests from running here."""
    if not (shutil.which("ip") and shutil.which("tc")):
        return "no ip or tc: apt-get install iproute2"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"axl{os.getpid()}try"
    tried = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
    return f"no network namespaces here: {tried.stderr.strip()}" if tried.returncode else None


WHY_NOT = reason_why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]


class Network:
    """Hosts on one switch, which is a namespace too, so that nothing of the machine's own network is touched."""

    def __init__(self) -> None:
        self._prefix = f"axl{os.getpid()}"
        self._switch = f"{self._prefix}switch"
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        ip("-n", self._switch, "link", "set", "br0", "up")
        for number, host in enumerate(HOSTS, start=1):
            space = self._prefix + host
            ip("netns", "add", space)
            ip("-n", self._switch, "link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", space)
            ip("-n", self._switch, "link", "set", host, "master", "br0", "up")
            ip("-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")

    def close(self) -> None:
        for host in (*HOSTS, "switch"):
            subprocess.run(["ip", "netns", "del", self._prefix + host], check=False, capture_output=True)

    def within(self, host: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self._prefix + host)

    def plug(self, host: str, *, connected: bool) -> None:
        """Put a host's cable in, or pull it: nobody is told."""
        ip("-n", self._switch, "link", "set", host, "up" if connected else "down")

    def worsen(self, host: str, number: int, delay: float, jitter: float, loss: float) -> SlowLink | None:
        """Delay (in seconds) and lose what a host sends and receives, by `netem` or by a link of our own; returns that."""
        netem = [f"{1000 * delay:g}ms", f"{1000 * jitter:g}ms", "loss", f"{100 * loss:g}%"]
        for space, device in ((self._switch, host), (self._prefix + host, "eth0")):
            words = ["tc", "-n", space, "qdisc", "replace", "dev", device, "root", "netem", "delay", *netem]
            if subprocess.run(words, check=False, capture_output=True, timeout=30).returncode:
                break  # a kernel without it
        else:
            return None
        space = self._prefix + host
        ip("-n", self._switch, "link", "del", host)
        link = SlowLink((tap(self._switch, host), tap(space, "eth0")), delay, jitter, loss)
        ip("-n", self._switch, "link", "set", host, "master", "br0", "up")
        ip("-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        return link

    def inside(self, host: str) -> contextlib.AbstractContextManager[None]:
        """Sockets that this thread makes belong to a host."""
        return inside(self._prefix + host)


URL = f"http://10.77.0.1:{PORT}"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """A registry that routes on the first host, a member on each of the others."""
    made = Network()
    try:
        with processes() as started:
            started.append(registry(tmp_path / "s", PORT, "--patience", "60", host="10.77.0.1", within=made.within("gateway")))
            for number, name in enumerate(HOSTS[1:], start=2):
                host = f"10.77.0.{number}"
                started.append(member(name, 8901, URL, host=host, pause=0.1, within=made.within(name)))
            with made.inside("gateway"):
                wait_until(lambda: statuses(URL) == {"one": "up", "two": "up"}, START)
                yield made
    finally:
        made.close()


def ask(user: str, *, stream: bool) -> httpx.Response:
    body = {"model": "m", "user": user, "stream": stream}
    return httpx.post(f"{URL}/v1/completions", json=body, timeout=120, trust_env=False)


def users_of(name: str, count: int) -> list[str]:
    """Sessions that belong to a member."""
    found: list[str] = []
    for number in range(200):
        if len(found) < count and ask(str(number), stream=False).json()["by"] == name:
            found.append(str(number))
    assert len(found) == count
    return found


def test_latency_and_loss_lose_no_request(network: Network) -> None:
    links = [network.worsen(host, number, 0.06, 0.02, 0.05) for number, host in enumerate(("one", "two"), start=2)]
    try:
        for number in range(20):
            answer = ask(str(number), stream=bool(number % 2))
            assert answer.status_code == 200
            assert number % 2 == 0 or events_of(answer.text)[-1] == "[DONE]"
        assert all(link is None or (link.lost and link.carried) for link in links)
    finally:
        for link in links:
            if link is not None:
                link.close()


def test_a_cable_that_is_pulled_in_the_middle_of_streams(network: Network) -> None:
    """Streams from there end in one event, the other host answers meanwhile, and the first comes back by itself."""
    (user,) = users_of("one", 1)
    answers: list[str] = []

    def read() -> None:
        with network.inside("gateway"):
            body: dict[str, Any] = {"model": "m", "user": user, "stream": True}
            with httpx.stream("POST", f"{URL}/v1/completions", json=body, timeout=120, trust_env=False) as answer:
                for text in answer.iter_text():
                    answers.append(text)
                    if len(answers) == 1:
                        network.plug("one", connected=False)

    reading = threading.Thread(target=read)
    reading.start()
    wait_until(lambda: answers)
    assert ask(user, stream=False).json()["by"] == "two"
    reading.join(60)
    assert not reading.is_alive(), "the stream ended though nobody said that the host was gone"
    events = events_of("".join(answers))
    assert "error" in events[-1]
    assert all("error" not in event for event in events[:-1])
    wait_until(lambda: statuses(URL) == {"one": "gone", "two": "up"})
    network.plug("one", connected=True)
    wait_until(lambda: statuses(URL) == {"one": "up", "two": "up"}, 60)
    wait_until(lambda: ask(user, stream=False).json()["by"] == "one", 60)


def test_a_host_that_was_cut_off_when_asked_gives_the_request_to_another(network: Network) -> None:
    users = users_of("one", 3)
    network.plug("one", connected=False)
    for user in users:
        answer = ask(user, stream=True)
        assert answer.status_code == 200
        assert '"two"' in answer.text
    page = httpx.get(f"{URL}/mesh/status", trust_env=False).json()
    assert json.dumps(page["events"]).count('"gone"') >= 1
