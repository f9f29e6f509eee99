"""What a net that sees has to beat: nearest neighbours of pixels and geometry, the majority, connected components, XY-cut.

Each learns from the same pages as the nets. Detection is as UIED has it: where the picture changes, joined to components; a
frame around one thing counts as that thing and one around several as none; each box has the class of its nearest neighbour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiscale_transformer.vision.elements import SIDE, Box, Element, Page, Picture, area
from multiscale_transformer.vision.grounds import grounds
from multiscale_transformer.vision.layout import line_of
from multiscale_transformer.vision.measures import matched, total
from multiscale_transformer.vision.xy_cut import draft, frames_of

Floats = NDArray[np.float32]
CROP = 16  # pixels of the side to which a crop is averaged
_ROWS = 512  # of queries that are compared at once
_CHANGE = 14  # of 255: what counts as a change of colour between neighbours
# pixels right and down within which components are one; the best is taken
_REACHES = ((9, 4), (9, 7), (13, 5), (13, 8), (18, 6), (18, 9), (24, 7), (24, 10))


def pixels_of(picture_HWC: Picture, boxes: Sequence[Box], side: int = CROP) -> Floats:
    """Each box of a picture averaged to side x side, flat; its shape is lost."""
    sums = np.pad(picture_HWC.astype(np.float64), ((1, 0), (1, 0), (0, 0))).cumsum(0).cumsum(1)
    rows = []
    for x0, y0, x1, y1 in boxes:
        x = _between(sums, np.linspace(x0, max(x1, x0 + 1), side + 1), axis=1)
        xy = _between(x, np.linspace(y0, max(y1, y0 + 1), side + 1), axis=0)
        cells = np.diff(np.diff(xy, axis=0), axis=1)
        size = max(x1 - x0, 1) * max(y1 - y0, 1) / side**2
        rows.append((cells / size / 255).ravel())
    return np.array(rows, np.float32).reshape(len(rows), side * side * 3)


def _between(sums: NDArray[np.float64], places: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Values of a running sum at fractional places."""
    low = np.clip(np.floor(places).astype(int), 0, sums.shape[axis] - 2)
    part = (places - low).reshape([-1 if number == axis else 1 for number in range(3)])
    between: NDArray[np.float64] = np.take(sums, low, axis) * (1 - part) + np.take(sums, low + 1, axis) * part
    return between


def geometry_of(boxes: Sequence[Box]) -> Floats:
    """Place, size and shape of each box, in shares of the picture's side; sizes as logarithms, too."""
    if not boxes:
        return np.zeros((0, 7), np.float32)
    x0, y0, x1, y1 = np.array(boxes, np.float64).T
    wide, high = np.maximum(x1 - x0, 1), np.maximum(y1 - y0, 1)
    return np.stack(
        [x0 / SIDE, y0 / SIDE, wide / SIDE, high / SIDE, np.log(wide), np.log(high), np.log(wide / high)], 1
    ).astype(np.float32)


class Nearest:
    """Labels of rows, of which a query gets that of the nearest."""

    def __init__(self, rows: Floats, labels: Sequence[str]) -> None:
        self._rows, self._labels = rows, labels
        self._squares = (rows**2).sum(1)

    def at(self, queries: Floats) -> NDArray[np.intp]:
        """Which row is nearest to each query."""
        best = [
            np.argmin(self._squares - 2 * queries[first : first + _ROWS] @ self._rows.T, 1)
            for first in range(0, len(queries), _ROWS)
        ]
        return np.concatenate(best) if best else np.zeros(0, np.intp)

    def labels(self, queries: Floats) -> list[str]:
        """The label of each query."""
        return [self._labels[index] for index in self.at(queries)]


class ClassRivals:
    """Classes of boxes by nearest neighbour (of pixels, of geometry, of both), and the majority, learnt from pages."""

    def __init__(self, pages: Iterable[Page]) -> None:
        pixels, geometry, kinds = [], [], []
        for page in pages:
            boxes = [element.box for element in page.elements]
            pixels.append(pixels_of(page.picture_HWC, boxes))
            geometry.append(geometry_of(boxes))
            kinds += [element.kind for element in page.elements]
        self.majority = Counter(kinds).most_common(1)[0][0]
        self._by_pixels = Nearest(np.concatenate(pixels), kinds)
        self._by_geometry = Nearest(np.concatenate(geometry), kinds)
        self._by_both = Nearest(np.concatenate([_both(*pair) for pair in zip(pixels, geometry, strict=True)]), kinds)

    def classify(self, picture_HWC: Picture, boxes: Sequence[Box]) -> dict[str, list[str]]:
        """The class of each box, by rival."""
        pixels, geometry = pixels_of(picture_HWC, boxes), geometry_of(boxes)
        return {
            "pixel nearest neighbour": self._by_pixels.labels(pixels),
            "geometry nearest neighbour": self._by_geometry.labels(geometry),
            "pixel and geometry nearest neighbour": self._by_both.labels(_both(pixels, geometry)),
            "majority": [self.majority] * len(boxes),
        }

    def best(self, picture_HWC: Picture, boxes: Sequence[Box]) -> list[str]:
        """The class of each box by the strongest of them."""
        return self._by_both.labels(_both(pixels_of(picture_HWC, boxes), geometry_of(boxes)))


