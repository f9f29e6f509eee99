"""Processes that train together compute what one process computes with all their batches, and a run outlives any of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from hosts import Host, hosts, needs_hosts
from multiscale_transformer.training.process_group import ProcessGroup
from multiscale_transformer.training.trainer import Trainer
from tiny import PLENTY, TINY, documents, model_of, settings_of, words
from training import process_worker

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("process_worker.py")
STEPS = 6


class Part(ProcessGroup):
    """One of several processes, whose gradients somebody else adds up."""

    together = True

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.world_size = rank, count


def trainer_of(group: ProcessGroup, own_bytes: int) -> Trainer:
    settings = settings_of(batch_bytes=own_bytes, fim_rate=0.5, memory_dropout=0.5)
    return Trainer(model_of(TINY), TINY, documents(), settings, PLENTY, None, None, group)


def gradients(trainer: Trainer, index: int) -> tuple[float, list[torch.Tensor]]:
    batch = trainer._prepared(32, index)
    loss = trainer._backward(batch, trainer._plan(TINY, trainer._stream(32)))
    return loss, [p.grad for p in trainer.model.parameters() if p.grad is not None]


@given(st.integers(1, 8), st.integers(1, 64))
def test_the_processes_share_a_batch_without_rest_or_overlap(count: int, own: int) -> None:
    rows = [row for rank in range(count) for row in range(own * count)[Part(rank, count).rows(own * count)]]
    assert rows == list(range(own * count))


@pytest.mark.parametrize("count", [2, 4])
def test_what_the_processes_read_is_what_one_reads_with_the_larger_batch(count: int) -> None:
    whole = trainer_of(ProcessGroup(), 64 * count)
    parts = [trainer_of(Part(rank, count), 64) for rank in range(count)]
    for index in range(4):
        one = whole._prepared(32, index)
        many = [part._prepared(32, index) for part in parts]
        assert torch.equal(one.ids_BT, torch.cat([batch.ids_BT for batch in many]))
        if one.targets.weight_BT is not None:
            assert torch.equal(one.targets.weight_BT, torch.cat([batch.targets.weight_BT for batch in many]))


@pytest.mark.parametrize("count", [2, 4])
def test_the_gradients_of_the_processes_add_up_to_those_of_one(count: int) -> None:
    loss, expected = gradients(trainer_of(ProcessGroup(), 64 * count), 0)
    parts = [gradients(trainer_of(Part(rank, count), 64), 0) for rank in range(count)]
    assert sum(part for part, _ in parts) == pytest.approx(loss, rel=1e-5)
    for whole, *shares in zip(expected, *(gradient for _, gradient in parts), strict=True):
        torch.testing.assert_close(sum(shares), whole, rtol=1e-4, atol=1e-6)


def environment(**more: str) -> dict[str, str]:
    paths = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests", ROOT)))
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **more}


def torchrun(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *map(str, arguments)]


def expected_weights(folder: Path, processes: int) -> dict[str, torch.Tensor]:
    path = folder / "one.safetensors"
    subprocess.run([sys.executable, WORKER, path, str(processes), str(STEPS)], env=environment(), check=True)
    return load_file(path)


def assert_same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    first = model_of(process_worker.CONFIG).state_dict()
    assert any(not torch.equal(left[name], first[name]) for name in left), "a run which never moved"
    assert left.keys() == right.keys() == first.keys()
    for name, tensor in left.items():
        torch.testing.assert_close(right[name], tensor, rtol=2e-3, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_end_with_the_weights_of_one_with_the_larger_batch(tmp_path: Path, processes: int) -> None:
    many = tmp_path / "many.safetensors"
    command = torchrun("--standalone", f"--nproc-per-node={processes}", WORKER, many, processes, STEPS)
    subprocess.run(command, env=environment(), check=True)
    assert_same(expected_weights(tmp_path, processes), load_file(many))


@pytest.fixture
def four_hosts() -> Iterator[list[Host]]:
    with hosts(4, delay=0.005) as made:
        yield made


@pytest.mark.slow
@needs_hosts
@pytest.mark.parametrize("count", [2, 4])
def test_hosts_of_a_network_end_with_the_weights_of_one_process(tmp_path: Path, four_hosts: list[Host], count: int) -> None:
    many, members = tmp_path / "many.safetensors", four_hosts[:count]
    running = []
    for number, host in enumerate(members):
        place = (f"--nnodes={count}", "--nproc-per-node=1", f"--node-rank={number}")
        where = (f"--master-addr={members[0].address}", "--master-port=29500", f"--local-addr={host.address}")
        command = torchrun(*place, *where, WORKER, many, count, STEPS)
        running.append(host.start(command, env=environment(GLOO_SOCKET_IFNAME=host.interface)))
    assert [process.wait(300) for process in running] == [0] * count
    assert_same(expected_weights(tmp_path, count), load_file(many))


TINY_YAML = "name: tiny\nmodel: {d_model: 16, n_heads: 2, d_ff: 32, n_layers_per_scale: 1, max_seq_len: 64}\n"


def project(folder: Path) -> Path:
    place = folder / "project"
    place.mkdir()
    for number in range(40):
        (place / f"part{number}.py").write_bytes(words(60, number))
    return place


def training(folder: Path, minutes: float, *more: str) -> list[str]:
    config = folder / "tiny.yaml"
    config.write_text(TINY_YAML)
    options = ("--out", folder / "out", "--data", folder / "project", "--minutes", minutes, "--threads", 1)
    return torchrun("--standalone", "--nproc-per-node=2", "-m", "multiscale_transformer.training", config, *options, *more)


@pytest.mark.slow
def test_a_run_of_two_processes_keeps_its_time_box_and_one_of_them_writes(tmp_path: Path) -> None:
    project(tmp_path)
    done = subprocess.run(training(tmp_path, 0.1), env=environment(), check=True, capture_output=True, text=True)
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["seconds"] >= 6.0
    assert record["bytes"] % (2 * record["settings"]["batch_bytes"] // 64 * 64) == 0
    assert json.loads(done.stdout.splitlines()[-1])["bits_per_byte"] == record["held_out"]["bits_per_byte"]
    assert not (tmp_path / "out" / "resume").exists()


@pytest.mark.slow
def test_a_run_whose_process_was_killed_is_saved_and_goes_on(tmp_path: Path) -> None:
    project(tmp_path)
    with subprocess.Popen(training(tmp_path, 0.5), env=environment(), stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        while "bits/byte" not in (line := run.stderr.readline()):
            assert line or run.poll() is None, "ended before it trained"
        children = [int(pid) for pid in subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(run.pid)]).split()]
        os.kill(max(children), signal.SIGKILL)
        run.stderr.read()
    assert run.returncode != 0
    points = sorted((tmp_path / "out" / "resume").iterdir())
    before = json.loads((points[-1] / "progress.json").read_text())["progress"]
    assert 0 < before["seconds"] < 30
    subprocess.run(training(tmp_path, 0.5, "--resume"), env=environment(), check=True)
    after = json.loads((tmp_path / "out" / "training.json").read_text())
    assert after["steps"] > before["step"]
    assert after["seconds"] >= 30.0
