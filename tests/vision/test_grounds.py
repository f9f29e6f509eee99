"""What stands on what, and where it begins: exact on rectangles, and never far from where a net said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multiscale_transformer.vision.elements import CLASSES, Box, Element, covering
from multiscale_transformer.vision.grounds import NONE, Grounds, grounds, page_colour
from multiscale_transformer.vision.maps import Found, distinct
from multiscale_transformer.vision.redraw import look_of
from multiscale_transformer.vision.seer import Seen
from multiscale_transformer.vision.snapping import REACH, WORDS, snapped

PAGE, CARD = 250, 230
DRAWN = [kind for kind in CLASSES if kind not in WORDS]


def canvas(*rectangles: tuple[Box, int], side: int = 128) -> np.ndarray:
    picture_HWC = np.full((side, side, 3), PAGE, np.uint8)
    for (x0, y0, x1, y1), shade in rectangles:
        picture_HWC[y0:y1, x0:x1] = shade
    return picture_HWC


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x0, y0 = draw(st.integers(20, 60)), draw(st.integers(20, 60))
    return x0, y0, x0 + draw(st.integers(12, 40)), y0 + draw(st.integers(12, 40))


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_regions_are_those_of_a_flood(seed: int, shades: int) -> None:
    picture_HWC = np.random.default_rng(seed).integers(0, shades, (9, 7, 1), dtype=np.uint8)
    seen = grounds(picture_HWC)
    for y in range(9):
        for x in range(7):
            flood, waiting = {(y, x)}, [(y, x)]
            while waiting:
                a, b = waiting.pop()
                for c, d in ((a + 1, b), (a - 1, b), (a, b + 1), (a, b - 1)):
                    inside = 0 <= c < 9 and 0 <= d < 7 and (c, d) not in flood
                    if inside and picture_HWC[c, d, 0] == picture_HWC[y, x, 0]:
                        flood.add((c, d))
                        waiting.append((c, d))
            number = seen.labels_HW[y, x]
            assert {(int(a), int(b)) for a, b in zip(*np.nonzero(seen.labels_HW == number), strict=True)} == flood
            rows, columns = zip(*flood, strict=True)
            assert seen.sizes_R[number] == len(flood)
            assert seen.box(number) == (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
    assert set(np.unique(seen.labels_HW)) == set(range(len(seen.sizes_R)))


def test_a_card_is_the_ground_of_what_stands_on_it() -> None:
    seen = grounds(canvas(((10, 10, 90, 90), CARD), ((30, 30, 60, 50), 10), ((100, 100, 120, 110), 10)))
    card = seen.of((30, 30, 60, 50))
    assert card != seen.page
    assert seen.box(card) == (10, 10, 90, 90)
    assert seen.of((100, 100, 120, 110)) == seen.page


def test_noise_has_no_ground_and_moves_nothing() -> None:
    picture_HWC = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    seen = grounds(picture_HWC)
    assert seen.page == seen.of((20, 20, 40, 40)) == NONE
    assert snapped(Element("button", (20, 20, 40, 40)), seen) == (20, 20, 40, 40)


@example((20, 20, 32, 33), (3, 1, -4, -4), "button", False)  # most of what is around the given box is the rectangle itself
@given(boxes(), st.tuples(*[st.integers(-4, 4)] * 4), st.sampled_from(DRAWN), st.booleans())
def test_a_rectangle_is_found_exactly(box: Box, off: tuple[int, int, int, int], kind: str, framed: bool) -> None:
    x0, y0, x1, y1 = box
    parts = [(box, 10), ((x0 + 1, y0 + 1, x1 - 1, y1 - 1), PAGE)] if framed else [(box, 10)]
    x0, y0, x1, y1 = (side + by for side, by in zip(box, off, strict=True))
    assert snapped(Element(kind, (x0, y0, x1, y1)), grounds(canvas(*parts))) == box


@given(boxes(), st.sampled_from(CLASSES), st.integers(0, 2**32 - 1))
def test_no_side_is_moved_farther_than_the_reach(box: Box, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    marks = [((x, y, x + w, y + h), 10) for x, y, w, h in rng.integers(1, 90, (12, 4)).tolist()]
    seen = grounds(canvas(*marks))
    again = snapped(Element(kind, box), seen)
    for side, (before, after) in enumerate(zip(box, again, strict=True)):
        assert abs(before - after) <= REACH[side % 2]
    assert again[0] < again[2]
    assert again[1] < again[3]
    assert isinstance(seen, Grounds)


@pytest.mark.parametrize("kind", WORDS)
def test_words_keep_their_height_and_are_not_cut_at_a_letter(kind: str) -> None:
    letters = [((20 + 5 * number, 40, 23 + 5 * number, 50), 10) for number in range(12)]
    box = snapped(Element(kind, (24, 37, 70, 53)), grounds(canvas(*letters)))
    assert box == (19, 37, 79, 53)


def test_of_two_finds_where_one_lies_in_the_other_the_surer_stays() -> None:
    outer, inner, beside = (
        Found(Element("field", box, ()), score)
        for box, score in (((0, 0, 90, 20), 0.6), ((4, 4, 30, 16), 0.9), ((80, 0, 130, 20), 0.5))
    )
    assert distinct([inner, outer, beside]) == [inner, beside]
    assert distinct([outer, beside, inner]) == [outer, beside]
    assert covering(outer.element.box, inner.element.box) == covering(inner.element.box, outer.element.box) == 1.0
    assert covering((0, 0, 10, 10), (10, 0, 20, 10)) == 0.0


def test_a_page_is_drawn_again_in_its_colour_with_its_margin_and_spaces() -> None:
    picture_HWC = canvas(((20, 10, 100, 30), 200), ((20, 40, 60, 50), 0))
    picture_HWC[picture_HWC[..., 0] == PAGE] = (30, 32, 40)
    assert page_colour(picture_HWC) == (30, 32, 40)
    found = tuple(Found(Element("image", box, ()), 1.0) for box in ((20, 10, 100, 30), (20, 40, 60, 50)))
    look = look_of(Seen(128, 128, found, "II"), page_colour(picture_HWC))
    assert (look.dark, look.padding, look.gap) == (True, 20, 10)
    assert "rgb(30,32,40)" in look.skin
    assert not look_of(Seen(128, 128, (), ""), (255, 255, 255)).dark
    assert "data-block" not in look_of(Seen(128, 128, found, ""), (255, 255, 255)).skin  # what has no layout has no blocks
