"""A page net whose namer is a crop net that was trained before: AXL-Vision-v2 with AXL-Vision-0.8M, and not at random.

How the crop net names elements is kept. Which of the page net's own proposals are none, and how far their sides are off, is
learnt on: it depends on what is proposed.
"""

from __future__ import annotations

from pathlib import Path

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vision import CropNet, PageNet, VisionNet, load_vision
from multiscale_transformer.model.vision_config import CropConfig, VisionConfig, read_vision_config, sees


def check_init(config: VisionConfig, init: Path) -> None:
    """Raises AxlError where a net of this config cannot begin as that in `init`."""
    if isinstance(config, CropConfig):
        raise AxlError("--init is for AXL-Vision-v2, which begins with a trained AXL-Vision-0.8M; leave it out")
    known = read_vision_config(init) if sees(init) else None
    if not isinstance(known, CropConfig):
        raise AxlError(
            f"AXL-Vision-v2 begins with a trained AXL-Vision-0.8M, and {init} holds none; train one, or leave out --init"
        )
    if known != config.namer:
        raise AxlError(f"{init} has another shape than this model's namer; train AXL-Vision-0.8M again, or leave out --init")


def begin_as(model: VisionNet, init: Path) -> None:
    """Give the namer the weights of a checkpoint that `check_init` lets pass. Raises AxlError where it is damaged."""
    known = load_vision(init)
    assert isinstance(model, PageNet)
    assert isinstance(known, CropNet)
    model.namer.load_state_dict(known.state_dict())
    model.namer.keep_names()
