"""Model and optimizer state are updated, saved and loaded without a second copy of either: the kernel counts the peaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CLEAR = Path("/proc/self/clear_refs")  # writing 5 sets the peak back to what is used now

SCRIPT = """
import gc, sys
from pathlib import Path
import torch
from multiscale_transformer.model.checkpoint import TensorFile, load_model, save_model, save_tensors
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.optimizers import build_optimizer

torch.set_num_threads(1)
folder = Path(sys.argv[1])
config = ModelConfig(d_model=256, n_heads=4, d_ff=688, n_layers_per_scale=30, downsample_factors=(1,))


def used(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def peak(name, act):
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = used("VmRSS")
    result = act()
    print(name, used("VmHWM") - before, flush=True)
    return result


def update():
    with optimizer.in_backward(1.0):
        sum(weight.sum() for weight in model.parameters()).backward()


load_model_once = MultiScaleTransformer(config.model_copy(update={"n_layers_per_scale": 1}))
save_model(load_model_once, folder / "warm")  # what PyTorch itself takes at first is not of the model
load_model(folder / "warm")
model = MultiScaleTransformer(config)
optimizer = build_optimizer(model, "lion")
print("size", 4 * config.parameters() / 2**20)
peak("update", update)
peak("save", lambda: save_model(model, folder))
peak("save state", lambda: save_tensors(folder / "state", optimizer.state_tensors()))
del model, optimizer, load_model_once
model = peak("load", lambda: load_model(folder))
optimizer = build_optimizer(model, "lion")
peak("load state", lambda: optimizer.load_state_tensors(TensorFile(folder / "state")))
"""


@pytest.mark.skipif(not CLEAR.exists(), reason="the peak is told by Linux only")
def test_there_is_never_a_second_copy(tmp_path: Path) -> None:
    at_once = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed goes back to the system at once
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=at_once)
    assert done.returncode == 0, done.stderr
    told = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in done.stdout.splitlines())}
    size = told.pop("size")
    assert size > 80  # MB: so large that a copy cannot hide
    copies = {name: round(value / size, 2) for name, value in told.items()}
    allowed = {"update": 1.0, "save": 0.0, "save state": 0.0, "load": 1.0, "load state": 1.0}  # the state, the model
    assert copies.keys() == allowed.keys()
    for name, count in allowed.items():
        assert copies[name] <= count + 0.1, copies
