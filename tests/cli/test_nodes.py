"""`axl train --nodes` gives each machine the line that it has to run."""

from __future__ import annotations

import socket

import pytest

from multiscale_transformer.cli.nodes import hosts_of, is_here, node_commands
from multiscale_transformer.errors import AxlError
from multiscale_transformer.training.__main__ import parser


def test_each_host_has_its_number_and_all_know_the_first() -> None:
    commands = node_commands(["anna", "bert", "cleo"], ["AXL-Micro", "--out", "m"])
    assert [command[0] for command in commands] == ["torchrun"] * 3
    assert [f"--node-rank={rank}" in command for rank, command in enumerate(commands)] == [True] * 3
    assert all("--rdzv-endpoint=anna:29500" in command and "--nnodes=3" in command for command in commands)
    assert {tuple(command[command.index("-m") :]) for command in commands} == {
        ("-m", "multiscale_transformer.training", "AXL-Micro", "--out", "m")
    }


def test_an_address_of_version_6_is_told_from_its_port() -> None:
    assert "--rdzv-endpoint=[fe80::1]:29500" in node_commands(["fe80::1", "fe80::2"], [])[1]


@pytest.mark.parametrize("text", ["", "anna", "anna,", "anna,anna"])
def test_fewer_than_two_hosts_are_refused(text: str) -> None:
    with pytest.raises(AxlError, match="two hosts"):
        hosts_of(text)


def test_this_machine_is_known_by_name_and_address() -> None:
    assert is_here(socket.gethostname())
    assert is_here("127.0.0.1")
    assert not is_here("203.0.113.7")  # of the block for documentation


def test_what_the_command_line_hands_over_is_what_the_processes_take() -> None:
    words = ["AXL-Micro", "--out", "m", "--minutes", "2", "--optimizer", "lion", "--lr", "0.1", "--seed", "3"]
    words += ["--threads", "2", "--fim-rate", "0.1", "--grow", "--no-memory", "--resume", "--data", "a", "--data", "b"]
    options = parser().parse_args(words)
    assert (options.data, options.minutes, options.memory, options.grow) == (["a", "b"], 2.0, False, True)
