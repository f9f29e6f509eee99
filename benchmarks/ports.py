"""Ports on which a process can listen again after it was killed: one of those that connections get may be taken by then."""

from __future__ import annotations

import random
import socket

NEVER_GIVEN = range(20_000, 32_000)  # below what Linux gives to connections


def free_port(host: str = "127.0.0.1") -> int:
    """A port of that kind. Raises OSError where there is none."""
    for port in random.sample(NEVER_GIVEN, 100):
        try:
            socket.create_server((host, port)).close()
        except OSError:
            continue
        return port
    raise OSError("no port is free")
