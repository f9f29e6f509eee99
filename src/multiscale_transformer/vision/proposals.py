"""Proposals of boxes: what a net that finds centres brings, for a second net to name, to refuse, and to put right.

A proposal is an element where it overlaps one enough, or else background. How far its sides are from those
of the true box are its deltas, in shares of its lengths, as in Faster R-CNN (Ren et al. 2015, arXiv 1506.01497).
"""

# Shape suffixes: H rows and W columns of cells, N proposals.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from multiscale_transformer.vision.crops import FloatBox
from multiscale_transformer.vision.elements import Box, Element, overlap

Floats = NDArray[np.float32]

BACKGROUND = -1  # in place of the class of a proposal that is no element
MIN_OVERLAP = 0.4  # overlap with an element from which a proposal is one: what it lacks can be put right
MAX_DELTA = 0.5  # of its lengths: how far a side is moved at most


def element_at(box: FloatBox, elements: Sequence[Element]) -> Element | None:
    """The element that a proposal overlaps most, if enough."""
    x0, y0, x1, y1 = (round(edge) for edge in box)
    best = max(elements, key=lambda element: overlap((x0, y0, x1, y1), element.box), default=None)
    return best if best and overlap((x0, y0, x1, y1), best.box) >= MIN_OVERLAP else None


def deltas_to(box: FloatBox, wanted: Box) -> tuple[float, float, float, float]:
    """How far each side of a box is from that of another, in shares of its lengths."""
    x0, y0, x1, y1 = box
    wide, high = max(1.0, x1 - x0), max(1.0, y1 - y0)
    return (wanted[0] - x0) / wide, (wanted[1] - y0) / high, (wanted[2] - x1) / wide, (wanted[3] - y1) / high


def apply_deltas(box: FloatBox, deltas_4: Floats, side: int) -> Box:
    """A box with its sides moved by shares of its lengths, within a picture of `side`."""
    x0, y0, x1, y1 = box
    wide, high = max(1.0, x1 - x0), max(1.0, y1 - y0)
    left, top, right, bottom = np.clip(deltas_4, -MAX_DELTA, MAX_DELTA).tolist()
    edges = x0 + left * wide, y0 + top * high, x1 + right * wide, y1 + bottom * high
    x0, y0, x1, y1 = (min(max(round(edge), 0), side) for edge in edges)
    return x0, y0, max(x1, x0), max(y1, y0)
