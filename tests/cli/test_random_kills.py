"""Commands killed with SIGKILL at random instants leave whole states alone: the old one or the new one, and runs that resume.

`AXL_KILLS=200 pytest tests/cli/test_random_kills.py` kills 200 times (default: 20, a minute or two). The instants follow from
a seed (`AXL_SEED`), as far as the machine lets them.
"""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from calling import call, code

from multiscale_transformer.memory.index import check_index, load_index
from multiscale_transformer.training.resume import has_resume

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="SIGKILL is of POSIX")]

KILLS, SEED = int(os.environ.get("AXL_KILLS", "20")), int(os.environ.get("AXL_SEED", "0"))
POINT_SECONDS = 0.2  # between resume points, here; a minute in earnest
SLACK_SECONDS = 1.0  # a step and the writing of a point, on a busy machine

# The command itself, from the moment on at which everything is imported.
READY = f"""
import sys
from multiscale_transformer.cli.main import main
from multiscale_transformer.memory import index
if sys.argv[1] in ("train", "export"):
    from multiscale_transformer.cli import training_ui
    from multiscale_transformer.export import hf
    from multiscale_transformer.memory.lookup import warm_up
    from multiscale_transformer.training import resume, run
    resume.EVERY_SECONDS, run.LOG_EVERY_SECONDS = {POINT_SECONDS}, 0.02
    warm_up()
print("ready", flush=True)
sys.exit(main())
"""


@dataclass(frozen=True)
class Kind:
    """A kind of command: what is there before, the command, what must hold after a kill, and the next command of its kind."""

    prepare: Callable[[Path], None]
    words: tuple[str, ...]
    check: Callable[[Path], None]
    go_on: Callable[[Path], None]


