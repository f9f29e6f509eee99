"""Threads meet: nobody passes before all have come, also when there are more of them than cores, and nobody sleeps for ever."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from numba import njit

from multiscale_transformer.kernels import barrier
from multiscale_transformer.kernels.barrier import LINE, SIZE, barrier_wait, new_barrier


@njit(nogil=True)
def _march(state, seen, turns, thread, threads):  # type: ignore[no-untyped-def]
    """Count the turns in which another thread was behind after all had met."""
    behind = 0
    for turn in range(turns):
        seen[thread, 0] = turn
        barrier_wait(state, threads)
        for other in range(threads):
            behind += seen[other, 0] < turn
        barrier_wait(state, threads)
    return behind


def march(threads: int, turns: int) -> int:
    state, seen, behind = new_barrier(), np.zeros((threads, LINE), np.int64), [-1] * threads

    def one(thread: int) -> None:
        behind[thread] = _march(state, seen, turns, thread, threads)

    others = [threading.Thread(target=one, args=(thread,)) for thread in range(1, threads)]
    for other in others:
        other.start()
    one(0)
    for other in others:
        other.join()
    assert not state.any() or list(state[[barrier.ARRIVED, barrier.ASLEEP]]) == [0, 0]
    return sum(behind)


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_nobody_passes_before_all_have_come(threads: int) -> None:
    assert march(threads, 2000) == 0


def test_on_one_core_they_give_way_to_each_other() -> None:
    """With a busy program beside them; what spins instead of sleeping needs minutes for this."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system cannot bind a process to a core")
    core = min(os.sched_getaffinity(0))
    code = f"import os, test_barrier; os.sched_setaffinity(0, {{{core}}}); assert test_barrier.march(4, 3000) == 0"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=300)


def test_the_state_shares_no_cache_line_with_anything() -> None:
    state = new_barrier()
    assert state.shape == (SIZE,)
    assert state.flags.c_contiguous
    assert state.base is not None
    assert state.base.nbytes >= state.nbytes + 2 * 8 * LINE
