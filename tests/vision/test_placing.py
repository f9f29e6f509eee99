"""Blocks of a page that is drawn again begin where the original's do, in letters as large."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.vision.elements import Element
from multiscale_transformer.vision.layout import Group, parse
from multiscale_transformer.vision.placing import FRAME, LARGEST, SMALLEST, letters, placed


def column(tops: list[int]) -> list[Element]:
    return [Element("heading", (20, top, 120, top + 10)) for top in tops]


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8, unique=True).map(sorted))
def test_blocks_follow_one_another_as_in_the_original(tops: list[int]) -> None:
    rules = placed(parse("H" * len(tops)), column(tops), 20)
    (first,) = re.findall(r"padding-top:(\d+)px", rules)
    heights = [int(height) for height in re.findall(r"min-height:(\d+)px", rules)]
    begins = [int(first)]
    for height in heights:
        begins.append(begins[-1] + height)
    assert begins == tops


def test_what_has_no_width_of_its_own_has_that_of_its_block() -> None:
    elements = [Element("heading", (20, 10, 90, 30)), Element("field", (50, 40, 250, 70)), Element("text", (34, 100, 200, 120))]
    rules = placed(parse("HF{T}"), elements, 20)
    heading, field, card = re.findall(r"\[data-block\]:nth-of-type\(\d\)\{(.*?)\}", rules)
    assert "max-width" not in heading
    assert "margin-left:30px" in field
    assert "max-width:200px" in field
    assert f"min-height:{100 - FRAME - 40}px" in field  # the card begins before what stands in it
    assert f"margin-left:{34 - FRAME - 20}px" in card


@pytest.mark.parametrize(("height", "size"), [(17, 14.5), (5, SMALLEST), (29, LARGEST)])
def test_letters_are_as_large_as_the_lines(height: int, size: float) -> None:
    assert letters([Element("link", (0, 0, 50, height))] * 3) == f"html{{font-size:{size:.1f}px!important}}"


def test_without_lines_or_with_another_number_of_elements_nothing_is_ruled() -> None:
    assert letters([Element("button", (0, 0, 50, 20)), Element("text", (0, 0, 50, 90))]) == ""
    assert placed(parse("HH"), column([1]), 0) == ""
    assert placed(Group("column", ()), [], 0) == ""