def _both(pixels: Floats, geometry: Floats) -> Floats:
    """Pixels and geometry in one row, on scales that weigh about the same."""
    return np.concatenate([pixels, geometry * np.float32(CROP / 4)], 1)


@dataclass
class Components:
    """Elements by connected components, with the class of the nearest neighbour."""

    classes: ClassRivals
    reach: tuple[int, int] = _REACHES[0]

    @classmethod
    def fitted(cls, classes: ClassRivals, pages: Sequence[Page]) -> Components:
        """With the reach whose boxes are best on `pages`, whatever their classes: those of pages to train on are known."""
        masks = [changes(page.picture_HWC) for page in pages]
        there = [[Element("", element.box) for element in page.elements] for page in pages]

        def f1(reach: tuple[int, int]) -> float:
            said = ([Element("", box) for box in things(components(mask, reach))] for mask in masks)
            return total(matched(*pair, 0.5) for pair in zip(there, said, strict=True)).f1

        return cls(classes, max(_REACHES, key=f1))

    def elements(self, picture_HWC: Picture) -> tuple[Element, ...]:
        """What it sees on a picture, from above to below."""
        boxes = things(components(changes(picture_HWC), self.reach))
        return tuple(map(Element, self.classes.best(picture_HWC, boxes), boxes))


def changes(picture_HWC: Picture) -> NDArray[np.bool_]:
    """Where a pixel differs from the one to its right or below."""
    values = picture_HWC.astype(np.int16)
    mask = np.zeros(values.shape[:2], np.bool_)
    mask[:, :-1] |= np.abs(np.diff(values, axis=1)).max(2) > _CHANGE
    mask[:-1] |= np.abs(np.diff(values, axis=0)).max(2) > _CHANGE
    return mask


def components(mask: NDArray[np.bool_], reach: tuple[int, int]) -> list[Box]:
    """Boxes of what hangs together, when marks that are at most `reach` (right, down) apart do."""
    parents: list[int] = []
    boxes: list[list[int]] = []

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = number = parents[parents[number]]
        return number

    above: list[tuple[int, list[tuple[int, int, int]]]] = []  # rows within reach: y, runs of (x0, x1, number)
    for y in np.flatnonzero(mask.any(1)):
        runs = []
        marks = np.flatnonzero(mask[y])
        cuts = np.flatnonzero(np.diff(marks) > reach[0])
        starts, ends = marks[np.r_[0, cuts + 1]], marks[np.r_[cuts, len(marks) - 1]]
        above = [(row, old) for row, old in above if y - row <= reach[1]]
        for x0, x1 in zip(starts.tolist(), ends.tolist(), strict=True):
            number = len(parents)
            parents.append(number)
            boxes.append([x0, int(y), x1 + 1, int(y) + 1])
            for _, old in above:
                for left, right, other in old:
                    if left <= x1 and right >= x0:
                        parents[root(other)] = root(number)
            runs.append((x0, x1, number))
        above.append((int(y), runs))
    whole: dict[int, Box] = {}
    for number, (x0, y0, x1, y1) in enumerate(boxes):
        a, b, c, d = whole.get(root(number), (SIDE, SIDE, 0, 0))
        whole[root(number)] = (min(a, x0), min(b, y0), max(c, x1), max(d, y1))
    return sorted(whole.values(), key=lambda box: (box[1], box[0]))


def things(boxes: Sequence[Box], least: int = 40) -> list[Box]:
    """Boxes that are things of their own: not within another thing, and no frame around several; none under `least` pixels."""
    large = [box for box in boxes if area(box) >= least]
    if not large:
        return []
    x0, y0, x1, y1 = np.array(large).T
    holds_NN = (x0[:, None] <= x0) & (y0[:, None] <= y0) & (x1[:, None] >= x1) & (y1[:, None] >= y1)
    np.fill_diagonal(holds_NN, False)
    sizes = (x1 - x0) * (y1 - y0)
    largest_within = np.where(holds_NN, sizes, 0).max(1)
    kept = ~((holds_NN.sum(1) >= 2) & (sizes > 4 * largest_within))
    return [box for number, box in enumerate(large) if kept[number] and not (holds_NN[:, number] & kept).any()]


def layout_by_rule(picture_HWC: Picture, elements: Sequence[Element]) -> str:
    """The line of elements by XY-cut and grounds alone, nothing for none."""
    tree, _ = draft(elements, frames_of(elements, grounds(picture_HWC)))
    return line_of(tree)


class NearestPage:
    """The page to train on that looks most like a picture: what re-rendering has to beat."""

    def __init__(self, pages: Iterable[Page], side: int = 24) -> None:
        self._side = side
        self._pages: list[Page] = list(pages)
        rows = [pixels_of(page.picture_HWC, [(0, 0, SIDE, SIDE)], side) for page in self._pages]
        self._nearest = Nearest(np.concatenate(rows), [""] * len(rows))

    def of(self, picture_HWC: Picture) -> Page:
        """The nearest page."""
        row = pixels_of(picture_HWC, [(0, 0, SIDE, SIDE)], self._side)
        return self._pages[int(self._nearest.at(row)[0])]
