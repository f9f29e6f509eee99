"""Only one process writes; the other hears who, or waits; and whoever was killed holds nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from multiscale_transformer.errors import AxlError
from multiscale_transformer.locks import writing
from tiny import names_in

HOLDING = """
import sys
from pathlib import Path
from multiscale_transformer.locks import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(path)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_the_second_writer_hears_who_the_first_is(tmp_path: Path) -> None:
    holder = hold(tmp_path / "index")
    line = rf"index is being written by .*process {holder.pid} on .*, since 20"
    with pytest.raises(AxlError, match=line) as caught, writing(tmp_path / "index"):
        pass
    assert "\n" not in str(caught.value)
    (tmp_path / "link").symlink_to(tmp_path / "index")
    with pytest.raises(AxlError, match="is being written"), writing(tmp_path / "link"):
        pass
    with writing(tmp_path / "other"):
        pass
    holder.communicate("\n")
    with writing(tmp_path / "index"):
        pass
    assert names_in(tmp_path) == {"link"}


def test_a_killed_writer_holds_nothing(tmp_path: Path) -> None:
    holder = hold(tmp_path / "index")
    holder.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    holder.communicate()
    with writing(tmp_path / "index"):
        pass
    assert not names_in(tmp_path)


def test_one_may_wait_and_is_told_so(tmp_path: Path) -> None:
    holder, told = hold(tmp_path / "cache"), []

    def release(line: str) -> None:
        told.append(line)
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.close()

    with writing(tmp_path / "cache", wait=30, on_wait=release):
        pass
    assert len(told) == 1
    assert "waiting for it" in told[0]
    holder.wait()
    other = hold(tmp_path / "cache")
    with pytest.raises(AxlError, match="is being written"), writing(tmp_path / "cache", wait=0.2):
        pass
    other.communicate("\n")


def test_a_writer_may_ask_again_but_another_thread_may_not(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def other() -> None:
        try:
            with writing(tmp_path / "index"):
                pass
        except AxlError as error:
            errors.append(error)

    with writing(tmp_path / "index"):
        with writing(tmp_path / "index"):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(errors) == 1
    assert f"process {os.getpid()} on" in str(errors[0])


def test_many_writers_take_turns(tmp_path: Path) -> None:
    """The file of a lock goes with the lock, and yet nobody is ever in it beside another."""
    inside = """
import sys
from pathlib import Path
from multiscale_transformer.locks import writing
for _ in range(40):
    with writing(Path(sys.argv[1]) / "shared", wait=60):
        mark = Path(sys.argv[1]) / "mark"
        mark.touch(exist_ok=False)
        mark.unlink()
"""
    processes = [subprocess.Popen([sys.executable, "-c", inside, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert not names_in(tmp_path)


def test_where_the_folder_beside_cannot_be_written_the_lock_lies_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a volume of a container. Root may write everywhere, so here the system is made to say no."""
    (tmp_path / "volume" / "index").mkdir(parents=True)
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / "volume" and may(path, mode))
    with writing(tmp_path / "volume" / "index"):
        assert names_in(tmp_path / "volume" / "index") == {".axl-lock"}
