"""`axl serve` and `axl export` as they are typed: what they refuse, how they begin and how they end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from calling import Trained, call

Refused = Callable[..., str]


def test_what_serve_refuses(refused: Refused, trained: Trained) -> None:
    assert "no folder" in refused("serve", "--model", "nowhere")
    assert "--name is for one model" in refused("serve", "--model", trained.folder, "--model", "shipped", "--name", "x")
    assert "two models are called tiny" in refused("serve", "--model", trained.folder, "--model", trained.folder)
    assert "no name" in refused("serve", "--model", trained.folder, "--name", "a b")
    assert "at least one character" in refused("serve", "--model", trained.folder, "--api-key", "")
    assert "must be a number above 0" in refused("serve", "--hole-ms", "0")


def test_a_port_that_is_taken(refused: Refused, trained: Trained) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused("serve", "--model", trained.folder, "--port", str(taken.getsockname()[1]))
    assert "cannot listen" in said
    assert "--port" in said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_begins_and_ends(trained: Trained, number: signal.Signals) -> None:
    code = "from multiscale_transformer.cli.main import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "serve", "--model", str(trained.folder), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = next(found[1] for line in process.stderr if (found := re.search(r"on (http://\S+)", line)))
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        answer = httpx.post(f"{url}/v1/completions", json={"prompt": "SECRET = ", "max_tokens": 4}, timeout=60)
        assert answer.json()["model"] == "tiny"
        process.send_signal(number)
        said = process.stderr.read()
    assert process.returncode in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert "Traceback" not in said
    assert '"route": "/v1/completions"' in said, "the log is JSON where it is no terminal"
    assert "SECRET" not in said, "and holds no prompts"


def test_what_export_refuses(refused: Refused, trained: Trained) -> None:
    assert "no folder" in refused("export", "gguf", "--model", "nowhere")
    assert "--kind 'Q9' is not known" in refused("export", "gguf", "--model", trained.folder, "--kind", "Q9")
    assert "no checkpoint in" in refused("quantize", "--all")
    assert "not both" in refused("quantize")
    assert "no folder" in refused("export", "hf", "--model", "nowhere")


def test_exports_are_written_and_said(trained: Trained, work: Path) -> None:
    answer = call("export", "gguf", "--model", trained.folder, "--kind", "q8_0", "--out", "out")
    assert answer.status == 0, answer
    assert [path.name for path in (work / "out").iterdir()] == ["tiny-q8_0.gguf"]
    assert "bits a weight" in answer.out
    assert call("export", "pt", "--model", trained.folder, "--out", "tiny.pt").status == 0
    assert call("export", "hf", "--model", trained.folder, "--out", "hf").status == 0
    answer = call("export", "ollama", "--model", trained.folder, "--out", "ollama")
    assert "ollama create tiny -f" in answer.out
    answer = call("quantize", trained.folder, "--out", "both")
    assert answer.out.count(".gguf") == 2
    assert {path.name for path in work.iterdir()} == {"out", "tiny.pt", "hf", "ollama", "both"}
