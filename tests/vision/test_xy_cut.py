"""A layout by rule: whatever stands where, it is in the language and has each element once; plain pages come out right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.vision.elements import CLASSES, Box, Element
from multiscale_transformer.vision.layout import KINDS, leaves, line_of, normal, parse
from multiscale_transformer.vision.xy_cut import draft

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