def start(work: Path, words: tuple[str, ...]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", READY, *words],
        cwd=work,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == "ready\n", line + process.stdout.read()
    return process


def done(*words: str) -> str:
    answer = call(*words)
    assert answer.status == 0, answer
    return answer.out


def contents(folder: Path) -> dict[str, bytes]:
    index = load_index(folder)
    check_index(index)
    found = dict(index.documents())
    assert len(found) == len(index)
    return found


def no_litter(work: Path) -> None:
    assert not [str(path) for path in work.rglob(".*")]


def stand_in(place: Path, state: str) -> None:
    """Put the project into a state, at the place by which indexes know it."""
    shutil.rmtree(place / "repo", ignore_errors=True)
    shutil.copytree(place / state / "repo", place / "repo")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Iterator[Path]:
    """Two states of a project, an index of the first and one that updates have scattered, and a small model."""
    folder, before = tmp_path_factory.mktemp("kills"), Path.cwd()
    for state, changed in (("old", 0), ("new", 1000)):
        (folder / state / "repo").mkdir(parents=True)
        for number in range(120):
            text = code(number + changed * (number % 3 == 0))
            (folder / state / "repo" / f"f{number}.py").write_text(text)
    os.chdir(folder)
    shutil.copy(config, folder / "tiny.yaml")
    for state in ("old", "new"):
        stand_in(folder, state)
        done("index", "repo", "--out", f"{state}/index")
    shutil.copytree("old/index", "scattered")
    for number in range(3):
        (folder / "more" / str(number)).mkdir(parents=True)
        (folder / "more" / str(number) / f"more{number}.py").write_text(code(5000 + number))
        done("index", f"more/{number}", "--out", "scattered", "--update")
    train = ("train", "--config", "tiny.yaml", "--data", "old/repo", "--threads", "1", "--minutes", "0.01", "--out", "model")
    done(*train)
    done("export", "hf", "--model", "model", "--out", "export")
    yield folder
    os.chdir(before)


def kinds(place: Path) -> dict[str, Kind]:
    old, new, scattered = (contents(place / name) for name in ("old/index", "new/index", "scattered"))
    exported = {path.name: path.read_bytes() for path in (place / "export").iterdir()}
    repo = str(place / "repo")
    train = ("train", "--config", "tiny.yaml", "--data", repo, "--threads", "1", "--minutes", "0.04", "--out", "run")

    def with_repo(state: str, index: str | None = None) -> Callable[[Path], None]:
        def prepare(work: Path) -> None:
            stand_in(place, state)
            shutil.copy(place / "tiny.yaml", work)
            if index is not None:
                shutil.copytree(place / index, work / "index")

        return prepare

    def one_of(*wanted: dict[str, bytes]) -> Callable[[Path], None]:
        def check(work: Path) -> None:
            assert contents(work / "index") in wanted

        return check

    def absent_or_built(work: Path) -> None:
        assert not (work / "index").exists() or contents(work / "index") == old

    def build(work: Path) -> None:
        if not (work / "index").exists():
            done("index", repo, "--out", "index")
        assert contents(work / "index") == old

    def update(work: Path) -> None:
        done("index", repo, "--out", "index", "--update", "--prune")
        assert contents(work / "index") == new
        assert "120 unchanged" in done("index", repo, "--out", "index", "--update", "--prune")

    def merge(work: Path) -> None:
        done("index", "--out", "index", "--merge")
        assert contents(work / "index") == scattered
        assert len(load_index(work / "index").shards) == 1

    def absent_or_exported(work: Path) -> None:
        assert not (work / "out").exists() or {path.name: path.read_bytes() for path in (work / "out").iterdir()} == exported

    def export(work: Path) -> None:
        if not (work / "out").exists():
            done("export", "hf", "--model", str(place / "model"), "--out", "out")
        absent_or_exported(work)

    def resume(work: Path) -> None:
        run = work / "run"
        if has_resume(run) or (run / "training.json").exists():
            if "held_out" not in json.loads((run / "training.json").read_text() if (run / "training.json").exists() else "{}"):
                done("train", "--resume", "--out", "run")
        else:
            done(*train)
        assert "held_out" in json.loads((run / "training.json").read_text())
        done("complete", "x", "--model", "run", "--max-tokens", "1", "--engine", "torch", "--threads", "1")

    return {
        "index": Kind(with_repo("old"), ("index", repo, "--out", "index"), absent_or_built, build),
        "update": Kind(
            with_repo("new", "old/index"), ("index", repo, "--out", "index", "--update", "--prune"), one_of(old, new), update
        ),
        "merge": Kind(with_repo("old", "scattered"), ("index", "--out", "index", "--merge"), one_of(scattered), merge),
        "export": Kind(
            lambda work: None, ("export", "hf", "--model", str(place / "model"), "--out", "out"), absent_or_exported, export
        ),
        "train": Kind(with_repo("old"), train, little_is_lost, resume),
    }


def little_is_lost(work: Path) -> None:
    """The newest resume point is at most one interval behind what the run had logged."""
    run, logged = work / "run", 0.0
    if not (run / "metrics.csv").exists() or (run / "training.json").exists():
        return
    with (run / "metrics.csv").open() as stream:
        for row in csv.DictReader(stream):
            logged = float(row["seconds"] or 0) if row.get("bytes_per_second") else logged
    points = sorted((run / "resume").glob("[0-9]*"))
    kept = json.loads((points[-1] / "progress.json").read_text())["progress"]["seconds"] if points else 0.0
    assert logged - kept <= POINT_SECONDS + SLACK_SECONDS


def test_whole_states_are_all_that_kills_leave(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, killed = random.Random(SEED), 0
    known, lengths = kinds(place), dict[str, float]()
    for number in range(KILLS + len(known)):
        name = list(known)[number % len(known)]
        kind, work = known[name], tmp_path / f"{number}-{name}"
        work.mkdir()
        kind.prepare(work)
        monkeypatch.chdir(work)
        process, begin = start(work, kind.words), time.monotonic()
        if name not in lengths:  # the first of its kind ends by itself, which says how long it takes
            output = process.communicate(timeout=120)[0]
            assert process.returncode == 0, output
            lengths[name] = time.monotonic() - begin
        else:
            time.sleep(rng.uniform(0, lengths[name]))
            killed += process.poll() is None
            process.kill()
            output = process.communicate(timeout=60)[0]
            if process.returncode >= 0:
                assert process.returncode == 0, output
                lengths[name] = min(lengths[name], time.monotonic() - begin)
        kind.check(work)
        kind.go_on(work)
        no_litter(work)
        shutil.rmtree(work)
    assert killed >= KILLS / 3
