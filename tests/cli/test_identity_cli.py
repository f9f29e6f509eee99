"""Documents by source and name from the command line: two projects in one index, and names that are no UTF-8."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from calling import QUICK, call, code

from multiscale_transformer.memory.index import load_index


@pytest.fixture
def projects(work: Path) -> Path:
    """Two projects with the same file names."""
    for first, project in ((70, "P1"), (80, "P2")):
        (work / project / "pkg").mkdir(parents=True)
        for number, name in enumerate("abcd"):
            (work / project / "pkg" / f"{name}.py").write_text(code(first + number))
    return work


def test_two_projects_live_in_one_index(projects: Path) -> None:
    assert "8 documents" in call("index", "P1", "P2", "--out", "i").out
    for _ in range(2):
        answer = call("index", "P1", "P2", "--out", "i", "--update", "--prune")
        assert "0 added, 0 replaced, 0 removed, 8 unchanged" in answer.out
    assert "8 documents" in answer.out
    assert "4 documents" in call("index", "P1", "--out", "j").out
    answer = call("index", "P2", "--out", "j", "--update", "--prune")
    assert "4 added, 0 replaced, 0 removed" in answer.out
    assert "8 documents" in answer.out
    assert load_index(Path("j")).sources == [f"{projects}/P1", f"{projects}/P2"]
    (projects / "P2/pkg/a.py").unlink()
    answer = call("index", "P2", "--out", "j", "--update", "--prune")
    assert "0 added, 0 replaced, 1 removed, 3 unchanged" in answer.out


def test_the_memory_of_a_run_knows_the_sources(projects: Path, config: Path) -> None:
    assert call("train", "--config", config, "--data", "P1", "--data", "P2", "--out", "run", *QUICK).status == 0
    index = load_index(Path("run/memory"))
    assert {source for source, _ in index.digests()} == {f"{projects}/P1", f"{projects}/P2"}
    assert call("eval", "bpb", "--model", "run", "--threads", "1").status == 0


@pytest.mark.parametrize("locale", [{}, {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_names_that_are_no_utf8_are_indexed_and_trained_on(locale: dict[str, str], projects: Path, config: Path) -> None:
    (projects / "P1" / os.fsdecode(b"caf\xe9.py")).write_text(code(90) + code(91))
    (projects / "P1" / "日本.py").write_text(code(92))
    script = "import sys, multiscale_transformer.cli.main as m; sys.exit(m.main(sys.argv[1:]))"

    def run(*words: str | Path) -> str:
        command, environment = [sys.executable, "-c", script, *words], {**os.environ, **locale}
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done
        return done.stdout.decode()

    assert "6 documents" in run("index", "P1", "--out", "i")
    assert "6 unchanged" in run("index", "P1", "--out", "i", "--update", "--prune")
    names = {name for _, name in load_index(Path("i")).digests()}
    assert {"caf\udce9.py", "日本.py"} < names
    assert "5 documents" in run("index", "--out", "i", "--remove", os.fsdecode(b"caf\xe9.py"))
    run("train", "--config", config, "--data", "P1", "--out", "run", *QUICK)
    run("eval", "bpb", "--model", "run", "--threads", "1")
    data = json.loads(Path("run/training.json").read_text(encoding="utf-8"))["data"]
    assert data["train_documents"] + data["held_out_documents"] == 6
    prompt = code(90)[:300]
    run("complete", prompt, "--model", "run", "--memory", "i", "--max-tokens", "20", "--explain", "--threads", "1")
