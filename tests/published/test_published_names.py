"""Every import name of the published system is there, and the Python snippets of its README run as they were printed.

The README lost its indentation on the way to us; nothing else is changed in the snippets. Names that nothing stands behind yet
are listed in MISSING, so that whoever adds one has to move it.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from multiscale_transformer.errors import AxlError
from multiscale_transformer.export.pt import export_pt
from multiscale_transformer.model.checkpoint import load_model, save_model
from multiscale_transformer.model.config import ModelConfig
from tiny import clock_that_ticks_per_step, model_of, words

NAMES = {
    "model.config": ("ModelConfig", "load_config"),
    "model.model": ("MultiScaleTransformer",),
    "training.tokenizer": ("ByteTokenizer",),
    "training.model_builder": ("ModelBuilder", "suggest_models"),
    "training.distill": ("DistillationTrainer",),
    "training.viz": ("TrainLogger",),
    "training.lion": ("Lion",),
    "training.galore": ("GaLore",),
    "training.dataset": ("load_corpus",),
    "training.streaming": ("WindowStream",),
    "data.quality_filter": ("DataFilter",),
    "data.mixture": ("Mixture",),
    "export.gguf_export": ("export_gguf",),
    "export.hf_compat": ("export_hf",),
}
MISSING = ("axl_v2", "benchmarks", "export.ollama_server")  # of the README's tree

LOAD_AND_GENERATE = """
import torch
from multiscale_transformer.model.config import load_config, ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.tokenizer import ByteTokenizer
# Load model
ckpt = torch.load("checkpoints/axl_micro_lion/axl_micro_lion.pt", map_location="cpu")
cfg = ckpt["config"]
config = ModelConfig(
    vocab_size=cfg.get("vocab_size", 258), d_model=cfg.get("d_model", 256),
    n_heads=cfg.get("n_heads", 4), d_ff=cfg.get("d_ff", 688),
    n_layers_per_scale=cfg.get("n_layers_per_scale", 3),
    n_cross_attn_layers=cfg.get("n_cross_attn_layers", 1),
    max_seq_len=cfg.get("max_seq_len", 256),
)
model = MultiScaleTransformer(config)
model.load_state_dict(ckpt["model_state_dict"])
model.eval()
# Generate
tokenizer = ByteTokenizer()
ids = torch.tensor([tokenizer.encode("def fibonacci(n):\\n")], dtype=torch.long)
with torch.no_grad():
    out = model.generate(ids, max_new_tokens=100, temperature=0.8, top_k=40)
print(tokenizer.decode(out[0].tolist()))
"""

FILTER = """
from multiscale_transformer.data.quality_filter import DataFilter
filter = DataFilter(min_lines=2, max_lines=500, require_syntax_valid=True)
clean = filter.filter_file("data/raw_code.txt", "data/clean_code.txt")
"""

SUGGEST = """
from multiscale_transformer.training.model_builder import ModelBuilder, suggest_models
suggestions = suggest_models(available_ram_gb=16.0)
for s in suggestions:
    print(f"{s['name']}: {s['actual_params']/1e6:.0f}M params, {s['estimated_ram_gb']:.1f}GB RAM")
"""

DISTILL = """
from multiscale_transformer.training.distill import DistillationTrainer
trainer = DistillationTrainer(
    teacher_path="checkpoints/axl_code_1b_lion/axl_code_1b_lion.pt",
    student_config=your_student_config,
    temperature=2.0, alpha=0.7,
)
trainer.train(text_data, max_time=600, output_dir="checkpoints/distilled")
"""

LOG = """
from multiscale_transformer.training.viz import TrainLogger
logger = TrainLogger(log_dir="runs/my_experiment", backend="csv")
for step in range(1000):
    logger.log(step, loss=0.5, lr=1e-4)
logger.close()
"""

SHAPE = ModelConfig(d_model=16, n_heads=2, d_ff=32, n_layers_per_scale=1, max_seq_len=64)  # the fields the snippet reads


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def published_checkpoint(name: str) -> None:
    save_model(model_of(SHAPE), Path("trained"))
    Path("checkpoints", name).mkdir(parents=True)
    export_pt(Path("trained"), Path("checkpoints", name, f"{name}.pt"))


@pytest.mark.parametrize("module", NAMES)
def test_published_names_can_be_imported(module: str) -> None:
    imported = importlib.import_module(f"multiscale_transformer.{module}")
    assert all(callable(getattr(imported, name)) for name in NAMES[module])


@pytest.mark.parametrize("module", [*MISSING, "training.no_such_module"])
def test_names_without_anything_behind_them_are_not_there(module: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"multiscale_transformer.{module}")


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import multiscale_transformer; print(*set(sys.modules) - before)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(shown.split()) <= {"multiscale_transformer", "__future__"}


def test_loading_and_generating_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    published_checkpoint("axl_micro_lion")
    exec(LOAD_AND_GENERATE, {})
    assert capsys.readouterr().out.startswith("def fibonacci(n):\n")


def test_filtering_as_printed() -> None:
    Path("data").mkdir()
    Path("data/raw_code.txt").write_text("def f():\n    return 1\n\n\ndef broken(:\n    pass\n")
    exec(FILTER, {})
    assert Path("data/clean_code.txt").read_text() == "def f():\n    return 1\n"


def test_suggesting_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    exec(SUGGEST, {})
    assert "AXL-Micro-Lion: 13M params" in capsys.readouterr().out


def test_distilling_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock on which each step takes two minutes."""
    published_checkpoint("axl_code_1b_lion")
    Path("corpus").mkdir()
    for number in range(4):
        Path(f"corpus/{number}.py").write_bytes(words(60, number))
    clock_that_ticks_per_step(monkeypatch, seconds=120.0)
    exec(DISTILL, {"your_student_config": SHAPE, "text_data": "corpus"})
    assert load_model("checkpoints/distilled").config == SHAPE


def test_logging_as_printed() -> None:
    exec(LOG, {})
    assert len(Path("runs/my_experiment/metrics.csv").read_text().splitlines()) == 1001


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_damaged_published_file_is_said_in_one_line(content: bytes) -> None:
    Path("model.pt").write_bytes(content)
    with pytest.raises(AxlError, match=r"model\.pt is damaged or no checkpoint of AXL") as caught:
        load_model("model.pt")
    assert "\n" not in str(caught.value)
    with pytest.raises(AxlError, match=r"there is no file other\.pt"):
        load_model("other.pt")
