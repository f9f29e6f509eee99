"""Vision models of a size that a test can train."""

from __future__ import annotations

from pathlib import Path

import torch

from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.vision import CropNet, Named, build_vision
from multiscale_transformer.model.vision_config import CropConfig, PageConfig, VisionConfig
from multiscale_transformer.vision.samples import TrainPages
from multiscale_transformer.vision.training import VisionRequest, VisionTrainer

DECODER = ModelConfig(
    d_model=32, n_heads=2, d_ff=64, n_layers_per_scale=2, n_cross_attn_layers=0, downsample_factors=(1,), max_seq_len=512
)
CROP = CropConfig(widths=(8, 16), blocks=(1, 1), view=(16, 32), hidden=16)
PAGE = PageConfig(widths=(8, 16, 24), blocks=(0, 1, 1), head=16, namer=CROP, decoder=DECODER)


def named(net: CropNet) -> Named:
    """What a net says of three views of noise."""
    views = [torch.rand(shape, generator=torch.Generator().manual_seed(0)) for shape in ((3, 4, *CROP.view),) * 2 + ((3, 6),)]
    with torch.no_grad():
        made: Named = net(*views)
    return made


def request(config: VisionConfig, data: Path, out: Path) -> VisionRequest:
    return VisionRequest("small", config, data, out, minutes=1.0, seed=3)


def trainer(config: VisionConfig, data: Path, steps: int = 0) -> VisionTrainer:
    """A trainer that has done so many steps of a schedule of as many."""
    made = VisionTrainer(build_vision(config, seed=3), TrainPages(data), request(config, data, data / "out"))
    for step in range(steps):
        made.progress.fraction = step / steps
        made.step()
    return made
