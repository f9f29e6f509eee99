"""What a terminal and a pipe get: a live bar here, plain text there, and no traceback when the reader goes away."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from calling import QUICK, Trained

pty = pytest.importorskip("pty")
UNSET = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONUNBUFFERED")
AXL = Path(sys.executable).parent / "axl"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]m|\x1b\[38;")


def environment(**changes: str) -> dict[str, str]:
    known = {name: value for name, value in os.environ.items() if name not in UNSET}
    return {**known, "OMP_NUM_THREADS": "1", "TERM": "xterm-256color", **changes}


def piped(*words: str | Path, given: bytes = b"", **changes: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([AXL, *words], input=given, capture_output=True, env=environment(**changes), timeout=120, check=False)


def in_terminal(*words: str | Path, columns: int = 80, **changes: str) -> str:
    """What a terminal of `columns` is sent by `axl words…`."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [AXL, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment(COLUMNS=str(columns), **changes)
    ):
        os.close(theirs)
        sent = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # how Linux says that the other end is closed
                piece = b""
            if not piece:
                break
            sent += piece
    os.close(ours)
    return sent.decode()


def complete(trained: Trained, prompt: str = "def f(x):", *more: str) -> list[str | Path]:
    return ["complete", prompt, "--model", trained.folder, "--threads", "1", "--seed", "0", "--max-tokens", "20", *more]


def test_the_installed_command_says_its_version() -> None:
    assert piped("--version").stdout.startswith(b"axl ")
    refused = piped("train", "--config", "nowhere.yaml")
    assert (refused.returncode, refused.stdout, refused.stderr.count(b"\n")) == (2, b"", 1)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 40])
def test_training_is_live_in_a_terminal(work: Path, project: Path, config: Path, columns: int) -> None:
    long = "a-folder-with-a-name-that-is-longer-than-a-line-of-the-narrow-terminal-is-wide"
    options = ("--config", config, "--data", project, "--out", long, "--minutes", "0.03", "--threads", "1")
    sent = in_terminal("train", *options, columns=columns)
    assert re.search(r"\d\.\d{3} bits/byte", sent)
    assert COLOUR.search(sent)
    plain = CONTROL.sub("", sent)
    assert f"--model {long}\r\n" in plain  # to be copied whole
    after = plain[plain.rindex("Bits per byte") :]
    assert "training" not in after  # the bar is gone


@pytest.mark.slow
def test_a_pipe_gets_lines_without_control_codes(work: Path, project: Path, config: Path) -> None:
    done = piped("train", "--config", config, "--data", project, "--out", "run", *QUICK, COLUMNS="40")
    assert done.returncode == 0, done
    assert b"\x1b" not in done.stdout + done.stderr
    assert b"\n\n\n" not in done.stdout + done.stderr
    assert re.search(
        rb"^Model +tiny: .* context 128 bytes, with the training files as its memory$", done.stdout, re.MULTILINE
    )  # one line however wide


@pytest.mark.slow
def test_no_color_and_dumb_terminals_are_heeded(trained: Trained) -> None:
    assert COLOUR.search(in_terminal("suggest", "--threads", "1"))
    assert not COLOUR.search(in_terminal("suggest", "--threads", "1", NO_COLOR="1"))
    assert not CONTROL.search(in_terminal("models", TERM="dumb"))
    assert "\x1b[2mdef f(x):" in in_terminal(*complete(trained))
    assert "\x1b" not in in_terminal(*complete(trained), TERM="dumb")


@pytest.mark.slow
def test_complete_in_a_pipe_is_the_text_and_nothing_else(trained: Trained) -> None:
    prompt = b"def f(x):\n\treturn\xff"  # a tab, and half a character
    done = piped(*complete(trained, "-"), given=prompt)
    assert done.returncode == 0, done
    assert done.stderr == b""
    assert done.stdout.startswith("def f(x):\n\treturn\N{REPLACEMENT CHARACTER}".encode())
    assert b"\x1b[" not in done.stdout
    ascii_only = piped(*complete(trained, "é"), PYTHONIOENCODING="ascii")
    assert (ascii_only.returncode, ascii_only.stdout[:1]) == (0, b"?")


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_defect(trained: Trained) -> None:
    words = [AXL, *complete(trained, "def f(x):\n", "--max-tokens", "5000", "--temperature", "0")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        pieces = [os.read(process.stdout.fileno(), 1 << 16) for _ in range(3)]
        assert 0 < len(pieces[0]) < 1000  # it comes as it is written, not a buffer at a time
        assert b"".join(pieces).startswith(b"def f(x):\n")
        process.stdout.close()
        assert process.stderr.read() == b""
