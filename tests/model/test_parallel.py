"""Pieces of work on several threads: results in order, threads of PyTorch restored, errors passed on, nothing begun early."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.model.parallel import Workers


@given(st.integers(1, 4), st.lists(st.integers(0, 3), max_size=12))
def test_results_come_in_the_order_of_the_pieces(count: int, delays: list[int]) -> None:
    def work(piece: tuple[int, int]) -> int:
        time.sleep(piece[1] / 1000)
        return piece[0]

    with Workers(count) as workers:
        assert list(workers.map(work, list(enumerate(delays)))) == list(range(len(delays)))


def test_every_worker_computes_with_one_thread_and_the_caller_gets_its_own_back() -> None:
    torch.set_num_threads(3)
    with Workers(2) as workers:
        assert torch.get_num_threads() == 1
        assert set(workers.map(lambda _: torch.get_num_threads(), range(8))) == {1}
        with workers.alone():
            assert torch.get_num_threads() == 3
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with Workers(1) as workers:
        assert list(workers.map(lambda _: torch.get_num_threads(), range(2))) == [3, 3]


def test_one_worker_is_the_thread_that_calls() -> None:
    with Workers(1) as workers:
        assert set(workers.map(lambda _: threading.current_thread(), range(3))) == {threading.current_thread()}


def test_several_workers_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=60)
    with Workers(2) as workers:
        assert sorted(workers.map(lambda _: meeting.wait(), range(2))) == [0, 1]


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_is_the_callers_and_what_waits_is_not_begun(count: int) -> None:
    begun = []

    def work(piece: int) -> None:
        begun.append(piece)
        if piece == 0:
            raise ValueError("piece 0")
        time.sleep(0.02)

    with pytest.raises(ValueError, match="piece 0"), Workers(count) as workers:
        list(workers.map(work, range(1000)))
    assert len(begun) <= 3 * count + 1


def test_pieces_are_drawn_as_they_are_needed() -> None:
    drawn = []

    def pieces() -> Iterator[int]:
        for number in range(100):
            drawn.append(number)
            yield number

    with Workers(2) as workers:
        results = workers.map(lambda piece: piece, pieces())
        assert next(results) == 0
        assert len(drawn) <= 6
