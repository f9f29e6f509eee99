"""Measures and rivals of models that see: perfect is perfect, nothing is nothing, and rivals find what is plain to see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.vision.elements import CLASSES, SIDE, Element, Page, Picture, area, overlap
from multiscale_transformer.vision.measures import (
    Counts,
    accuracy,
    accuracy_by_class,
    block_match,
    matched,
    ssim,
    token_error,
    total,
)
from multiscale_transformer.vision.rivals import (
    ClassRivals,
    Components,
    NearestPage,
    changes,
    components,
    geometry_of,
    pixels_of,
    things,
)

NUMBERS = st.integers(0, SIDE - 1)
BOXES = st.builds(
    lambda x, y, w, h: (x, y, min(x + w, SIDE), min(y + h, SIDE)), NUMBERS, NUMBERS, st.integers(1, 200), st.integers(1, 99)
)
ELEMENTS = st.lists(st.builds(Element, st.sampled_from(CLASSES[:4]), BOXES), max_size=6)


@given(BOXES, BOXES)
def test_overlap_is_that_of_the_pixels(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> None:
    masks = np.zeros((2, SIDE, SIDE), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, (first, second), strict=True):
        mask[y0:y1, x0:x1] = True
    assert area(first) == masks[0].sum()
    assert overlap(first, second) == pytest.approx((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())
    assert overlap(first, second) == overlap(second, first)


@given(ELEMENTS, ELEMENTS)
def test_matches_are_bounded_and_perfect_on_themselves(there: list[Element], said: list[Element]) -> None:
    assert matched(there, there, 0.9).f1 == block_match(there, there).f1 == 1.0
    strict, loose = matched(there, said, 0.9), matched(there, said, 0.5)
    assert 0 <= strict.right <= loose.right <= min(len(there), len(said))
    assert 0 <= block_match(there, said).f1 <= 1
    assert block_match(there, said).f1 == pytest.approx(block_match(said, there).f1)


def test_each_element_is_matched_once() -> None:
    one, near = Element("text", (0, 0, 100, 100)), Element("text", (0, 0, 100, 90))
    assert matched([one], [one, near], 0.5) == Counts(1, 2, 1)
    assert matched([one], [Element("link", one.box)], 0.5).right == 0
    assert total([Counts(1, 2, 1), Counts(1, 1, 2)]).f1 == pytest.approx(2 / 3)


def test_tokens_are_counted_as_pix2code_counts_them() -> None:
    assert token_error([("HTB", "HTB")]) == 0
    assert token_error([("HTB", "HT")]) == pytest.approx(1 / 3)
    assert token_error([("HT", "HTBB")]) == pytest.approx(1 / 2)
    assert token_error([("HTB-", "HTB")]) == pytest.approx(1 / 3)  # the state is part of the token
    assert token_error([("HTB", "THTB")]) == 1.0  # place by place


def test_accuracy_by_class_does_not_favour_frequent_ones() -> None:
    expected, given_ = ["text"] * 9 + ["link"], ["text"] * 10
    assert accuracy(expected, given_) == 0.9
    assert accuracy_by_class(expected, given_) == {"text": 1.0, "link": 0.0}


def test_ssim_is_one_for_the_same_and_less_for_noise() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert ssim(picture, picture) == pytest.approx(1)
    other = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert abs(ssim(picture, other)) < 0.1
    assert ssim(picture, other) == pytest.approx(ssim(other, picture))
    flat = np.full((64, 64, 3), 100, np.uint8)
    brighter = ssim(flat, np.full_like(flat, 110))  # means alone differ: (2ab + C1) / (a² + b² + C1)
    assert brighter == pytest.approx((2 * 100 * 110 + 6.5025) / (100**2 + 110**2 + 6.5025))


def drawn(*elements: Element) -> Page:
    """A page where each class has its colour."""
    picture: Picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
    for element in elements:
        x0, y0, x1, y1 = element.box
        picture[y0:y1, x0:x1] = (CLASSES.index(element.kind) * 12, 40, 90)
    return Page(picture, elements, "", "bulma", "train")


def test_pixels_are_means_and_see_no_size() -> None:
    page = drawn(Element("alert", (10, 10, 90, 50)))
    small, large = pixels_of(page.picture_HWC, [(20, 20, 40, 30), (10, 10, 90, 50)])
    assert np.allclose(small, large, atol=1e-5)
    assert np.allclose(small.reshape(-1, 3)[0] * 255, (15 * 12, 40, 90), atol=1e-2)
    (half,) = pixels_of(page.picture_HWC, [(50, 10, 130, 50)])
    assert np.allclose(half.reshape(16, 16, 3)[:, 8:], 1, atol=1e-5)
    assert geometry_of([]).shape == (0, 7)


def test_rivals_learn_what_they_have_seen() -> None:
    pages = [
        drawn(Element("button", (9, 9, 60, 30)), Element("image", (9, 60, 200, 190)), Element("image", (9, 220, 200, 350)))
    ]
    rivals = ClassRivals(pages)
    answers = rivals.classify(pages[0].picture_HWC, [element.box for element in pages[0].elements])
    truth = ["button", "image", "image"]
    assert [answers[name] for name in list(answers)[:3]] == [truth] * 3
    assert answers["majority"] == ["image"] * 3
    assert rivals.best(pages[0].picture_HWC, []) == []
    found = Components.fitted(rivals, pages).elements(pages[0].picture_HWC)
    assert matched(pages[0].elements, found, 0.9).f1 == 1.0
    assert Components(rivals).elements(np.zeros((SIDE, SIDE, 3), np.uint8)) == ()
    nearest = NearestPage([*pages, drawn(Element("text", (200, 200, 380, 380)))])
    assert nearest.of(pages[0].picture_HWC) is not None
    assert np.array_equal(nearest.of(pages[0].picture_HWC).picture_HWC, pages[0].picture_HWC)


def test_marks_within_reach_are_one_component() -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10, [10, 13, 30]] = True
    mask[12, 10] = True
    assert components(mask, (3, 2)) == [(10, 10, 14, 13), (30, 10, 31, 11)]
    assert components(mask, (2, 1)) == [(10, 10, 11, 11), (13, 10, 14, 11), (30, 10, 31, 11), (10, 12, 11, 13)]
    assert changes(np.full((9, 9, 3), 7, np.uint8)).any() is np.False_


def test_a_frame_around_one_thing_is_that_thing() -> None:
    frame, inner, other = (0, 0, 100, 100), (10, 10, 40, 30), (50, 50, 90, 60)
    assert things([frame, inner]) == [frame]
    assert things([frame, inner, other]) == [inner, other]
    assert things([(0, 0, 3, 3)]) == things([]) == []
