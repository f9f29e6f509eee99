"""A run that is interrupted or killed in earnest, in a process of its own, goes on and ends as if nothing had happened."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no such signals"),
]

# The command as it is, but with a resume point every fifth of a second, and open to Ctrl-C also when the tests run in the
# background of a shell, whose children ignore it, and to a hangup under nohup.
OFTEN = """
import signal, sys
from multiscale_transformer.cli.main import main
from multiscale_transformer.training import resume
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
resume.EVERY_SECONDS = 0.2
sys.exit(main())
"""


def start(work: Path, *words: str | Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", OFTEN, *map(str, words)]
    return subprocess.Popen(command, cwd=work, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def newest_step(run: Path) -> int:
    """The step of the newest resume point, 0 when there is none."""
    return max((int(path.name) for path in (run / "resume").glob("[0-9]*")), default=0)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_what_ends_a_container_saves_the_run(work: Path, config: Path, project: Path, number: int, status: int) -> None:
    run = work / "run"
    process = start(work, "train", "--config", config, "--data", project, "--out", "run", "--minutes", "5", "--threads", "1")
    wait_until(lambda: newest_step(run) > 0, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == status, (out, err)
    assert err.splitlines()[-2:] == ["Interrupted; the run is saved. To go on:", "  axl train --resume --out run"]
    assert newest_step(run) > 0
    assert not list(run.rglob(".*"))


def test_interrupted_then_killed_then_resumed(work: Path, config: Path, project: Path) -> None:
    run = work / "run"
    process = start(work, "train", "--config", config, "--data", project, "--out", "run", "--minutes", "0.1", "--threads", "1")
    wait_until(lambda: newest_step(run) > 0, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert err.splitlines()[-2] == "Interrupted; the run is saved. To go on:"
    program, *words = shlex.split(err.splitlines()[-1])
    assert program == "axl"
    interrupted_at = newest_step(run)

    process = start(work, *words)
    wait_until(lambda: newest_step(run) > interrupted_at, process)
    process.kill()
    process.communicate(timeout=60)
    killed_at = newest_step(run)
    assert killed_at > interrupted_at
    assert not (run / "model.safetensors").exists()

    process = start(work, *words)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (out, err)
    facts = json.loads((run / "training.json").read_text())
    assert facts["steps"] > killed_at
    assert facts["seconds"] >= 6
    assert "held_out" in facts
    with (run / "metrics.csv").open() as stream:
        steps = [int(row["step"]) for row in csv.DictReader(stream)]
    assert steps == sorted(set(steps))
    assert {path.name for path in run.iterdir()} == {
        "README.md",
        "config.json",
        "memory",
        "metrics.csv",
        "model.safetensors",
        "training.json",
    }
