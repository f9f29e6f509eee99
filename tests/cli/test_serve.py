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

from multiscale_transformer.model.vision import build_vision, save_vision
from vision import small

Refused = Callable[..., str]


def test_what_serve_refuses(refused: Refused, trained: Trained) -> None:
    assert "no folder" in refused("serve", "--model", "nowhere")
    several = ("--model", trained.folder, "--model", "shipped")
    assert "--served-model-name is for one model" in refused("serve", *several, "--served-model-name", "x")
    assert "two models are called tiny" in refused("serve", "--model", trained.folder, "--model", trained.folder)
    assert "no name" in refused("serve", "--model", trained.folder, "--served-model-name", "a b")
    assert "at least one character" in refused("serve", "--model", trained.folder, "--api-key", "")
    assert "must be a number above 0" in refused("serve", "--fim-timeout-ms", "0")
    assert "--learn-minutes goes with --learn" in refused("serve", "--learn-minutes", "5")


def test_the_name_goes_to_the_only_model_that_is_given_also_where_it_sees(refused: Refused, tmp_path: Path) -> None:
    save_vision(build_vision(small.PAGE, seed=0), tmp_path / "eyes", name="eyes")
    with socket.create_server(("127.0.0.1", 0)) as other:  # a server that begins all the same fails to listen
        words = ("--model", tmp_path / "eyes", "--served-model-name", "shipped", "--port", str(other.getsockname()[1]))
        assert "two models are called shipped" in refused("serve", *words)


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("--name", "--served-model-name", "x"),
        ("--hole-ms", "--fim-timeout-ms", "9"),
        ("--time-limit", "--request-timeout", "9"),
        ("--queued", "--max-queue", "9"),
        ("--cache-mb", "--kv-cache-mb", "99"),
        ("--memory-mb", "--max-ram-mb", "99"),
    ],
)
def test_old_options_of_serve_name_the_new_ones(refused: Refused, old: str, new: str, value: str) -> None:
    assert f"{old} is the old name of {new}; give {new} only" in refused("serve", old, value, new, value)
    answer = call("serve", "--model", "nowhere", old, value)
    assert f"note: {old} is called {new} now" in answer.err
    assert "no folder" in answer.err
    shown = call("serve", "--help").out
    assert new in shown
    assert f"{old} " not in shown


def test_the_options_of_serve_have_the_servers_defaults() -> None:
    from inspect import signature

    from multiscale_transformer.cli.serve import serve
    from multiscale_transformer.engine.engine import CACHE_BYTES
    from multiscale_transformer.server.settings import Limits

    defaults = {name: parameter.default for name, parameter in signature(serve).parameters.items()}
    assert defaults["max_queue"] == Limits().max_queue
    assert defaults["kv_cache_mb"] << 20 == Limits().kv_cache_bytes == CACHE_BYTES
    assert defaults["max_ram_mb"] << 20 == Limits().ram_bytes
    assert defaults["keep_alive"] == Limits().keep_alive


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
    assert "no checkpoint of text in" in refused("quantize", "--all")
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
    (work / "all").mkdir()
    (work / "all" / "tiny").symlink_to(trained.folder)
    save_vision(build_vision(small.PAGE, seed=0), work / "all" / "seeing")
    answer = call("quantize", "--all", "--root", "all", "--out", "both")
    assert answer.out.count(".gguf") == 2
    assert "no models like seeing" in answer.err
    assert {path.name for path in work.iterdir()} == {"out", "tiny.pt", "hf", "ollama", "all", "both"}
