"""A sign of life every ten seconds, for log files and pipes, where no bar can move.

Work of less than three seconds stays silent; what takes longer says so, and goes on saying so until it is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FIRST_SECONDS, EVERY_SECONDS = 3.0, 10.0


@contextmanager
def heartbeat(
    say: Callable[[float], None],
    *,
    first: float = FIRST_SECONDS,
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Call `say` with the seconds since the beginning, after the `first` ones and then every ten, from a thread.

    `wait` waits for an event for so many seconds and says whether it came.
    """
    begin, ended = clock(), threading.Event()

    def beat() -> None:
        pause = first
        while not wait(ended, pause):
            say(clock() - begin)
            pause = EVERY_SECONDS

    thread = threading.Thread(target=beat, name="axl-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
