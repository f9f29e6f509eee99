"""`axl see`, and screenshots larger than what a net reads."""

from __future__ import annotations

import json
import re
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from multiscale_transformer.model.vision import CropNet, build_vision, save_vision
from multiscale_transformer.vision.elements import CLASSES, Element
from multiscale_transformer.vision.inference import PageReader
from multiscale_transformer.vision.layout import PATTERN
from multiscale_transformer.vision.libraries import LIBRARIES
from multiscale_transformer.vision.maps import MIN_SCORE, Found, proposals_in, targets
from multiscale_transformer.vision.redraw import drawn_again, page_of
from multiscale_transformer.vision.render import chromium_path
from multiscale_transformer.vision.seer import EDGE, SHARED, Seen, Seer, _starts
from vision import drawn, small

sys.path.append(str(Path(__file__).parents[1] / "cli"))
from calling import call


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net that was not trained, and sees something nevertheless."""
    folder = tmp_path_factory.mktemp("eyes")
    net = build_vision(small.PAGE, seed=0)
    net.convs["heads"].bias.data[0] = 0.5  # of centres
    save_vision(net, folder)
    return folder


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shots") / "shot.png"
    path.write_bytes(drawn.page(2)[0])
    return path


def test_json_has_every_element_and_a_layout_of_them(eyes: Path, shot: Path) -> None:
    answer = call("see", shot, "--model", eyes, "--json")
    assert answer.status == 0, answer.err
    seen = json.loads(answer.out)
    assert seen["elements"]
    assert {one["class"] for one in seen["elements"]} <= set(CLASSES)
    assert PATTERN.fullmatch(seen["layout"])
    assert sum(letter.isalpha() for letter in seen["layout"]) == len(seen["elements"])


def test_the_table_names_classes_and_draw_writes_a_picture_of_the_same_size(eyes: Path, shot: Path, tmp_path: Path) -> None:
    answer = call("see", shot, "--model", eyes, "--draw", tmp_path / "out.png")
    assert answer.status == 0, answer.err
    assert "Layout" in answer.out
    with Image.open(tmp_path / "out.png") as picture, Image.open(shot) as original:
        assert picture.size == original.size
        assert np.any(np.asarray(picture) != np.asarray(original))


@pytest.mark.parametrize("there", [True, False])
def test_a_crop_net_names_what_stands_out_and_is_an_element(shot: Path, tmp_path: Path, there: bool) -> None:
    net = build_vision(small.CROP, seed=0)
    assert isinstance(net, CropNet)
    net.box_heads.bias.data[0] = 9.0 if there else -9.0
    save_vision(net, tmp_path)
    answer = call("see", shot, "--model", tmp_path, "--json")
    assert answer.status == 0, answer.err
    seen = json.loads(answer.out)
    assert len(seen["elements"]) == (len(drawn.page(2)[1].elements) if there else 0)
    assert seen["layout"] == ""


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_hostile_pictures_are_one_line(eyes: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    answer = call("see", path, "--model", eyes)
    assert answer.status == 2
    assert answer.err.count("\n") == 1
    assert "bad.png" in answer.err


def test_other_wrong_input_is_one_line(eyes: Path, shot: Path, tmp_path: Path) -> None:
    for words, expected in (
        ((tmp_path / "none.png", "--model", eyes), "none.png"),
        ((shot, "--model", tmp_path), "no checkpoint"),
        ((shot, "--model", eyes, "--html", tmp_path / "page.html"), "--libraries"),
    ):
        answer = call("see", *words)
        assert (answer.status, answer.err.count("\n")) == (2, 1), answer.err
        assert expected in answer.err


@pytest.fixture
def css(tmp_path: Path) -> Path:
    """A folder as npm leaves it, with a style sheet that styles nothing."""
    library = LIBRARIES["bootstrap"]
    folder = tmp_path / "css" / "node_modules" / library.package
    (folder / library.css).parent.mkdir(parents=True)
    (folder / library.css).write_text("body {}")
    (folder / "package.json").write_text(json.dumps({"version": "1", "license": library.licence}))
    return tmp_path / "css"


def test_html_has_each_element_in_the_order_of_the_layout(eyes: Path, shot: Path, css: Path, tmp_path: Path) -> None:
    answer = call("see", shot, "--model", eyes, "--json", "--html", tmp_path / "page.html", "--libraries", css)
    assert answer.status == 0, answer.err
    kinds = [one["class"] for one in json.loads(answer.out)["elements"]]
    assert re.findall('data-e="([a-z]+)"', (tmp_path / "page.html").read_text()) == kinds
    answer = call("see", shot, "--model", eyes, "--html", tmp_path / "page.html", "--libraries", css, "--library", "none")
    assert (answer.status, answer.err.count("\n")) == (2, 1)


@pytest.mark.slow
@pytest.mark.skipif(chromium_path() is None, reason="no Chromium: apt-get install chromium")
def test_compare_shows_the_page_beside_the_screenshot(eyes: Path, shot: Path, css: Path, tmp_path: Path) -> None:
    answer = call("see", shot, "--model", eyes, "--compare", tmp_path / "both.png", "--libraries", css)
    assert answer.status == 0, answer.err
    with Image.open(tmp_path / "both.png") as picture:
        assert picture.size == (2 * 384 + 8, 384)


@pytest.mark.slow
@pytest.mark.skipif(chromium_path() is None, reason="no Chromium: apt-get install chromium")
def test_of_a_large_screenshot_what_stands_below_is_drawn_again_too(css: Path) -> None:
    boxes = ((20, 10, 120, 60), (20, 600, 120, 700))
    seen = Seen(768, 768, tuple(Found(Element("image", box), 1.0) for box in boxes), "II")
    again_HWC = drawn_again(page_of(seen, (255, 255, 255), "bootstrap", css), 768)
    dark_H = np.any(again_HWC < 200, axis=(1, 2))
    assert again_HWC.shape == (384, 384, 3)
    assert abs(int(np.argmax(dark_H)) - 5) <= 2
    assert dark_H[310:340].all()


@given(st.integers(1, 2000), st.sampled_from([256, 384]))
def test_tiles_cover_a_picture_and_overlap(length: int, side: int) -> None:
    starts = _starts(length, side)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - side)
    assert all(0 < after - before <= side - SHARED for before, after in pairwise(starts))


class _Scripted(PageReader):
    """A net that sees what a page has, as far as it lies within the tile."""

    def __init__(self, there: list[Element]) -> None:
        self.there, self.config, self.tiles = there, small.PAGE, 0

    def elements(self, picture_HWC: np.ndarray, min_score: float = MIN_SCORE) -> list[Found]:
        left, top = (int(number) * 8 for number in picture_HWC[0, 0, :2])
        seen = []
        for element in self.there:
            x0, y0, x1, y1 = element.box
            box = max(x0 - left, 0), max(y0 - top, 0), min(x1 - left, 384), min(y1 - top, 384)
            if box[2] - box[0] > EDGE and box[3] - box[1] > EDGE:
                seen.append(Found(Element(element.kind, box), 0.9))
        return seen

    def layout(self, elements: list[Element], frames: object = None) -> str:
        return "T" * len(elements)


@pytest.mark.parametrize("size", [(384, 384), (384, 960), (960, 384), (960, 672)])
def test_what_tiles_cut_is_joined_again(size: tuple[int, int]) -> None:
    width, height = size
    picture_HWC = np.zeros((height, width, 3), np.uint8)
    picture_HWC[..., 0], picture_HWC[..., 1] = np.arange(width) // 8, (np.arange(height) // 8)[:, None]
    there = [Element("text", (16, 20, width - 16, 44)), Element("text", (40, 80, 90, height - 20))]
    seen = Seer(_Scripted(there)).see(picture_HWC)
    assert sorted(seen.elements, key=lambda one: one.box) == sorted(there, key=lambda one: one.box)


@given(st.integers(0, 200))
def test_maps_of_a_page_give_its_elements_again(seed: int) -> None:
    _, record = drawn.page(seed)
    there = [Element(one.kind, one.box) for one in record.elements]
    wanted = targets(there, small.PAGE.cells)
    logits = np.where(wanted.centres_HW == 1, 5.0, -9.0).astype(np.float32)
    assert sorted(spot.box for spot in proposals_in(logits, wanted.sides_4HW)) == sorted(one.box for one in there)
