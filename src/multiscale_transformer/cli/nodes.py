"""`axl train --nodes host1,host2`: the command that each machine has to run, and this machine's part of it.

Nothing here logs in anywhere: who starts programs on other machines, and with which rights, is not for a trainer to decide.
So the lines are printed to be pasted, and the one of this machine is run, if it is among the hosts.
"""

from __future__ import annotations

import ipaddress
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence

import psutil
import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.errors import AxlError

PORT = 29500  # torchrun's own
TRAINING = "multiscale_transformer.training"


def node_commands(nodes: Sequence[str], options: Sequence[str]) -> list[list[str]]:
    """What to run on each of the hosts, the first of which leads; `options` are those of `multiscale_transformer.training`."""
    leads = f"{nodes[0]}:{PORT}" if ":" not in nodes[0] else f"[{nodes[0]}]:{PORT}"
    where = ["--rdzv-backend=static", f"--rdzv-endpoint={leads}", f"--nnodes={len(nodes)}", "--nproc-per-node=1"]
    return [
        ["torchrun", *where, f"--node-rank={rank}", f"--local-addr={node}", "-m", TRAINING, *options]
        for rank, node in enumerate(nodes)
    ]


def hosts_of(text: str) -> list[str]:
    """The hosts of `--nodes`. Raises AxlError for fewer than two, or one that is named twice."""
    nodes = [node.strip() for node in text.split(",") if node.strip()]
    if len(nodes) < 2 or len(set(nodes)) < len(nodes):
        raise AxlError("--nodes takes two hosts or more, each once, with commas between: --nodes anna.local,bert.local")
    return nodes


def start_together(nodes: Sequence[str], options: Sequence[str]) -> None:
    """Print the command of each host, and run this machine's; ends the command with its status."""
    commands = node_commands(nodes, options)
    here = [rank for rank, node in enumerate(nodes) if is_here(node)]
    if len(here) > 1:
        raise AxlError(f"{nodes[here[0]]} and {nodes[here[1]]} are both this machine; name each machine once")
    ui.print_text("Each machine needs this program and the same data at the same place, and runs its own line:")
    for node, command in zip(nodes, commands, strict=True):
        ui.print_text(f"\n# {node}")
        ui.print_command(shlex.join(command))
    if not here:
        return
    ui.print_text(f"\n{nodes[here[0]]} is this machine: its part begins, and waits for the others")
    own = [sys.executable, "-m", "torch.distributed.run", *commands[here[0]][1:]]
    raise typer.Exit(subprocess.run(own, check=False).returncode)


def is_here(node: str) -> bool:
    """Whether a host name or address is this machine's."""
    if node in (socket.gethostname(), socket.getfqdn()):
        return True
    own = {address.address.split("%")[0] for found in psutil.net_if_addrs().values() for address in found}
    try:
        return str(ipaddress.ip_address(node)) in own
    except ValueError:
        pass
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(node, None)}
    except OSError:
        return False
    return bool(found & own)
