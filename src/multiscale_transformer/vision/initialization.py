"""A page net whose namer begins as a crop net that was trained before: AXL-Vision-v2 as AXL-Vision-0.8M, and not at random.

The crop net knows classes and states of what is there. What background is, and how far sides are off, is learnt.
"""

# Shape suffixes: O outputs of the crop net.

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vision import CropNet, PageNet, VisionNet, load_vision
from multiscale_transformer.model.vision_config import CropConfig, VisionConfig, read_vision_config, sees
from multiscale_transformer.vision.elements import CLASSES
from multiscale_transformer.vision.proposals import BACKGROUND


def check_init(config: VisionConfig, init: Path) -> None:
    """Raises AxlError where a net of this config cannot begin as that in `init`."""
    if isinstance(config, CropConfig):
        raise AxlError("--init is for AXL-Vision-v2, which begins with a trained AXL-Vision-0.8M; leave it out")
    known = read_vision_config(init) if sees(init) else None
    if not isinstance(known, CropConfig):
        raise AxlError(
            f"AXL-Vision-v2 begins with a trained AXL-Vision-0.8M, and {init} holds none; train one, or leave out --init"
        )
    if _trunk(known) != _trunk(config.namer) or known.classes != len(CLASSES) or known.states != config.namer.states:
        raise AxlError(f"{init} has another shape than this model's namer; train AXL-Vision-0.8M again, or leave out --init")


def _trunk(config: CropConfig) -> tuple[object, ...]:
    return config.widths, config.blocks, config.view, config.hidden


def begin_as(model: VisionNet, init: Path) -> None:
    """Give the namer the weights of a checkpoint that `check_init` lets pass. Raises AxlError where it is damaged."""
    known = load_vision(init)
    assert isinstance(model, PageNet)
    assert isinstance(known, CropNet)
    weights = {name: tensor for name, tensor in known.state_dict().items() if not name.startswith("heads.")}
    for name in ("weight", "bias"):
        weights[f"heads.{name}"] = _heads(getattr(known.heads, name).detach(), getattr(model.namer.heads, name))
    model.namer.load_state_dict(weights)


def _heads(known_O: Tensor, own_O: Tensor) -> Tensor:
    """The rows of classes and states, with those between and behind them that are not known yet: at zero."""
    heads_O = torch.zeros_like(own_O)
    classes = len(CLASSES)
    heads_O[:classes] = known_O[:classes]
    heads_O[BACKGROUND + 1 : BACKGROUND + 1 + len(known_O) - classes] = known_O[classes:]
    return heads_O
