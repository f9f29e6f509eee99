"""Training over slow links: each process takes steps of its own for a while, then all meet and take one outer step (DiLoCo).

torchft brings the processes together: its lighthouse knows who is alive, and each round begins with whoever asks for it. A
process may die at any time, and the others go on without it; one that comes later is given the state of the others first. A
round is a time, not a number of steps, so a slow machine takes fewer steps and nobody waits; a way counts by the bytes it read.

Of torchft only the quorum and the sums are used. Its own DiLoCo counts steps, halves what is sent only with Triton, and gives
state to newcomers as pickles, which are programs; here state is numbers that are added up like everything else.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import TCPStore

from multiscale_transformer.errors import AxlError
from multiscale_transformer.training.outer_step import OuterStep
from multiscale_transformer.training.process_group import ProcessGroup, ProcessLostError

if TYPE_CHECKING:
    from multiscale_transformer.training.trainer import Trainer

ROUND_SECONDS = 30.0
PATIENCE = timedelta(seconds=60)  # for a sum; a process that vanished without a word holds the others up for so long
GATHERING = timedelta(hours=1)  # for others to come
HEARTBEAT = timedelta(seconds=1)  # more often costs more than the sums of a small model
LAST_TRIES = 3


class LocalSgd(ProcessGroup):
    """Member `rank` of at most `count`, who meet at `lighthouse` (http://host:port) every `round_seconds`.

    `address` is where other members reach this one. Raises AxlError without torchft. A member is there from `begin` on, not
    while it reads its data: others wait for those who are there.
    """

    def __init__(
        self, lighthouse: str, rank: int, count: int, address: str, round_seconds: float = ROUND_SECONDS, least: int = 1
    ) -> None:
        if not 0 <= rank < count:
            raise AxlError(f"--member {rank} is not one of {count}: they are counted from 0")
        if find_spec("torchft") is None:
            raise AxlError("training in rounds needs torchft: pip install 'axl[cluster]'")
        self.rank, self.world_size = rank, count
        self.sums = 0  # bytes of all that was summed, for reports
        self.rounds: list[int] = []  # how many members each round had
        self._round_seconds = round_seconds
        self._where = lighthouse, address, least
        self._outer: OuterStep | None = None
        self._next, self._read = 0.0, 0
        self._limit, self._over = math.inf, False

    def begin(self, trainer: Trainer) -> None:
        """Meet the others, and go on as they do when they have begun.

        Raises AxlError for a model that grows, or where no lighthouse answers.
        """
        if trainer.settings.grow:
            raise AxlError("a model that grows has other weights in each process; leave out --grow")
        self._manager, self._group, self._store = _manager(*self._where)
        self._outer, self._limit = OuterStep(trainer.model), trainer.settings.minutes * 60
        self._read = trainer.progress.bytes
        self._meet(trainer)

    def after_step(self, trainer: Trainer) -> None:
        """Meet when the round is over."""
        if time.monotonic() >= self._next:
            self._meet(trainer)

    def clock(self, seconds: float) -> float:
        """What this process counts, until one member has said that the time is over."""
        return max(seconds, self._limit) if self._over else seconds

    def end(self, trainer: Trainer) -> None:
        """Meet once more, so that all end with the same weights: the first whose time is over ends the run for all."""
        with suppress(ProcessLostError):  # nobody else is left, or nobody to ask: what is here is the best there is
            for _ in range(LAST_TRIES):
                if not self._over:
                    self._meet(trainer, over=True, patience=PATIENCE)
        with suppress(Exception):
            self._manager.shutdown(wait=False)

    def _meet(self, trainer: Trainer, *, over: bool = False, patience: timedelta = GATHERING) -> None:
        """Take the outer step with all who are there; one that fails is taken in the next round, with the ways of both."""
        assert self._outer is not None
        try:
            self._manager.start_quorum(allow_heal=False, timeout=patience)
            if self._group.size() > self._manager.num_participants() or self._manager.current_step() == 0:
                self._give_state(trainer)
            read = trainer.progress.bytes - self._read
            total, ends = self._sum(torch.tensor([float(read), float(over)])).tolist()
            mean = self._sum(self._outer.way(read / total)) if total else None
            if self._manager.should_commit():
                self.rounds.append(self._group.size())
                self._read, self._over = trainer.progress.bytes, ends > 0
                if mean is not None:
                    self._outer.take(mean)
        except (RuntimeError, TimeoutError) as error:
            raise ProcessLostError(
                f"the lighthouse of this run does not answer ({_line(error)}); see docs/cluster.md"
            ) from error
        self._next = time.monotonic() + self._round_seconds

    def _give_state(self, trainer: Trainer) -> None:
        """The first of those who know it gives the state of the run to all; those who came late go on with it."""
        assert self._outer is not None
        progress, windows = trainer.progress, sorted({window for _, window in trainer.settings.stages})
        counts = [float(progress.steps_at_window.get(window, 0)) for window in windows]
        facts = torch.tensor([progress.seconds, float(progress.step), float(self._manager.current_step()), *counts])
        state = torch.cat([facts, self._outer.state()])
        rank, first = self._manager.participating_rank(), self._manager.current_step() == 0
        if rank != 0:
            state.zero_()
        state = self._sum(state)
        if self._manager.errored() or rank == 0 or (rank is not None and not first):
            return
        progress.seconds, progress.step = state[0].item(), int(state[1])
        progress.fraction = progress.seconds / (trainer.settings.minutes * 60)
        progress.steps_at_window = {window: int(n) for window, n in zip(windows, state[3 : len(facts)].tolist(), strict=True)}
        self._manager.load_state_dict({"step": int(state[2]), "batches_committed": 0})
        self._outer.load(state[len(facts) :])
        self._read = progress.bytes  # its way ends here: it led from another anchor

    def _sum(self, tensor: Tensor) -> Tensor:
        """The sum over all; what went wrong on the way shows in `should_commit`."""
        self.sums += tensor.numel() * tensor.element_size()
        self._manager.allreduce(tensor, reduce_op=dist.ReduceOp.SUM).wait()
        return tensor


def _manager(lighthouse: str, address: str, least: int) -> tuple[Any, Any, TCPStore]:
    """torchft's manager of this process, its group, and the store that both use as long as they live."""
    from torchft.manager import Manager
    from torchft.process_group import ProcessGroupGloo

    logging.getLogger("torchft").setLevel(logging.ERROR)
    store = TCPStore(address, 0, is_master=True, wait_for_workers=False)
    group = ProcessGroupGloo(timeout=PATIENCE)
    try:
        manager = Manager(
            pg=group,
            load_state_dict=None,
            state_dict=None,
            min_replica_size=least,
            use_async_quorum=False,
            timeout=PATIENCE,
            quorum_timeout=GATHERING,
            connect_timeout=PATIENCE,
            rank=0,
            world_size=1,
            store_addr=address,
            store_port=store.port,
            lighthouse_addr=lighthouse,
            hostname=address,
            heartbeat_interval=HEARTBEAT,
            init_sync=False,
        )
    except (RuntimeError, TimeoutError) as error:
        raise AxlError(f"no lighthouse answers at {lighthouse} ({_line(error)}); see docs/cluster.md") from error
    return manager, group, store


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
