"""The published command lines run as printed, but for their budgets: seconds instead of minutes, and little to read.

`tests/published/test_published_names.py` holds the Python snippets of the published README, `test_readme.py` our own.
"""

from __future__ import annotations

import runpy
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
import torch

from multiscale_transformer.model.checkpoint import save_model
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.tasks.package_texts import PackageText
from tiny import model_of

ROOT = Path(__file__).resolve().parents[1]
SHAPE = ModelConfig(d_model=256, n_heads=4, d_ff=256, n_layers_per_scale=1, max_seq_len=64)
TEXT = '''class Circle:
    """A round thing."""

    def area(self, scale=1):
        """How large it is."""
        return scale


def total(numbers):
    result = 0
    # add up all of the numbers
    for number in numbers:
        result += number
    if result:
        return result
    else:
        return 0


total([1, 2])
total([3])
'''


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run `python words…` in this process; its exit status."""
    path = ROOT / words[0]
    monkeypatch.setattr(sys, "argv", [str(path), *words[1:]])
    monkeypatch.syspath_prepend(str(path.parent))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_a_model_is_trained_on_ones_own_text_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("data").mkdir()
    Path("data/my_code.txt").write_text("".join(f"def f{n}(a):\n    return a + {n}\n\n\n" for n in range(2000)))
    words = ["scripts/train_axl_micro.py", "--data_path", "data/my_code.txt", "--max_time", "3"]
    assert script(monkeypatch, *words) == 0
    weights = torch.load("checkpoints/axl_micro_lion/axl_micro_lion.pt", map_location="cpu")
    assert weights["config"]["d_model"] == 256
    assert script(monkeypatch, *words) == 0  # once more leaves it alone
    assert script(monkeypatch, "scripts/retrain_all_lion.py", "--models", "micro", "--max_time", "3") == 0


def test_names_are_those_that_were_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from published import folder_name, recipe_called

    names = {"micro": "AXL-Micro-Lion", "code_1b": "AXL-Code-1B-Lion", "reasoning": "AXL-Reasoning-Lion"}
    assert {short: recipe_called(short, "-lion") for short in names} == names
    assert recipe_called("code_1b_lion") == "AXL-Code-1B-Lion"
    assert recipe_called("translate", "-lion") == "AXL-Translate"
    assert folder_name("AXL-Code-1B-Lion") == "axl_code_1b_lion"


def test_data_of_all_skills_is_made_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [PackageText(name, "MIT", "a.py", TEXT.replace("Circle", f"Circle{n}")) for n, name in enumerate("abcdefgh")]
    monkeypatch.setattr("multiscale_transformer.tasks.package_texts.package_texts", lambda **options: iter(texts))
    assert script(monkeypatch, "scripts/generate_all_training_data.py", "--skip-hf", "--models", "chat", "refactor") == 0
    assert {path.parent.name for path in Path("data").glob("*/train.jsonl")} == {"chat", "refactor"}


def test_code_is_downloaded_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    pip = "multiscale_transformer.data.download.Download.packages"
    monkeypatch.setattr(pip, lambda self, names, options: fetched.extend(names))
    assert script(monkeypatch, "scripts/download_training_data.py", "--max_gb", "5") == 2  # nothing is kept
    assert "requests" in fetched


def test_models_are_quantized_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    save_model(model_of(SHAPE), Path("checkpoints/axl_code_1b_lion"))
    assert script(monkeypatch, "scripts/quantize_all_models.py", "--models", "code_1b_lion") == 0
    assert {path.name for path in Path("checkpoints").glob("*.gguf")} == {
        "axl-code-1b-lion-f16.gguf",
        "axl-code-1b-lion-q4_k_m.gguf",
    }


@pytest.mark.slow
def test_a_checkpoint_is_served_as_printed() -> None:
    save_model(model_of(SHAPE), Path("checkpoints/axl_micro_lion"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["--model", "checkpoints/axl_micro_lion", "--port", port, "--name", "axl-micro-lion"]
    with subprocess.Popen([sys.executable, str(ROOT / "API/serve_model.py"), *words]) as server:
        try:
            url, asked = f"http://localhost:{port}/v1/completions", {"prompt": "def fibonacci(n):", "max_tokens": 100}
            answer = None
            while answer is None:
                assert server.poll() is None
                try:
                    answer = httpx.post(url, json=asked, timeout=60)
                except httpx.ConnectError:
                    time.sleep(0.2)
            assert answer.json()["model"] == "axl-micro-lion"
            assert answer.json()["usage"]["completion_tokens"] <= 100
        finally:
            server.terminate()
