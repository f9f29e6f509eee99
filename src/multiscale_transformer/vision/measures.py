"""How well a page was seen: classes, boxes, the layout, and a page that was drawn again beside the original.

All of them are counts that add up over pages, so a figure of a data set weighs elements and tokens, not pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiscale_transformer.vision.elements import CLASSES, SIDE, Box, Element, Picture, area, overlap
from multiscale_transformer.vision.layout import tokens

NEAR = 0.1  # share of the picture's side that the centres of blocks which match may be apart
_WINDOW = 7  # pixels of the side of the windows that SSIM compares, as its authors have them
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


@dataclass(frozen=True)
class Counts:
    """What was right, what was said, and what there was; they add."""

    right: float = 0
    said: float = 0
    there: float = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.said + other.said, self.there + other.there)

    @property
    def precision(self) -> float:
        """Share of what was said that was right."""
        return self.right / self.said if self.said else 0.0

    @property
    def recall(self) -> float:
        """Share of what there was that was found."""
        return self.right / self.there if self.there else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where there was nothing and nothing was said."""
        return 2 * self.right / (self.said + self.there) if self.said + self.there else 1.0


def total(counts: Iterable[Counts]) -> Counts:
    """The sum."""
    return sum(counts, Counts())


def accuracy(expected: Sequence[str], given: Sequence[str]) -> float:
    """Share of classes that are right."""
    return sum(map(str.__eq__, expected, given)) / len(expected) if expected else 0.0


def accuracy_by_class(expected: Sequence[str], given: Sequence[str]) -> dict[str, float]:
    """Share that is right of each class that occurs; the mean of these does not favour the frequent ones."""
    found = {}
    for kind in CLASSES:
        of_kind = [answer for truth, answer in zip(expected, given, strict=True) if truth == kind]
        if of_kind:
            found[kind] = of_kind.count(kind) / len(of_kind)
    return found


def matched(there: Sequence[Element], said: Sequence[Element], least: float) -> Counts:
    """Elements whose class is right and whose box overlaps by `least` (IoU), each once, the best pairs first."""
    pairs = [
        (overlap(truth.box, answer.box), row, column)
        for row, truth in enumerate(there)
        for column, answer in enumerate(said)
        if truth.kind == answer.kind
    ]
    right, rows, columns = 0, set[int](), set[int]()
    for shared, row, column in sorted(pairs, reverse=True):
        if shared < least:
            break
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            right += 1
    return Counts(right, len(said), len(there))


def token_errors(expected: str, given: str) -> Counts:
    """Tokens of a layout that are wrong, as pix2code counts: place by place, and every token that is missing or too many.

    The error is `right / there` of the sum: wrong tokens by tokens of the longer line.
    """
    truth, answer = tokens(expected), tokens(given)
    longer = max(len(truth), len(answer))
    same = sum(map(str.__eq__, truth, answer))
    return Counts(longer - same, len(answer), longer)


def token_error(pairs: Iterable[tuple[str, str]]) -> float:
    """Share of wrong tokens over (expected, given) lines."""
    return total(token_errors(expected, given) for expected, given in pairs).recall


def block_match(there: Sequence[Element], said: Sequence[Element]) -> Counts:
    """Area of blocks that match, of all area that blocks have on both pages (`f1` is Design2Code's block match).

    Design2Code pairs blocks by their words. Here nothing was read, so blocks of the same class match whose centres are at most
    NEAR of the side apart, the nearest first.
    """
    pairs = []
    for row, truth in enumerate(there):
        for column, answer in enumerate(said):
            apart = _apart(truth.box, answer.box)
            if truth.kind == answer.kind and apart <= NEAR:
                pairs.append((apart, row, column))
    rows, columns = set[int](), set[int]()
    for _, row, column in sorted(pairs):
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
    size_there, size_said = ([max(1, area(element.box)) for element in elements] for elements in (there, said))
    same = sum(size_there[row] for row in rows) + sum(size_said[column] for column in columns)
    return Counts(same / 2, sum(size_said), sum(size_there))


def _apart(first: Box, second: Box) -> float:
    """How far centres are apart, in shares of the side, the larger of both directions."""
    wide = abs(first[0] + first[2] - second[0] - second[2])
    high = abs(first[1] + first[3] - second[1] - second[3])
    return max(wide, high) / 2 / SIDE


def ssim(first_HWC: Picture, second_HWC: Picture) -> float:
    """Structural similarity of two pictures of the same size in grey, at most 1 (Wang et al. 2004, windows of 7 x 7)."""
    x, y = _grey(first_HWC), _grey(second_HWC)
    mean_x, mean_y = _windows(x), _windows(y)
    pixels = _WINDOW**2
    unbiased = pixels / (pixels - 1)
    var_x = (_windows(x * x) - mean_x**2) * unbiased
    var_y = (_windows(y * y) - mean_y**2) * unbiased
    both = (_windows(x * y) - mean_x * mean_y) * unbiased
    like = (2 * mean_x * mean_y + _C1) * (2 * both + _C2)
    return float(np.mean(like / ((mean_x**2 + mean_y**2 + _C1) * (var_x + var_y + _C2))))


def _grey(picture_HWC: Picture) -> NDArray[np.float64]:
    grey: NDArray[np.float64] = picture_HWC.astype(np.float64) @ np.array([0.2125, 0.7154, 0.0721])
    return grey


def _windows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of every window that lies inside."""
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    n = _WINDOW
    means: NDArray[np.float64] = (sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]) / n**2
    return means
