"""Signs of life where no bar can move, on a clock of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.heartbeat import heartbeat


class Clock:
    """Waits of a thread pass at once, so many of them; then it stands still."""

    def __init__(self, pauses: int) -> None:
        self.now, self._left, self.begun, self.done = 0.0, pauses, threading.Event(), threading.Event()

    def run(self) -> None:
        """Let the waits pass."""
        self.begun.set()
        assert self.done.wait(10)

    def wait(self, ended: threading.Event, seconds: float) -> bool:
        self.begun.wait(10)
        if self._left == 0:
            self.done.set()
            return ended.wait()
        self._left -= 1
        self.now += seconds
        return False

    def __call__(self) -> float:
        return self.now


def test_a_line_after_three_seconds_and_then_every_ten() -> None:
    said: list[float] = []
    clock = Clock(4)
    with heartbeat(said.append, wait=clock.wait, clock=clock):
        clock.run()
    assert said == [3, 13, 23, 33]


def test_short_work_is_silent_and_leaves_no_thread() -> None:
    said: list[float] = []
    with heartbeat(said.append, first=60):
        pass
    assert said == []
    assert not [thread for thread in threading.enumerate() if thread.name == "axl-heartbeat"]


@pytest.fixture
def beat(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Clock]:
    def with_clock() -> Clock:
        clock = Clock(2)
        monkeypatch.setattr(ui, "heartbeat", lambda say, **chosen: heartbeat(say, wait=clock.wait, clock=clock, **chosen))
        return clock

    return with_clock


def test_a_bar_in_a_pipe_is_lines_with_the_share_that_is_done(
    beat: Callable[[], Clock], capsys: pytest.CaptureFixture[str]
) -> None:
    clock = beat()
    with ui.bar() as bar:
        task = bar.add_task("reading", total=200)
        bar.update(task, completed=50)
        clock.run()
    assert capsys.readouterr().err.splitlines()[-1] == "reading 25% (13 s)"


def test_a_bar_can_say_at_once_what_it_begins(beat: Callable[[], Clock], capsys: pytest.CaptureFixture[str]) -> None:
    clock = beat()
    with ui.bar(at_once=True) as bar:
        bar.add_task("compiling", total=None)
        clock.run()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "compiling"
    assert lines[-1] == "compiling (20 s)"


def test_work_of_unknown_length_says_how_long_it_takes(beat: Callable[[], Clock], capsys: pytest.CaptureFixture[str]) -> None:
    clock = beat()
    with ui.busy("sorting"):
        clock.run()
    assert capsys.readouterr().err.splitlines() == ["sorting (3 s)", "sorting (13 s)"]
