"""The number of threads follows what was fastest lately, on simulated machines that are quiet, busy, or change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.engine.thread_choice import TRY_SELDOM, ThreadChoice


def run(choice: ThreadChoice, steps: int, seconds: dict[int, float], size: int = 64) -> list[int]:
    """The threads of so many steps on a machine where a step takes `seconds` by its threads."""
    chosen = []
    for _ in range(steps):
        threads = choice.threads(size)
        choice.record(threads, size, seconds[threads] * size)
        chosen.append(threads)
    return chosen


QUIET, BUSY = {1: 1.0, 4: 0.4}, {1: 1.1, 4: 90.0}


@pytest.mark.parametrize(("machine", "best"), [(QUIET, 4), (BUSY, 1)])
def test_nearly_all_steps_are_done_the_faster_way(machine: dict[int, float], best: int) -> None:
    chosen = run(ThreadChoice(4), 4000, machine)
    assert chosen[6:].count(best) >= 0.99 * len(chosen[6:])
    assert len(set(chosen)) > 1, "the other way is never tried again, so no change would be noticed"


@given(st.integers(7, 500))
def test_a_machine_that_changes_is_followed(before: int) -> None:
    choice = ThreadChoice(4)
    run(choice, before, QUIET)
    assert run(choice, 8, BUSY)[-1] == 1, "a step that takes 90 times as long has to end this at once"
    chosen = run(choice, 2 * TRY_SELDOM, QUIET)
    assert chosen[-1] == 4


def test_one_hiccup_decides_nothing() -> None:
    choice = ThreadChoice(4)
    run(choice, 20, QUIET)
    choice.record(4, 64, 5000.0)
    assert run(choice, 20, QUIET).count(4) >= 18


def test_sizes_are_judged_apart() -> None:
    choice = ThreadChoice(2)
    small, large = {1: 1.0, 2: 3.0}, {1: 1.0, 2: 0.6}
    for _ in range(20):
        run(choice, 1, small, size=1)
        run(choice, 1, large, size=64)
    assert (choice.threads(1), choice.threads(64)) == (1, 2)


def test_one_thread_is_no_choice() -> None:
    assert ThreadChoice(1).threads(64) == 1
