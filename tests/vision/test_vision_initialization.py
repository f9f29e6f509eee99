"""A page net whose namer begins as a crop net: it names as that one does, and a net that does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vision import CropNet, PageNet, build_vision, save_vision
from multiscale_transformer.model.vision_config import VisionConfig
from multiscale_transformer.vision.initialization import begin_as, check_init
from vision import small


@pytest.fixture
def saved(tmp_path: Path) -> tuple[CropNet, Path]:
    model = build_vision(small.CROP, seed=1).eval()
    assert isinstance(model, CropNet)
    torch.nn.init.normal_(model.heads.weight, std=0.1)
    torch.nn.init.normal_(model.heads.bias, std=0.1)
    save_vision(model, tmp_path / "crop")
    return model, tmp_path / "crop"


def test_a_namer_says_what_the_net_says_that_it_began_as(saved: tuple[CropNet, Path]) -> None:
    known, folder = saved
    model = build_vision(small.PAGE, seed=2).eval()
    assert isinstance(model, PageNet)
    begin_as(model, folder)
    for ours, theirs in zip(small.named(model.namer), small.named(known), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (small.CROP, "is for AXL-Vision-v2"),
        (small.PAGE.model_copy(update={"namer": small.CROP.model_copy(update={"hidden": 8})}), "has another shape"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(config: VisionConfig, line: str, saved: tuple[CropNet, Path]) -> None:
    with pytest.raises(AxlError, match=line):
        check_init(config, saved[1])


def test_a_page_net_is_no_beginning(tmp_path: Path) -> None:
    save_vision(build_vision(small.PAGE, seed=0), tmp_path / "page")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "config.json").write_text('{"model_type": "multiscale_transformer"}')
    for name in ("page", "text", "nowhere"):
        with pytest.raises(AxlError, match="holds none; train one"):
            check_init(small.PAGE, tmp_path / name)
