"""Hosts of our own on one machine: network namespaces that reach each other over a slow network.

The network is a thread here that carries packets between their TUN devices: each host sends at a rate, what it sent arrives a
delay later, and some of it may be lost. `tc netem` would do the same where the kernel has it; many kernels of virtual machines
have not, ours among them.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

needs_hosts = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or shutil.which("ip") is None or not Path("/dev/net/tun").exists(),
    reason="network namespaces need root, ip and /dev/net/tun",
)
INTERFACE = "axl0"
_TUNSETIFF, _TUN, _NO_HEADER, _NEW_NETWORK = 0x400454CA, 0x0001, 0x1000, 0x40000000
_QUEUE_SECONDS = 1.0  # what a sender may have waiting; more is lost, as at a real link


@dataclass
class Host:
    """A namespace with one interface; `sent` counts the bytes of its packets, headers included."""

    namespace: str
    address: str
    device: int
    sent: int = 0
    connected: bool = True
    free_at: float = field(default=0.0, repr=False)
    interface: str = INTERFACE

    def command(self, command: Sequence[object]) -> list[str]:
        """`command`, to be run on this host."""
        return ["ip", "netns", "exec", self.namespace, *map(str, command)]

    def start(self, command: Sequence[object], env: Mapping[str, str], **more: Any) -> subprocess.Popen[str]:
        """Start a process on this host."""
        return subprocess.Popen(self.command(command), env=dict(env), text=True, **more)


class Network(threading.Thread):
    """Carries packets between hosts: `delay` seconds each way, `rate` bytes a second of each sender, `loss` a share of them."""

    def __init__(self, hosts: list[Host], delay: float, rate: float, loss: float) -> None:
        super().__init__(daemon=True)
        self._hosts, self._delay, self._rate, self._loss = hosts, delay, rate, loss
        self._by_address = {bytes(map(int, host.address.split("."))): host for host in hosts}
        self._on_the_way: list[tuple[float, int, Host, bytes]] = []
        self._number, self._ended, self._random = 0, threading.Event(), random.Random(0)

    def run(self) -> None:
        senders = {host.device: host for host in self._hosts}
        while not self._ended.is_set():
            first = self._on_the_way[0][0] - time.monotonic() if self._on_the_way else 0.05
            ready, _, _ = select.select(list(senders), [], [], max(0.0, min(0.05, first)))
            for device in ready:
                self._take(senders[device], os.read(device, 65536))
            while self._on_the_way and self._on_the_way[0][0] <= time.monotonic():
                _, _, host, packet = heapq.heappop(self._on_the_way)
                if host.connected:
                    os.write(host.device, packet)

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _take(self, sender: Host, packet: bytes) -> None:
        receiver, now = self._by_address.get(packet[16:20]), time.monotonic()
        if receiver is None or not sender.connected or sender.free_at > now + _QUEUE_SECONDS:
            return
        sender.sent += len(packet)
        sender.free_at = max(now, sender.free_at) + len(packet) / self._rate
        if self._random.random() >= self._loss:
            self._number += 1
            heapq.heappush(self._on_the_way, (sender.free_at + self._delay, self._number, receiver, packet))


@contextmanager
def hosts(count: int, *, delay: float = 0.0, mbit: float = 100.0, loss: float = 0.0) -> Iterator[list[Host]]:
    """That many hosts that reach each other, for the block."""
    made: list[Host] = []
    network = None
    try:
        for number in range(count):
            namespace, address = f"axl{os.getpid()}-{number}", f"10.77.0.{number + 1}"
            _ip("netns", "add", namespace)
            made.append(Host(namespace, address, -1))
            made[-1].device = _device_in(namespace)
            _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", INTERFACE)
            _ip("-n", namespace, "link", "set", INTERFACE, "up")
            _ip("-n", namespace, "link", "set", "lo", "up")
        network = Network(made, delay, mbit * 1e6 / 8, loss)
        network.start()
        yield made
    finally:
        if network is not None:
            network.end()
        for host in made:
            if host.device >= 0:
                os.close(host.device)
            _ip("netns", "del", host.namespace)


def _device_in(namespace: str) -> int:
    """A TUN device of a namespace: made by a thread that is in it for the purpose."""
    opened: list[int] = []

    def make() -> None:
        handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(handle, _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(handle)
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), _TUN | _NO_HEADER))
        opened.append(device)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return opened[0]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
