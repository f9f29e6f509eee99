"""A layout by rule: whatever stands where, it is in the language and has each element once; plain pages come out right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.vision.elements import CLASSES, Box, Element, Picture
from multiscale_transformer.vision.grounds import grounds
from multiscale_transformer.vision.layout import KINDS, leaves, line_of, normal, parse
from multiscale_transformer.vision.xy_cut import draft, frames_of

PLACES = st.integers(0, 12).map(lambda place: place * 28)


@st.composite
def pages(draw: st.DrawFn) -> tuple[list[Element], list[Box | None]]:
    """Elements anywhere, on a grid or not, some of them in frames."""
    anywhere = PLACES if draw(st.booleans()) else st.integers(0, 340)
    boxes = draw(
        st.lists(
            st.builds(lambda x, y, w, h: (x, y, x + w, y + h), anywhere, anywhere, st.integers(1, 60), st.integers(1, 40)),
            max_size=16,
        )
    )
    frames: list[Box | None] = [None, None, (0, 0, 190, 200), (200, 0, 384, 200), (0, 210, 384, 384)]
    return [Element(draw(st.sampled_from(CLASSES)), box) for box in boxes], [draw(st.sampled_from(frames)) for _ in boxes]


@given(pages())
def test_a_draft_is_a_layout_of_each_element_once(page: tuple[list[Element], list[Box | None]]) -> None:
    elements, frames = page
    tree, order = draft(elements, frames)
    assert sorted(order) == list(range(len(elements)))
    if not elements:
        return
    assert parse(line_of(tree)) == tree
    assert normal(tree) in (tree, tree.children[0])
    assert [leaf.kind for leaf in leaves(tree)] == [elements[number].kind for number in order]


def at(*rows: str) -> list[Element]:
    """Elements where letters stand in rows of text: a letter is 12 pixels wide and high, a space as wide, rows are 20 apart."""
    return [
        Element(KINDS[letter], (12 * column, 20 * row, 12 * column + 12, 20 * row + 12))
        for row, text in enumerate(rows)
        for column, letter in enumerate(text)
        if letter != " "
    ]


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (("H", "T", "T"), "HTT"),
        (("F B",), "[FB]"),
        (("F B", "F B"), "[FB][FB]"),
        (("C C", "C C"), "[CC][CC]"),
        (("H    H", "T    T"), "[(HT)(HT)]"),
        (("I H", "  T", "L"), "[I(HT)]L"),
        (("H", "L L L", "T"), "H[LLL]T"),
    ],
)
def test_plain_pages_are_read_as_they_are(rows: tuple[str, ...], line: str) -> None:
    assert line_of(draft(at(*rows), [None] * len(at(*rows)))[0]) == line


def test_frames_hold_what_stands_in_them() -> None:
    elements = at("L L", "H", "T", "H   H", "T   T")
    bar: Box = (0, 0, 384, 15)
    cards: list[Box] = [(0, 55, 20, 99), (45, 55, 70, 99)]
    frames = [bar, bar, None, None, cards[0], cards[1], cards[0], cards[1]]
    assert line_of(draft(elements, frames)[0]) == "{[LL]}HT[{HT}{HT}]"


def card(*boxes: Box) -> Picture:
    """A page with a card, which `boxes` are drawn on."""
    picture_HWC = np.full((120, 120, 3), 255, np.uint8)
    picture_HWC[20:100, 10:110] = 200
    for x0, y0, x1, y1 in boxes:
        picture_HWC[y0:y1:2, x0:x1:2] = 0
    return picture_HWC


def test_a_card_holds_all_that_stands_on_it_and_what_fills_its_own_ground_stands_in_none() -> None:
    large, small_one = Element("table", (14, 24, 106, 84)), Element("link", (14, 88, 60, 98))
    seen = grounds(card(large.box, small_one.box))
    assert frames_of([large, small_one], seen) == [(10, 20, 110, 100)] * 2
    code = Element("code", (16, 26, 104, 94))
    assert frames_of([code], grounds(card(code.box))) == [None]
    assert frames_of([small_one], grounds(card(small_one.box))) == [(10, 20, 110, 100)]
