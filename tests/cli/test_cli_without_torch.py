"""`pip install axl` brings no PyTorch: what serves a model does without it, and what trains one says so in a line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from calling import Trained, call, code

from multiscale_transformer.model.vision import build_vision, save_vision
from vision import drawn, small

BLOCKED = """
import sys
sys.modules["torch"] = None  # as if it were not installed
from multiscale_transformer.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def without_torch(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCKED, *words], capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def repository(work: Path) -> Path:
    (work / "repository").mkdir()
    for number in range(70, 73):
        (work / "repository" / f"f{number}.py").write_text(code(number))
    return work / "repository"


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["train", "--help"], ["distill", "--help"], ["models"], ["compile"]]
)
def test_what_needs_no_model_works(words: list[str]) -> None:
    done = without_torch(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_code_is_read_indexed_and_completed_from(repository: Path) -> None:
    call("complete", "x", "--memory", "none", "--max-tokens", "1")  # the self-test's reference, where it is not kept yet
    assert without_torch("data", repository).returncode == 0
    assert without_torch("index", repository, "--out", "made").returncode == 0
    for memory in ("none", "made"):
        done = without_torch("complete", "def f(x):\n", "--memory", memory, "--max-tokens", "8", "--seed", "1")
        assert done.returncode == 0, done
        assert done.stdout.startswith("def f(x):\n")


def test_a_screenshot_is_read(work: Path) -> None:
    save_vision(build_vision(small.PAGE, seed=0), work / "eyes")
    (work / "shot.png").write_bytes(drawn.page(1)[0])
    done = without_torch("see", "shot.png", "--model", "eyes", "--json")
    assert done.returncode == 0, done
    assert '"elements"' in done.stdout


def test_an_export_of_the_net_alone_works(trained: Trained, work: Path) -> None:
    pytest.importorskip("gguf")
    done = without_torch("export", "gguf", "--model", trained.folder, "--kind", "F16", "--out", "there")
    assert done.returncode == 0, done


@pytest.mark.parametrize(
    "words",
    [
        "train --data repository",
        "train --resume",
        "quickstart",
        "suggest",
        "distill --model shipped --out there",
        "eval bpb --model shipped",
        "export hf --out there",
        "export pt",
        "complete x --engine torch --memory none",
    ],
)
def test_what_needs_it_says_so_in_one_line(words: str, repository: Path) -> None:
    done = without_torch(*words.split())
    assert done.returncode == 2
    assert done.stderr == f"axl: axl {words.split(maxsplit=1)[0]} needs PyTorch: pip install 'axl[train]'\n"
    assert done.stdout == ""
    assert [path.name for path in repository.parent.iterdir()] == ["repository"]
