"""How a command may be ended from outside, and where its words may go: signals, closed streams, full devices.

`docker stop`, a session that logs out and Ctrl-C end a command in the same way: it cleans up, a run saves itself, and the exit
status says which signal it was.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class SignalledError(KeyboardInterrupt):
    """The command is to end; `status` is the shell's for the signal. A KeyboardInterrupt, as it means the same."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def status_of(interrupt: BaseException | None) -> int:
    """The exit status for an interrupt: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return interrupt.status if isinstance(interrupt, SignalledError) else 128 + signal.SIGINT


@contextlib.contextmanager
def ended_by_signals() -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP end what runs as Ctrl-C does, but where they are ignored (nohup) or somebody else's already.

    Yields a list of the signals that came, for callers whose libraries swallow the exception.
    """
    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # a second one must not stop the cleaning up
        came.append(number)
        raise SignalledError(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, end) for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def open_streams() -> None:
    """Give closed standard streams (`>&-`) a place to read nothing from or write nowhere to, and let none fail for a letter."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            with contextlib.suppress(OSError):
                _hold(number)
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(io.UnsupportedOperation):  # of standard input that somebody has begun to read
                stream.reconfigure(errors="replace")  # a terminal that knows no ━ shows a ?, not a traceback


def _hold(number: int) -> None:
    """See that no file gets the number of a closed stream, and with it what libraries write there."""
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)


def give_up_output() -> None:
    """Let nothing more be written to a standard output that takes no more, also not when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
