"""Data parallel training: after each step the gradients of all processes are added up (`torch.distributed`, gloo).

N processes with batches of b bytes compute what one computes with a batch of N * b, up to the rounding of sums. The sum is one
all-reduce of one buffer: `DistributedDataParallel` overlaps it with the backward pass, but it needs one backward pass, and ours
are as many as there are threads. `torchrun` starts the processes and says who they are (RANK, WORLD_SIZE).
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from multiscale_transformer.errors import AxlError
from multiscale_transformer.training.process_group import ProcessGroup, ProcessLostError
from multiscale_transformer.training.resume import newest_point, point_in

PATIENCE = timedelta(minutes=30)  # for the slowest process, which may build its memory


def under_torchrun() -> bool:
    """Whether `torchrun` started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


class DataParallel(ProcessGroup):
    """The processes of `torch.distributed`, whose steps are one step."""

    together = True

    def __init__(self) -> None:
        self.rank, self.world_size = dist.get_rank(), dist.get_world_size()
        self.local_world_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self._buffer: Tensor | None = None

    def added(self, parameters: Sequence[nn.Parameter], loss: float) -> float:
        """Put the sums of all gradients into `grad`; returns the sum of the losses.

        A weight that no process has a gradient for keeps none. Raises ProcessLostError when a process has gone.
        """
        gradients = [parameter.grad for parameter in parameters]
        sizes = [parameter.numel() for parameter in parameters]
        length = sum(sizes) + len(parameters) + 1
        if self._buffer is None or len(self._buffer) != length:
            self._buffer = torch.empty(length)
        *places, has, shown = torch.split(self._buffer, [*sizes, len(parameters), 1])
        has.copy_(torch.tensor([float(gradient is not None) for gradient in gradients]))
        shown.fill_(loss)
        for place, gradient in zip(places, gradients, strict=True):
            place.zero_() if gradient is None else place.copy_(gradient.flatten())
        with _others_there():
            dist.all_reduce(self._buffer)
        for parameter, place, there in zip(parameters, places, has.tolist(), strict=True):
            parameter.grad = place.view_as(parameter).to(parameter.device, copy=True) if there else None
        return float(shown)

    def clock(self, seconds: float) -> float:
        """The seconds of the first process: all leave off after the same step. Raises ProcessLostError."""
        shared = torch.tensor([seconds], dtype=torch.float64)
        with _others_there():
            dist.broadcast(shared, 0)
        return float(shared)

    def dtype(self, own: torch.dtype) -> torch.dtype:
        """bf16 where that is the faster one on all machines."""
        wanted = torch.tensor([own == torch.bfloat16], dtype=torch.int32)
        with _others_there():
            dist.all_reduce(wanted, dist.ReduceOp.MIN)
        return torch.bfloat16 if wanted.item() else torch.float32

    def check_same(self, what: str) -> None:
        """Refuse processes that were started with something else. Raises AxlError in all of them."""
        digest = torch.frombuffer(bytearray(sha256(what.encode("utf-8", "surrogateescape")).digest()), dtype=torch.uint8)
        digests = [torch.empty_like(digest) for _ in range(self.world_size)]
        with _others_there():
            dist.all_gather(digests, digest)
        others = [str(rank) for rank, other in enumerate(digests) if not torch.equal(other, digests[0])]
        if others:
            raise AxlError(
                f"process {', '.join(others)} of {self.world_size} trains another model, on other data or with other settings; "
                "start all with the same command and the same files"
            )

    def share_point(self, folder: Path) -> bool:
        """Give the resume point of the first process, where there is one, to `folder` of the others; says whether there is."""
        newest = newest_point(folder) if self.rank == 0 else None
        sizes = {path.name: path.stat().st_size for path in sorted(newest.iterdir())} if newest else {}
        sizes = json.loads(_broadcast(json.dumps(sizes).encode()))
        place = newest or point_in(folder)
        if sizes and self.rank:
            place.mkdir(parents=True)
        for name in sizes:
            path = place / Path(name).name
            content = _broadcast(path.read_bytes() if self.rank == 0 else b"")
            if self.rank:
                path.write_bytes(content)
        return bool(sizes)


@contextmanager
def joined_group() -> Iterator[DataParallel]:
    """The processes that `torchrun` started, for the block. Raises AxlError when they do not find each other."""
    # Its defaults hold the group that is there when it is first imported, as optimizers do. Threads of a group that outlives
    # its end drop tensors while Python ends, and abort the process (pytorch#190489).
    importlib.import_module("torch.distributed.nn.functional")
    try:
        dist.init_process_group("gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise AxlError(f"the processes do not find each other ({_line(error)}); see docs/cluster.md") from error
    try:
        yield DataParallel()
    finally:
        dist.destroy_process_group()


@contextmanager
def _others_there() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what gloo raises when a connection ends
        raise ProcessLostError(f"another process of this run has gone ({_line(error)}); add --resume to go on") from error


def _broadcast(content: bytes) -> bytes:
    """What the first process has, in all; plain bytes, for pickles of others would be programs of others."""
    size = torch.tensor([len(content)])
    with _others_there():
        dist.broadcast(size, 0)
    whole = torch.empty(int(size), dtype=torch.uint8)
    if dist.get_rank() == 0 and content:
        whole.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    with _others_there():
        dist.broadcast(whole, 0)
    return whole.numpy().tobytes()


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
