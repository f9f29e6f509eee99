"""A layout by rule: bands and columns by what is free between elements, and frames by the grounds on which they stand.

The recursive XY-cut of Nagy & Seth (1984). It is a draft for the decoder of layouts and a rival of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from multiscale_transformer.vision.elements import Box, Element, overlap
from multiscale_transformer.vision.grounds import NONE, Grounds
from multiscale_transformer.vision.layout import Group, Leaf, Node

SLACK = 0.25  # share of the smaller one that may overlap where two parts stand below or beside one another
ALIGNED = 3  # pixels by which columns are off that continue those above
WITHIN = 3  # pixels by which an element may stand out of its frame
OWN = 0.7  # overlap with an element from which what looks like its frame is its own ground
ROWS = ("link", "button", "checkbox", "radio")  # several rows of these stand below one another


@dataclass(frozen=True)
class Part:
    """An element or a frame with all that is in it: its place, its node, and the numbers of its elements in reading order."""

    box: Box
    node: Node
    order: tuple[int, ...]


def draft(elements: Sequence[Element], frames: Sequence[Box | None]) -> tuple[Group, list[int]]:
    """The tree of a page with these elements, each once, and their numbers in its order.

    `frames` are, for each element, the box of the card or bar in which it stands, or None.
    """
    leaves = [Part(one.box, Leaf(one.kind, one.states), (number,)) for number, one in enumerate(elements)]
    parts = [leaf for leaf, frame in zip(leaves, frames, strict=True) if frame is None]
    for frame in sorted({frame for frame in frames if frame is not None}):
        held = [leaf for leaf, own in zip(leaves, frames, strict=True) if own == frame]
        inner = _stacked(held, _row_of_leaves)
        parts.append(Part(frame, Group("box", tuple(one.node for one in inner)), _order(inner)))
    page = _stacked(parts, _row)
    return Group("column", tuple(one.node for one in page)), list(_order(page))


def _order(parts: Sequence[Part]) -> tuple[int, ...]:
    return tuple(number for part in parts for number in part.order)


def _stacked(parts: Sequence[Part], row: Callable[[list[Part]], list[Part]]) -> list[Part]:
    """Parts below one another, of those that overlap in height `row` makes one or a few."""
    return [made for band in _merged_bands(_cut(parts, 1)) for made in row(band)]


def _cut(parts: Sequence[Part], axis: int) -> list[list[Part]]:
    """Parts in groups that are free of one another along an axis (0 from left to right, 1 from above to below)."""
    groups: list[list[Part]] = []
    end = 0.0
    for part in sorted(parts, key=lambda one: (one.box[axis], one.box[1 - axis], one.box)):
        start, stop = part.box[axis], part.box[axis + 2]
        smallest = min([stop - start, *(one.box[axis + 2] - one.box[axis] for one in groups[-1])]) if groups else 0
        if not groups or start >= end - SLACK * smallest:
            groups.append([])
            end = float(stop)
        groups[-1].append(part)
        end = max(end, stop)
    return groups


def _merged_bands(bands: list[list[Part]]) -> list[list[Part]]:
    """Bands, of which those that continue the columns of the one above are one with it."""
    merged: list[list[Part]] = []
    for band in bands:
        if merged and len(merged[-1]) > 1 and (_within_one(merged[-1], band) or _continued(merged[-1], band)):
            merged[-1] = merged[-1] + band
        else:
            merged.append(band)
    return merged


def _within_one(above: list[Part], band: list[Part]) -> bool:
    """Whether a band stands under one column of those above, which is not the first: a page's own parts begin at the left."""
    lefts = _lefts(above)
    left, right = min(part.box[0] for part in band), max(part.box[2] for part in band)
    ends = [*lefts[1:], max(part.box[2] for part in above) + ALIGNED]
    return any(left >= start - ALIGNED and right <= end for start, end in zip(lefts[1:], ends[1:], strict=True))


def _continued(above: list[Part], band: list[Part]) -> bool:
    """Whether a band has the columns of the one above, and is no further row of buttons or of fields with a button."""
    lefts, own = _lefts(above), _lefts(band)
    if len(own) < 2 or len(own) != len(lefts) or any(abs(one - two) > ALIGNED for one, two in zip(lefts, own, strict=True)):
        return False
    kinds = [part.node.kind if isinstance(part.node, Leaf) else "" for part in sorted(band, key=lambda one: one.box[0])]
    return kinds != ["field", "button"] and not (len(set(kinds)) == 1 and kinds[0] in ROWS)


def _lefts(band: Sequence[Part]) -> list[int]:
    return [min(part.box[0] for part in column) for column in _cut(band, 0)]


def _row(band: list[Part]) -> list[Part]:
    """A band of a page: a row of elements, columns and frames, or what stands in it below one another."""
    if len(band) == 1:
        return band
    columns = _cut(band, 0)
    if len(columns) == 1:
        return sorted(band, key=lambda one: (one.box[1], one.box))
    cells = [cell for column in columns for cell in _cell(column)]
    return [Part(_around(cells), Group("row", tuple(one.node for one in cells)), _order(cells))]


def _cell(column: list[Part]) -> list[Part]:
    """A column of a row: what stands in it, or the frames in it one by one where it has any."""
    if len(column) == 1:
        return column
    if any(isinstance(part.node, Group) for part in column):
        return sorted(column, key=lambda one: (one.box[1], one.box))
    inner = _stacked(column, _row_of_leaves)
    if len(inner) == 1:
        return [Part(one.box, one.node, one.order) for one in sorted(column, key=lambda one: one.box)]
    return [Part(_around(inner), Group("column", tuple(one.node for one in inner)), _order(inner))]


def _row_of_leaves(band: list[Part]) -> list[Part]:
    """A band of a column or a frame: an element, or a row of elements."""
    if len(band) == 1:
        return band
    if len(_cut(band, 0)) == 1:
        return sorted(band, key=lambda one: (one.box[1], one.box))
    inner = sorted(band, key=lambda one: one.box)
    return [Part(_around(inner), Group("row", tuple(one.node for one in inner)), _order(inner))]


def _around(parts: Sequence[Part]) -> Box:
    x0, y0, x1, y1 = zip(*(part.box for part in parts), strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def frames_of(elements: Sequence[Element], seen: Grounds) -> list[Box | None]:
    """The card or bar in which each element stands, None where that is the page: the ground around it, if it is another.

    A ground on which one element stands alone, and hardly more, is its own: that of code whose box is a little too small.
    """
    page, on = seen.page, [seen.of(element.box) for element in elements]
    frames: list[Box | None] = []
    for element, ground in zip(elements, on, strict=True):
        frame = seen.box(ground) if ground not in (page, NONE) else None
        own = frame is not None and on.count(ground) == 1 and overlap(frame, element.box) > OWN
        frames.append(frame if frame is not None and not own and _holds(frame, element.box) else None)
    return frames


def _holds(frame: Box, box: Box) -> bool:
    (x0, y0, x1, y1), (a, b, c, d) = frame, box
    return x0 - WITHIN <= a and y0 - WITHIN <= b and c <= x1 + WITHIN and d <= y1 + WITHIN
