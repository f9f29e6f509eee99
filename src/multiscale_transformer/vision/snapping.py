"""Boxes whose sides are moved to what is drawn: a net is a few pixels off, and pixels are not.

Of everything that differs from the ground of an element (`grounds`), each row and column of its box has some or none. A side
goes to the nearest place where something begins behind enough that is free, so not to a letter within a word. What is written
is framed by the font and not by its ink: above and below it keeps its place, beside it there is a pixel.
"""

# Shape suffixes: H rows, W columns.

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiscale_transformer.vision.elements import Box, Element, area
from multiscale_transformer.vision.grounds import NONE, Grounds

REACH = (12, 5)  # pixels by which a side is moved at most: to the left or right, up or down
FREE = (6, 4)  # pixels that are free before something that begins
CROWDED = 2.0  # pixels of distance that each pixel less of those weighs
WORDS = ("heading", "text", "link", "checkbox", "radio", "list", "code")
BESIDE = 1  # pixels between the ink of words and the sides of their box

Mask = NDArray[np.bool_]


def snapped(element: Element, seen: Grounds) -> Box:
    """The box of an element with each side where something begins to be drawn, no side farther off than REACH."""
    ground = seen.of(element.box)
    if ground == NONE or not area(element.box):
        return element.box
    return snapped_in(seen.labels_HW != ground, element.box, words=element.kind in WORDS)


def snapped_in(drawn_HW: Mask, box: Box, *, words: bool) -> Box:
    """The box with its sides moved to where something is drawn."""
    sides = list(box)
    for axis in (0,) if words else (1, 0, 1):
        low, high = sides[1 - axis], sides[3 - axis]
        band = drawn_HW[low:high] if axis == 0 else drawn_HW[:, low:high].T
        some: Mask = np.any(band, axis=0)
        before, behind = box[axis], box[axis + 2]
        first = _begin(some, before, axis, BESIDE if words else 0)
        last = len(some) - _begin(some[::-1], len(some) - behind, axis, BESIDE if words else 0)
        if first < last:
            sides[axis], sides[axis + 2] = first, last
    x0, y0, x1, y1 = sides
    return x0, y0, x1, y1


def _begin(some: Mask, side: int, axis: int, beside: int) -> int:
    """The best place near a side `beside` which something begins behind what is free; the side itself where there is none."""
    reach, free = REACH[axis], FREE[axis]
    low, high = max(0, side - reach + beside), min(len(some), side + reach + beside + 1)
    padded = np.concatenate([np.zeros(free, np.bool_), some])
    best, cost = side, np.inf
    for place in range(low, high):
        if some[place] and not padded[place + free - 1]:
            before = padded[place : place + free][::-1]
            gap = int(before.argmax()) if before.any() else free
            price = abs(place - beside - side) + CROWDED * (free - gap)
            if price < cost:
                best, cost = max(0, place - beside), price
    return best
