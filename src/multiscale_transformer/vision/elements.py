"""What a page consists of to somebody who looks at it: elements of sixteen classes, with boxes and states.

An element is what a person would name: a paragraph is one, links within it are none of their own; a checkbox is the box that is
ticked and the words beside it. A switch is a checkbox in another dress. What only holds others (a card, a bar) is no element
but part of the layout (`layout.py`). Boxes are in pixels of the picture, from the upper left corner, the lower right excluded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLASSES = (
    "heading",
    "text",
    "link",
    "button",
    "field",
    "area",
    "select",
    "checkbox",
    "radio",
    "slider",
    "progress",
    "image",
    "table",
    "list",
    "code",
    "alert",
)
CHECKED, DISABLED = "checked", "disabled"
STATES = (CHECKED, DISABLED)
CHECKABLE = ("checkbox", "radio")
CAN_BE_DISABLED = ("button", "field", "area", "select", "checkbox", "radio", "slider")
SIDE = 384  # pixels: pages are pictures of SIDE x SIDE

Box = tuple[int, int, int, int]  # x0, y0, x1, y1
Picture = NDArray[np.uint8]  # H, W, 3: red, green, blue


@dataclass(frozen=True)
class Element:
    """One thing on a page: its class (`kind`), where it is, and its states in the order of STATES."""

    kind: str
    box: Box
    states: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A rendered page: the picture, its elements in reading order, the line of its layout, and where it came from."""

    picture_HWC: Picture
    elements: tuple[Element, ...]
    layout: str
    library: str
    split: str


def overlap(first: Box, second: Box) -> float:
    """Area that two boxes share, as a share of the area that they cover together (IoU)."""
    shared = _shared(first, second)
    return shared / (area(first) + area(second) - shared) if shared else 0.0


def covering(first: Box, second: Box) -> float:
    """Area that two boxes share, as a share of the smaller one: 1 where one lies within the other."""
    shared = _shared(first, second)
    return shared / min(area(first), area(second)) if shared else 0.0


def _shared(first: Box, second: Box) -> int:
    wide = min(first[2], second[2]) - max(first[0], second[0])
    high = min(first[3], second[3]) - max(first[1], second[1])
    return wide * high if wide > 0 and high > 0 else 0


def area(box: Box) -> int:
    """Pixels in a box."""
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])
