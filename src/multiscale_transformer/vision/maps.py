"""Elements as maps of their centres, which a net learns, and the elements in maps that it gives.

A cell of the map stands for STRIDE x STRIDE pixels. Around the centre of an element its class is likely, less so with the
distance; the cells near it say where its sides are, as in TTFNet (Liu et al. 2019, arXiv 1909.00700).
"""

# Shape suffixes: K classes, S states, H rows and W columns of cells, N elements.

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from multiscale_transformer.model.vision_config import STRIDE
from multiscale_transformer.vision.elements import (
    CAN_BE_DISABLED,
    CHECKABLE,
    CHECKED,
    DISABLED,
    Box,
    Element,
    area,
    covering,
    overlap,
)

Floats = NDArray[np.float32]

SPREAD = 0.54  # of the sides of an element: cells that learn from it
MIN_DISTANCE = 0.05  # cells from the middle of a cell to a side
MIN_CENTRE = 0.1  # of what is proposed
MIN_SCORE = 0.4  # of an element that is reported
MAX_ELEMENTS = 60  # that are proposed, the likeliest first
SAME = 0.5  # overlap from which two finds are one element
WITHIN = 0.5  # of the smaller one: how much of it two elements may share


class Targets(NamedTuple):
    """What the maps of a picture should be; `weights_HW` says how much the sides of a cell count."""

    centres_HW: Floats
    sides_4HW: Floats
    weights_HW: Floats


class Proposal(NamedTuple):
    """A box in which an element may be, with how likely the net finds it."""

    box: Box
    score: float


class Found(NamedTuple):
    """An element as a net sees it, with how sure it is."""

    element: Element
    score: float


def targets(elements: Sequence[Element], cells: int) -> Targets:
    """The maps of cells x cells for a picture with these elements."""
    made = Targets(
        np.zeros((cells, cells), np.float32),
        np.zeros((4, cells, cells), np.float32),
        np.zeros((cells, cells), np.float32),
    )
    for element in sorted(elements, key=lambda one: -area(one.box)):  # the smaller one has the last word
        if area(element.box):
            _draw(made, element.box, cells)
    return made


def _draw(made: Targets, box: Box, cells: int) -> None:
    x0, y0, x1, y1 = (side / STRIDE for side in box)
    column, row = (min(cells - 1, int(middle)) for middle in ((x0 + x1) / 2, (y0 + y1) / 2))
    wide, high = (int(length / 2 * SPREAD) for length in (x1 - x0, y1 - y0))
    left, right = max(0, column - wide), min(cells, column + wide + 1)
    top, bottom = max(0, row - high), min(cells, row + high + 1)
    xs, ys = np.arange(left, right), np.arange(top, bottom)
    near_HW = np.exp(
        -(((xs[None] - column) / ((2 * wide + 1) / 3)) ** 2 + ((ys[:, None] - row) / ((2 * high + 1) / 3)) ** 2) / 0.5
    ).astype(np.float32)
    place = slice(top, bottom), slice(left, right)
    centres_HW = made.centres_HW[place]
    np.maximum(centres_HW, near_HW, out=centres_HW)
    made.weights_HW[place] = near_HW / near_HW.sum()
    shape = near_HW.shape
    distances = (xs[None] + 0.5 - x0, ys[:, None] + 0.5 - y0, x1 - xs[None] - 0.5, y1 - ys[:, None] - 0.5)
    for number, distance in enumerate(distances):
        made.sides_4HW[number][place] = np.broadcast_to(np.log(np.maximum(distance, MIN_DISTANCE)), shape)


def proposals_in(centres_HW: Floats, sides_4HW: Floats, min_score: float = MIN_CENTRE) -> list[Proposal]:
    """The boxes in maps of logits and distances, surest first: peaks of the centres that no surer one overlaps."""
    padded = np.pad(centres_HW, 1, constant_values=-np.inf)
    rows, columns = centres_HW.shape
    highest_HW = np.max([padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)], 0)
    limit = np.log(min_score / (1 - min_score))
    ys, xs = np.nonzero((centres_HW >= highest_HW) & (centres_HW > limit))
    order = np.argsort(-centres_HW[ys, xs], kind="stable")
    kept: list[Proposal] = []
    for y, x in zip(ys[order].tolist(), xs[order].tolist(), strict=True):
        box = _box(x, y, sides_4HW[:, y, x], rows * STRIDE)
        if area(box) and not any(overlap(box, other.box) > SAME for other in kept):
            kept.append(Proposal(box, float(1 / (1 + np.exp(-centres_HW[y, x])))))
        if len(kept) == MAX_ELEMENTS:
            break
    return kept


def distinct(found: Sequence[Found]) -> list[Found]:
    """Finds, surest first, without those that share half of the smaller one with a surer one: elements do not nest."""
    kept: list[Found] = []
    for one in found:
        if area(one.element.box) and not any(covering(one.element.box, other.element.box) > WITHIN for other in kept):
            kept.append(one)
    return kept


def _box(x: int, y: int, sides_4: Floats, side: int) -> Box:
    left, top, right, bottom = np.exp(np.clip(sides_4, -4, 6)).tolist()
    edges = (x + 0.5 - left, y + 0.5 - top, x + 0.5 + right, y + 0.5 + bottom)
    x0, y0, x1, y1 = (min(max(round(edge * STRIDE), 0), side) for edge in edges)
    return x0, y0, x1, y1


def possible(kind: str, states: tuple[str, ...]) -> tuple[str, ...]:
    """The states that an element of a class may have, of those given."""
    allowed = {CHECKED: CHECKABLE, DISABLED: CAN_BE_DISABLED}
    return tuple(state for state in states if kind in allowed[state])
