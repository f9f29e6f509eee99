"""What is installed without extras: no PyTorch, at most 400 MB, and it completes, indexes and serves."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from multiscale_transformer.locks import writing
from server.client_folders import INSTALL_SECONDS

ROOT = Path(__file__).parent.parent
MAX_MEGABYTES = 400
PROMPT = "    s = s.decode(detect_enc"  # as it stands in json/__init__.py of every Python 3
TORCH_COMMANDS = (
    ("train", "--data", "project", "--minutes", "1"),
    ("quickstart",),
    ("distill", "--model", "checkpoint", "--out", "student"),
    ("eval", "bpb", "--model", "shipped", "--data", "project"),
    ("eval", "lines", "--data", "project"),
)
# Python's own record of who is asked, in each process of a command: a line where that is not this machine.
WATCH = """
import sys
LOCAL = "('127.", "('::1'"
def watch(event, arguments):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and str(arguments[1])[:6] not in LOCAL):
        with open({record!r}, "a") as file:
            file.write(f"{{sys.argv}} {{event}} {{arguments[1:]}}\\n")
sys.addaudithook(watch)
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with AXL's wheel and what it depends on, one for each process of the tests."""
    folder, build = tmp_path_factory.mktemp("environment"), ROOT / "build"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    with writing(build, wait=INSTALL_SECONDS):  # setuptools builds there, and takes into the wheel whatever another build left
        shutil.rmtree(build, ignore_errors=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", ROOT], check=True)
        shutil.rmtree(build, ignore_errors=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a small project and an empty cache; nothing that runs there asks another machine."""
    folder = tmp_path_factory.mktemp("light")
    (folder / "project").mkdir()
    (folder / "watch").mkdir()
    (folder / "watch" / "sitecustomize.py").write_text(WATCH.format(record=str(folder / "asked")), encoding="utf-8")
    shutil.copy(json.__file__, folder / "project" / "json_module.py")
    yield folder
    assert not (folder / "asked").exists(), (folder / "asked").read_text(encoding="utf-8")


def environment(home: Path) -> dict[str, str]:
    """What a command finds: a home of its own, and the record of who is asked."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PYTHONPATH": str(home / "watch"),
    }


def axl(light: Path, home: Path, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """A command as a person runs it, from `home`."""
    command = [light / "axl", *words]
    done = subprocess.run(command, cwd=home, env=environment(home), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == status, f"axl {' '.join(words)}: {done.stdout}\n{done.stderr}"
    return done


def test_it_is_small_and_has_neither_pytorch_nor_benchmarks(light: Path) -> None:
    site = next(light.parent.glob("lib/python*/site-packages"))
    names = {path.name for path in site.iterdir()}
    installed = [site / name for name in names if not name.startswith(("pip", "setuptools", "pkg_resources"))]  # a venv's own
    size = sum(path.lstat().st_size for part in installed for path in (part, *part.rglob("*")) if path.is_file())
    assert size / 1e6 <= MAX_MEGABYTES
    assert "multiscale_transformer" in names
    assert not names & {"torch", "benchmarks", "tests", "matplotlib"}


def test_it_indexes_and_completes(light: Path, home: Path) -> None:
    axl(light, home, "data", "project")
    axl(light, home, "index", "project", "--out", "my_index")
    done = axl(light, home, "complete", PROMPT, "--memory", "my_index", "--temperature", "0", "--max-tokens", "8", "--explain")
    assert done.stdout.strip() == "s = s.decode(detect_encoding(s)"
    assert "json_module.py" in done.stdout + done.stderr
    axl(light, home, "models")


def test_who_is_asked_is_recorded(light: Path, tmp_path: Path) -> None:
    """So that no record at the end of `home` means something."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH.format(record=str(tmp_path / "asked")), encoding="utf-8")
    ask = [light / "python", "-c", "import socket; socket.getaddrinfo('localhost', 80)"]
    subprocess.run(ask, env=environment(tmp_path), check=True, timeout=60)
    assert (tmp_path / "asked").exists()


def test_what_needs_pytorch_says_so_in_a_line(light: Path, home: Path) -> None:
    for words in TORCH_COMMANDS:
        done = axl(light, home, *words, status=2)
        line = done.stderr.strip().splitlines()[-1]
        assert line.startswith("axl: "), done.stderr
        assert "PyTorch" in line or "rapidfuzz" in line
        assert "axl[train]" in line
        assert "Traceback" not in done.stderr


@contextmanager
def serving(light: Path, home: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    axl(light, home, "index", "project", "--out", "served_index")
    command = [light / "axl", "serve", "--port", port, "--memory", "served_index"]
    with subprocess.Popen(
        command, cwd=home, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/health", server)
            yield url
        finally:
            server.terminate()


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Return when it answers."""
    for _ in range(240):
        assert server.poll() is None
        try:
            urllib.request.urlopen(url, timeout=10).close()
            return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"nothing answers at {url}")


def test_it_serves(light: Path, home: Path) -> None:
    body = json.dumps({"model": "shipped", "prompt": PROMPT, "max_tokens": 8, "temperature": 0}).encode()
    with serving(light, home) as url:
        request = urllib.request.Request(f"{url}/v1/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert json.load(answer)["choices"][0]["text"] == "oding(s)"
