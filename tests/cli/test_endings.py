"""Streams that are closed or full, locales and terminals that can do little, signals: a line or nothing, never a traceback."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from calling import call
from pydantic import BaseModel, Field

from multiscale_transformer.cli import main as main_module
from multiscale_transformer.cli import memory_args
from multiscale_transformer.cli.endings import SignalledError, ended_by_signals, open_streams, status_of
from multiscale_transformer.errors import AxlError
from multiscale_transformer.training.trainer import uninterrupted
from multiscale_transformer.zoo import library

PROGRAM = "import sys; from multiscale_transformer.cli.main import main; sys.exit(main())"


def shell(line: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of `line`, in which AXL is the command."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **changes}
    line = line.replace("AXL", f'"{sys.executable}" -c "{PROGRAM}"')
    return subprocess.run(["bash", "-c", line], env=environment, text=True, capture_output=True, timeout=120, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_device_is_called_by_its_name() -> None:
    done = shell("AXL models > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "axl: standard output: No space left on device; free some space, or write elsewhere\n"
    assert shell("AXL models --nothing 2> /dev/full").returncode == 2


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("AXL models >&-", 0),
        ("AXL models 2>&- ; exit $?", 0),
        ("AXL models <&-", 0),
        ("AXL models <&- >&- 2>&-", 0),
        ("AXL train --config nowhere.yaml >&- 2>&-", 2),
    ],
)
def test_closed_streams_are_no_defect(line: str, status: int) -> None:
    done = shell(line)
    assert (done.returncode, done.stderr) == (status, "")


def test_a_reader_that_goes_away_ends_it_in_silence() -> None:
    done = shell("AXL models | head -n 1")
    assert done.stdout.startswith("Shipped models")
    assert done.stderr == ""
    done = shell("AXL models | true; exit ${PIPESTATUS[0]}")  # who ends before anything is written
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    "changes",
    [
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TERM": "odd", "COLUMNS": "1"},
        {"NO_COLOR": "1", "COLUMNS": "1", "FORCE_COLOR": "1"},
    ],
)
def test_any_terminal_gets_its_words(changes: dict[str, str]) -> None:
    done = shell("AXL --help && AXL models", **changes)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_letters_that_are_none_are_read_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", given)
    open_streams()
    assert given.readline() == "caf\N{REPLACEMENT CHARACTER}\n"


def test_input_that_somebody_has_begun_to_read_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.TextIOWrapper(io.BytesIO(b"one\ntwo\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", given)
    assert given.readline() == "one\n"
    open_streams()
    assert given.readline() == "two\n"


def test_a_signal_is_an_interrupt_with_its_status() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SignalledError) as raised, ended_by_signals():
        signal.raise_signal(signal.SIGTERM)
    assert (status_of(raised.value), status_of(KeyboardInterrupt())) == (143, 130)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_step_is_finished_before_the_signal_is_heard() -> None:
    done = []

    def step() -> None:
        with ended_by_signals(), uninterrupted():
            signal.raise_signal(signal.SIGTERM)
            done.append("step")

    with pytest.raises(SignalledError):
        step()
    assert done == ["step"]


@pytest.mark.slow
def test_other_commands_clean_up_and_say_which_signal_it_was(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", PROGRAM, "index", "stdlib", "--out", str(tmp_path / "index")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not any(tmp_path.iterdir()):  # it writes
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_refused_setting_is_named_as_its_option(monkeypatch: pytest.MonkeyPatch) -> None:
    class Settings(BaseModel):
        learning_rate: float = Field(gt=0)

    monkeypatch.setattr(main_module, "app", lambda *_, **__: Settings(learning_rate=-1.0))
    assert call("train").err.startswith("axl: --lr: ")


def test_help_says_the_true_number_of_threads() -> None:
    for name, said in (("train", "all cores"), ("complete", "default: 1"), ("serve", "default: 1")):
        assert said in " ".join(call(name, "--help").out.replace("│", " ").split()), name


def test_without_a_cache_folder_the_library_is_indexed_for_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(on_wait: object) -> Path:
        raise AxlError("cannot write CACHE")

    made: list[Path] = []
    build: Callable[..., object] = lambda folder, *_: made.append(folder)  # noqa: E731
    monkeypatch.setattr(library, "library_index", refuse)
    monkeypatch.setattr(library, "library_is_indexed", lambda: False)
    monkeypatch.setattr(library, "stream_documents", lambda _: iter(()))
    monkeypatch.setattr(library, "build_index", build)
    assert memory_args.index_folders(["stdlib"]) == made
    said = " ".join(capsys.readouterr().err.split())
    assert "cannot write CACHE" in said
    assert "XDG_CACHE_HOME" in said
    assert "--memory none" in said
