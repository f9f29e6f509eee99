"""The examples run as printed, with small budgets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from held import needs_sandbox
from tiny import words

EXAMPLES = Path(__file__).parents[1] / "examples"
SECONDS = "0.05"
pytestmark = pytest.mark.slow


def run(*arguments: object, status: int = 0) -> str:
    paths = os.pathsep.join([str(EXAMPLES.parent / "src"), os.environ.get("PYTHONPATH", "")])
    command, environment = [sys.executable, *map(str, arguments)], {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)
    assert done.returncode == status, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for number in range(60):
        (folder / f"part{number}.py").write_bytes(words(60, number))
    return folder


@pytest.fixture(scope="module")
def trained(project: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("checkpoints") / "project"
    return out, run(EXAMPLES / "train_on_a_repository.py", project, out, "--minutes", SECONDS)


def test_train_on_a_repository(trained: tuple[Path, str]) -> None:
    out, said = trained
    assert "held out" in said
    assert "bits per byte" in said
    assert "def main(" in said
    assert (out / "training.json").exists()


def test_distil_to_ollama(trained: tuple[Path, str], tmp_path: Path) -> None:
    said = run(EXAMPLES / "distil_to_ollama.py", trained[0], tmp_path / "export", "--minutes", SECONDS)
    assert "student" in said
    assert (tmp_path / "export" / "Modelfile").exists()


def test_swap_memories(project: Path) -> None:
    last = run(EXAMPLES / "swap_memories.py", project).splitlines()[-1].split()
    assert float(last[7]) < float(last[0]), "the index saves bits"


def test_custom_model(project: Path) -> None:
    said = run(EXAMPLES / "custom_model.py", project, "--minutes", SECONDS)
    assert said.count("bits per byte") == 2


@needs_sandbox
def test_add_a_skill() -> None:
    assert "return" in run(EXAMPLES / "add_a_skill.py", "def same(x):", "same(4)", 4)
    assert "none of" in run(EXAMPLES / "add_a_skill.py", "def same(x):", "same(4)", "object()", status=1)


def test_each_example_is_tested() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(path.name in text for path in EXAMPLES.glob("*.py"))
