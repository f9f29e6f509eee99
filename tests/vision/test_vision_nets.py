"""Nets that see: costs as counted, outputs that do not depend on the batch, and the same numbers without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vision import (
    CropNet,
    Norm,
    PageNet,
    VisionNet,
    build_vision,
    load_vision,
    normalised,
    save_vision,
)
from multiscale_transformer.model.vision_config import (
    CropConfig,
    PageConfig,
    VisionConfig,
    parse_vision_config,
    read_vision_config,
    sees,
)
from multiscale_transformer.vision.elements import CLASSES, SIDE, STATES
from multiscale_transformer.vision.grounds import grounds
from multiscale_transformer.vision.inference import CropReader, PageReader, build_reader, load_reader
from multiscale_transformer.vision.maps import Proposal
from vision import small


def stirred(config: VisionConfig, seed: int = 0) -> VisionNet:
    """A net whose norms have seen something and whose heads say something."""
    model = build_vision(config, seed=seed)
    for module in model.modules():
        if isinstance(module, Norm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    torch.nn.init.normal_((model if isinstance(model, CropNet) else model.namer).heads.weight, std=0.1)
    return model.eval()


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (count, 384, 384, 3), dtype=np.uint8)


def views(count: int, config: CropConfig, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = ((count, *config.view, 4), (count, *config.view, 4), (count, 6))
    return [rng.uniform(-1, 1, shape).astype(np.float32) for shape in shapes]


def in_torch(model: CropNet, parts: list[np.ndarray]) -> np.ndarray:
    first, second, geometry = (torch.from_numpy(part) for part in parts)
    with torch.no_grad():
        logits = model(first.permute(0, 3, 1, 2), second.permute(0, 3, 1, 2), geometry)
    return torch.cat((*logits[:2], logits.there_B[:, None], logits.deltas_B4), 1).numpy()


def reader(model: VisionNet) -> CropReader | PageReader:
    return build_reader(model.config, {name: tensor.numpy() for name, tensor in model.state_dict().items()}, "here")


def test_the_classes_and_states_are_those_of_pages() -> None:
    assert (CropConfig().classes, CropConfig().states) == (len(CLASSES), len(STATES))
    assert PageConfig().namer == CropConfig()


@settings(max_examples=5, deadline=None)
@given(
    widths=st.lists(st.integers(4, 12), min_size=2, max_size=4),
    block=st.integers(0, 2),
    head=st.integers(4, 12),
    crop=st.booleans(),
)
def test_costs_are_what_is_counted(widths: list[int], block: int, head: int, crop: bool) -> None:
    blocks = (block,) * len(widths)
    config: VisionConfig
    if crop:
        config = CropConfig(widths=tuple(widths), blocks=blocks, hidden=head)
    else:
        config = PageConfig(widths=tuple(widths), blocks=blocks, head=head, decoder=small.DECODER)
    model = build_vision(config, seed=0)
    assert sum(parameter.numel() for parameter in model.parameters()) == config.parameters()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if isinstance(config, CropConfig):
            model(*(torch.zeros(1, 4, *shape) for shape in (config.view, config.view)), torch.zeros(1, 6))
        else:
            model(torch.zeros(1, 3, config.side, config.side))
    assert counter.get_total_flops() == config.flops()
    assert config.flops(training=True) == 3 * config.flops()


def test_any_batch_gives_the_same_outputs() -> None:
    page = stirred(small.PAGE)
    batch = normalised(torch.from_numpy(pictures(3)))
    with torch.no_grad():
        together = page(batch)
        alone = [page(batch[number : number + 1]) for number in range(3)]
    for number, part in enumerate(together):
        torch.testing.assert_close(part, torch.cat([each[number] for each in alone]), rtol=1e-4, atol=1e-4)
    crop, parts = stirred(small.CROP), views(5, small.CROP)
    compiled = reader(crop)
    assert isinstance(crop, CropNet)
    assert isinstance(compiled, CropReader)
    one = np.concatenate([compiled.logits(*(part[number : number + 1] for part in parts)) for number in range(5)])
    np.testing.assert_allclose(compiled.logits(*parts), one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_8_bits_give_nearly_what_pytorch_gives(seed: int) -> None:
    page, crop = stirred(small.PAGE, seed), stirred(small.CROP, seed)
    picture = pictures(1, seed)
    compiled = reader(page)
    assert isinstance(compiled, PageReader)
    with torch.no_grad():
        expected = [part[0].numpy() for part in page(normalised(torch.from_numpy(picture)))]
    for part, wanted in zip(compiled.maps(picture[0]), expected, strict=True):
        assert np.abs(part - wanted).max() <= 0.1 * wanted.std() + 1e-3
    assert isinstance(page, PageNet)
    assert isinstance(crop, CropNet)
    for net, namer in ((crop, reader(crop)), (page.namer, compiled._namer)):
        parts = views(4, net.config, seed)
        assert isinstance(namer, CropReader)
        wanted = in_torch(net, parts)
        assert np.abs(namer.logits(*parts) - wanted).max() <= 0.1 * wanted.std()


@pytest.mark.parametrize("config", [small.PAGE, small.CROP])
def test_a_checkpoint_is_read_as_it_was_written(config: VisionConfig, tmp_path: Path) -> None:
    model = stirred(config)
    save_vision(model, tmp_path, name="small")
    assert read_vision_config(tmp_path) == config
    assert sees(tmp_path)
    again = load_vision(tmp_path).state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.state_dict().items())
    assert load_reader(tmp_path).config == config


def test_what_does_not_fit_its_config_is_said_in_a_line(tmp_path: Path) -> None:
    save_vision(stirred(small.PAGE), tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"head": 16', '"head": 12'))
    with pytest.raises(AxlError, match="does not fit"):
        load_vision(tmp_path)
    with pytest.raises(AxlError, match="does not fit"):
        load_reader(tmp_path)
    assert not sees(tmp_path / "nowhere")


def test_a_seed_gives_the_same_net_and_another_another() -> None:
    first, same, other = (build_vision(small.CROP, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.convs["stem"].weight, same.convs["stem"].weight)
    assert not torch.equal(first.convs["stem"].weight, other.convs["stem"].weight)
    assert isinstance(build_vision(small.PAGE), PageNet)


def test_a_checkpoint_of_an_earlier_version_is_refused_in_a_line(tmp_path: Path) -> None:
    save_vision(build_vision(small.PAGE, seed=0), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["namer"]
    (tmp_path / "config.json").write_text(json.dumps({**config, "classes": 16, "states": 2}))
    for load in (load_vision, load_reader):
        with pytest.raises(AxlError, match="train it again"):
            load(tmp_path)


@pytest.mark.parametrize("classes", [15, 17])
def test_a_namer_of_other_classes_is_refused(classes: int) -> None:
    with pytest.raises(AxlError, match="classes"):
        parse_vision_config({"kind": "page", "namer": {"classes": classes}}, "here.yaml")


def test_what_is_detected_is_moved_as_the_net_says() -> None:
    model = build_vision(small.PAGE, seed=4).eval()
    weights = {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}
    weights["namer.box_heads.bias"][:] = (9.0, 0.1, -0.1, 0.2, 0.0)
    compiled = build_reader(small.PAGE, weights, "here")
    assert isinstance(compiled, PageReader)
    plain_HWC = np.full((SIDE, SIDE, 3), 200, np.uint8)
    proposed = [Proposal((100, 100, 200, 140), 0.5), Proposal((104, 100, 204, 140), 0.9)]  # of two alike the surer one stays
    (found,) = compiled._namer.detected(plain_HWC, proposed, grounds(plain_HWC), 0.5)
    assert found.element.box == (114, 96, 224, 140)
    assert found.score == pytest.approx(1 / (1 + np.exp(-9.0)), abs=0.01)
