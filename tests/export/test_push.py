"""`axl push` against a stand-in for the hub: what arrives is what was exported, and refusals are one line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from export.hub import Hub
from multiscale_transformer.errors import AxlError
from multiscale_transformer.export.hf import export_hf
from multiscale_transformer.export.push import push
from multiscale_transformer.model.config import ModelConfig
from tiny import checkpoint


@pytest.fixture
def hub() -> Iterator[tuple[Hub, str]]:
    stand_in = Hub(token="right")
    server = uvicorn.Server(uvicorn.Config(stand_in.app(), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the stand-in has not started"
        time.sleep(0.01)
    yield stand_in, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    checkpoint(ModelConfig(d_model=64, n_heads=2, d_ff=96, n_layers_per_scale=1), tmp_path / "model")
    export_hf(tmp_path / "model", tmp_path / "hf", "tiny")
    return tmp_path / "hf"


def axl_push(*arguments: str, endpoint: str, token: str) -> subprocess.CompletedProcess[str]:
    # No xet: its storage protocol is not what the stand-in stands in for.
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_TOKEN": token, "HF_HUB_DISABLE_XET": "1"}
    command = [str(Path(sys.executable).with_name("axl")), "push", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_what_arrives_is_what_was_exported(hub: tuple[Hub, str], exported: Path) -> None:
    stand_in, endpoint = hub
    for _ in range(2):  # the second time the repository is there already
        done = axl_push(str(exported), "me/axl-tiny", "--private", endpoint=endpoint, token="right")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().splitlines()[-1] == f"{endpoint}/me/axl-tiny"
    assert stand_in.private == {"me/axl-tiny": True}
    local = {path.name: path.read_bytes() for path in exported.iterdir()}
    assert stand_in.files["me/axl-tiny"] == local


def test_a_wrong_token_is_said_in_a_line(hub: tuple[Hub, str], exported: Path) -> None:
    stand_in, endpoint = hub
    done = axl_push(str(exported), "me/axl-tiny", endpoint=endpoint, token="wrong")
    assert done.returncode == 2
    assert "HF_TOKEN" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not stand_in.files


def test_a_hub_that_is_not_there(exported: Path) -> None:
    done = axl_push(str(exported), "me/axl-tiny", endpoint="http://127.0.0.1:9", token="right")
    assert done.returncode == 2
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_checkpoints_and_bad_names_stay_here(exported: Path) -> None:
    with pytest.raises(AxlError, match="holds no export"):
        push(exported.parent / "model", "me/axl-tiny")
    with pytest.raises(AxlError, match="holds no export"):
        push(exported.parent / "absent", "me/axl-tiny")
    (exported.parent / "model" / "model.gguf").write_bytes(b"")
    (exported.parent / "model" / "training.json").write_text("{}")
    with pytest.raises(AxlError, match="is a checkpoint"):
        push(exported.parent / "model", "me/axl-tiny")
    with pytest.raises(AxlError, match="OWNER/NAME"):
        push(exported, "not a name!")
