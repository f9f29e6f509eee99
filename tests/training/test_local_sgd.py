"""A run in rounds goes on when a member dies and when one comes, over links that are slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from hosts import Host, hosts, needs_hosts
from multiscale_transformer.errors import AxlError
from multiscale_transformer.training import local_sgd
from multiscale_transformer.training.local_sgd import LocalSgd
from tiny import TINY

ROOT = Path(__file__).parents[2]
MEMBER = Path(__file__).with_name("round_member.py")
LIGHTHOUSE = Path(__file__).with_name("lighthouse.py")
needs_torchft = pytest.mark.skipif(find_spec("torchft") is None, reason="needs torchft: pip install 'axl[cluster]'")
SECONDS, ROUND = 45.0, 4.0


def test_a_member_that_is_none_is_refused() -> None:
    with pytest.raises(AxlError, match="counted from 0"):
        LocalSgd("http://127.0.0.1:1", 2, 2, "127.0.0.1")


def test_without_torchft_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_sgd, "find_spec", lambda _: None)
    with pytest.raises(AxlError, match="axl\\[cluster\\]"):
        LocalSgd("http://127.0.0.1:1", 0, 2, "127.0.0.1")


@pytest.fixture
def network() -> Iterator[list[Host]]:
    with hosts(3, delay=0.02, mbit=10) as made:
        yield made


def environment(host: Host) -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": host.interface}


def started(host: Host, lighthouse: Host, member: int, out: Path) -> subprocess.Popen[str]:
    where = (f"http://{lighthouse.address}:29510", member, 3, host.address, SECONDS, ROUND, out)
    return host.start([sys.executable, MEMBER, *where], env=environment(host), stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def wait_until_loaded(process: subprocess.Popen[str]) -> None:
    """Loading may take longer than the run that it is for."""
    assert process.stdout is not None
    assert process.stdout.readline() == "loaded\n"


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def first_step(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    first: int = json.loads(process.stdout.readline())["first"]
    return first


@pytest.mark.slow
@needs_hosts
@needs_torchft
def test_one_member_is_killed_and_another_comes_and_the_rest_end_with_the_same_weights(
    tmp_path: Path, network: list[Host]
) -> None:
    lead = network[0]
    beside = environment(lead)
    with lead.start(
        [sys.executable, LIGHTHOUSE, 29510], env=beside, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as lighthouse:
        assert lighthouse.stdout is not None
        try:
            assert lighthouse.stdout.readline() == "ready\n"
            outs = [tmp_path / f"{number}.safetensors" for number in range(3)]
            members = [started(host, lead, number, outs[number]) for number, host in enumerate(network)]
            for member in members:
                wait_until_loaded(member)
            stays, dies, comes = members
            begin(stays)
            begin(dies)
            first_step(stays)
            first_step(dies)
            dies.kill()
            dies.wait()
            begin(comes)
            assert first_step(comes) > 1, "it began afresh instead of going on with the others"
            assert [stays.wait(900), comes.wait(900)] == [0, 0]
        finally:
            lighthouse.kill()
    weights, facts = zip(*(_read(outs[number]) for number in (0, 2)), strict=True)
    for name, tensor in weights[0].items():
        assert torch.equal(weights[1][name], tensor), name
    assert facts[1]["rounds"][-1] == 2
    # Rounds sum two bytes a weight; a step of all sums four.
    state = 8 * TINY.parameters() + 1000
    assert facts[0]["sums"] <= 2 * (len(facts[0]["rounds"]) + 3) * TINY.parameters() + 4 * state


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["facts"])  # noqa: SIM118
