"""A real server on a real port, in a thread, and the model it serves: a tiny one whose every part has a say."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fastapi import FastAPI

from multiscale_transformer.memory.index import build_index
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.server.app import Settings, build_app
from multiscale_transformer.server.runner import Server
from tiny import checkpoint

CONFIG = ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=1, memory=True, max_seq_len=512)
CODE = [
    ("shapes.py", b"# SPDX-License-Identifier: MIT\ndef area(side):\n    return side * side\n"),
    ("more.py", b"class Circle:\n    def __init__(self, radius):\n        self.radius = radius\n"),
]


def make_models(folder: Path) -> Path:
    """A checkpoint with its memory."""
    made = folder / "tiny"
    checkpoint(CONFIG, made)
    build_index(made / "memory", CODE)
    return made


def settings_for(model: Path, folder: Path, **changes: object) -> Settings:
    return replace(Settings(models={"tiny": model}, variants=folder / "variants"), **changes)  # type: ignore[arg-type]


@dataclass
class Running:
    """A server that answers at `url`."""

    url: str
    port: int
    app: FastAPI
    server: Server
    thread: threading.Thread

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()


@contextmanager
def running(settings: Settings, grace: float = 1.0) -> Iterator[Running]:
    app = build_app(settings)
    bound = socket.create_server(("127.0.0.1", 0))
    server = Server(app, grace)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server has not started"
        time.sleep(0.01)
    port = bound.getsockname()[1]
    up = Running(f"http://127.0.0.1:{port}", port, app, server, thread)
    try:
        yield up
    finally:
        up.stop()
