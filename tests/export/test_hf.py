"""The folder for transformers, in an environment where AXL is not: the same greedy bytes, cached and uncached."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest
import torch

from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.engine.scheduler import Request, Scheduler
from multiscale_transformer.errors import AxlError
from multiscale_transformer.export.hf import MODULES, code, export_hf
from multiscale_transformer.export.pt import export_pt
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.model.vocabulary import BOS
from server.client_folders import python_of
from tiny import checkpoint

CONFIG = ModelConfig(d_model=64, n_heads=2, d_ff=96, n_layers_per_scale=2, memory=True, max_seq_len=256)
CONFIGS = {"scales": CONFIG, "words": CONFIG.model_copy(update={"downsample_factors": (1,), "word_layers": 2, "conv_taps": 3})}
PROMPT = "def area(é):\n    "
SCRIPT = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

folder, prompt = sys.argv[1], sys.argv[2]
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
ids = tokenizer(prompt, return_tensors="pt").input_ids
greedy = dict(max_new_tokens=40, do_sample=False, eos_token_id=None)
out = {"ids": ids[0].tolist(), "text": tokenizer.decode(ids[0], skip_special_tokens=True)}
for name, cached in (("cached", True), ("uncached", False)):
    out[name] = model.generate(ids, use_cache=cached, **greedy)[0].tolist()
write = pipeline("text-generation", model=folder, trust_remote_code=True)
out["piped"] = write(prompt, max_new_tokens=5)[0]["generated_text"]
out["loss"] = float(model(ids, labels=ids).loss)
print(json.dumps(out))
"""


@pytest.fixture(scope="module", params=CONFIGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder, out = tmp_path_factory.mktemp("checkpoint"), tmp_path_factory.mktemp("hf") / "model"
    checkpoint(CONFIGS[request.param], folder)
    export_hf(folder, out, "AXL-Tiny")
    return folder, out


def test_the_code_is_whole_and_needs_only_torch_and_transformers() -> None:
    files = code()
    assert set(files) == {"modeling_axl.py", *(f"axl_{module}.py" for module in MODULES)}
    for text in files.values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                assert {name.name.split(".")[0] for name in node.names} <= {"torch", "math"}
            elif isinstance(node, ast.ImportFrom) and node.level:
                assert f"{node.module}.py" in files
            elif isinstance(node, ast.ImportFrom):
                library = {"typing", "types", "collections", "contextlib", "dataclasses", "functools", "__future__"}
                assert str(node.module).split(".")[0] in library | {"torch", "transformers"}


def test_an_export_is_whole_or_not_there(exported: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="already exists"):
        export_hf(*exported, "again")
    with pytest.raises(AxlError, match="no folder"):
        export_hf(tmp_path / "absent", tmp_path / "out", "x")
    assert not (tmp_path / "out").exists()
    assert json.loads((exported[1] / "config.json").read_text())["model_type"] == "multiscale_transformer"
    assert (exported[1] / "README.md").read_text().startswith("---\nlibrary_name: transformers\n")


@pytest.mark.slow
def test_transformers_alone_writes_the_same_bytes(exported: tuple[Path, Path], tmp_path: Path) -> None:
    folder, out = exported
    environment = {"HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    command = [python_of("transformers"), "-c", SCRIPT, str(out), PROMPT]
    answer = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
    assert answer.returncode == 0, answer.stderr[-3000:]
    theirs = json.loads(answer.stdout.splitlines()[-1])
    ids = [BOS, *PROMPT.encode()]
    assert theirs["ids"] == ids
    assert theirs["text"] == PROMPT
    assert theirs["cached"] == theirs["uncached"]
    sampling = Sampling(temperature=0.0, max_new_tokens=40, logit_bias={257: -100.0})
    pieces = list(Scheduler(load_engine(folder)).stream(Request(ids, sampling)))
    ours = [drawn.id for piece in pieces for drawn in piece.drawn]
    reference = load_model(folder).generate(ids, temperature=0.0, max_new_tokens=40, logit_bias={257: -100.0})
    assert theirs["cached"] == reference
    assert ours[:20] == reference[len(ids) : len(ids) + 20], "8 bits may come to differ where two bytes are as likely"
    assert theirs["piped"].startswith(PROMPT)
    assert theirs["loss"] > 0


def test_the_published_file(exported: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = exported
    export_pt(folder, tmp_path / "axl_tiny.pt")
    content = torch.load(tmp_path / "axl_tiny.pt", weights_only=True)
    assert content.keys() == {"config", "model_state_dict"}
    model = MultiScaleTransformer(ModelConfig(**content["config"]))
    model.load_state_dict(content["model_state_dict"])
    ids = torch.tensor([[BOS, *PROMPT.encode()]])
    with torch.inference_mode():
        assert torch.equal(model.eval()(ids), load_model(folder)(ids))
    with pytest.raises(AxlError, match="already exists"):
        export_pt(folder, tmp_path / "axl_tiny.pt")
