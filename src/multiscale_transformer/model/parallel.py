"""Several cores for one computation: threads that each take the next piece of work, and never wait inside an operation.

PyTorch's own threads share every single operation and meet at its end. Waiting there, they spin: on a machine that does nothing
else that is fastest, but when one of them loses its core to another program, all others burn theirs until it comes back (two
threads beside two busy programs were left with a fifth of their speed, docs/log.md). Here each thread computes with one thread
of PyTorch, takes whole pieces (a micro-batch, a batch of windows) from one queue, and sleeps when there is none. A thread that
is held up does fewer pieces; results are taken in the order of the pieces, so they do not depend on who did what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class Workers:
    """`count` threads with one thread of PyTorch each; one worker is the thread that calls, with as many as it has.

    Within the `with` block the calling thread, too, computes with one thread of PyTorch, since the others use the cores.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None
        self._threads = torch.get_num_threads()

    def __enter__(self) -> Workers:
        if self.count > 1:
            self._threads = torch.get_num_threads()
            torch.set_num_threads(1)
            self._pool = ThreadPoolExecutor(self.count, "axl-worker", initializer=torch.set_num_threads, initargs=(1,))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)  # pieces that run are waited for: they hold what the caller now frees
            self._pool = None
            torch.set_num_threads(self._threads)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For work that cannot be cut in pieces: the calling thread has PyTorch's own threads again."""
        torch.set_num_threads(self._threads)
        try:
            yield
        finally:
            if self._pool is not None:
                torch.set_num_threads(1)

    def submit(self, work: Callable[[Piece], Result], piece: Piece) -> Future[Result]:
        """Queue `work(piece)`; outside the `with` block, or with one worker, it is done at once."""
        if self._pool is not None:
            return self._pool.submit(work, piece)
        done: Future[Result] = Future()
        done.set_result(work(piece))
        return done

    def map(self, work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
        """`work` of every piece, in the order of the pieces; raises what the first failing one raises.

        A few pieces more than there are workers are begun at any time, however many there are.
        """
        waiting: list[Future[Result]] = []
        for piece in pieces:
            waiting.append(self.submit(work, piece))
            if len(waiting) > 2 * self.count:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
