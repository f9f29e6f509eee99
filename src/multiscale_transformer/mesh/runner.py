"""Runs a registry or a gateway, and keeps one registry at a time in charge of a state file.

A second one on the same file stands by until the first has died, or has let its charge run out, and takes its place and its
port. That is for one machine; registries on several have files of their own, and members report to all of them.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable

from fastapi import FastAPI

from multiscale_transformer.errors import AxlError
from multiscale_transformer.mesh.store import CHARGE_SECONDS, Store
from multiscale_transformer.server.runner import Server, Tls, listen, prepare

PORT_SECONDS = 10.0  # to wait for the port of a registry that has died
GRACE_SECONDS = 10.0
LAPSE_SECONDS = 1.5 * CHARGE_SECONDS  # after which a charge that still stands is somebody's who lives


class Charge:
    """Who is in charge of a file. `lost` is called, from another thread, when somebody else has taken it."""

    def __init__(self, store: Store) -> None:
        self.holder = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._store, self._ended = store, threading.Event()

    def take(self, *, standby: bool, say: Callable[[str], None]) -> None:
        """Take charge as soon as it is free. Raises AxlError where another is in charge and nobody asked to stand by.

        The charge of one that was killed lapses in `CHARGE_SECONDS`, and its successor waits for that; who lives renews it.
        """
        other = f"another registry is in charge of {self._store.path}"
        lapsed, waiting = time.monotonic() + LAPSE_SECONDS, False
        while not self._store.take_charge(self.holder):
            if not standby and time.monotonic() > lapsed:
                raise AxlError(f"{other}; --standby waits for its place")
            if standby and not waiting:
                say(f"standing by: {other}")
                waiting = True
            time.sleep(CHARGE_SECONDS / 8)

    def keep(self, lost: Callable[[], None]) -> None:
        """Renew it in a thread until `give_up`."""
        threading.Thread(target=self._keep, args=(lost,), name="axl-charge", daemon=True).start()

    def give_up(self) -> None:
        """Let another take it at once."""
        self._ended.set()
        self._store.give_up_charge(self.holder)

    def _keep(self, lost: Callable[[], None]) -> None:
        while not self._ended.wait(CHARGE_SECONDS / 4):
            try:
                kept = self._store.take_charge(self.holder)
            except AxlError:
                continue  # a disk that is full or busy; the charge runs out by itself if that lasts
            if not kept and not self._ended.is_set():
                lost()
                return


def listen_when_free(host: str, port: int, seconds: float) -> socket.socket:
    """A socket on an address that somebody may still be leaving. Raises AxlError where it is not free in time."""
    end = time.monotonic() + seconds
    while True:
        try:
            return listen(host, port)
        except AxlError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def run(app: FastAPI, bound: socket.socket, tls: Tls | None = None, charge: Charge | None = None) -> bool:
    """Answer until told to stop; returns False where another registry took charge meanwhile."""
    prepare()
    server, lost = Server(app, GRACE_SECONDS, tls=tls), threading.Event()
    if charge is not None:

        def end() -> None:
            lost.set()
            server.should_exit = True

        charge.keep(end)
    try:
        server.run(sockets=[bound])
    except KeyboardInterrupt:  # uvicorn raises it again when it has shut down
        pass
    finally:
        if charge is not None and not lost.is_set():
            charge.give_up()
    return not lost.is_set()
