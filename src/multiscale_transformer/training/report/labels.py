"""Names beside the ends of their curves instead of a legend: readers need not carry colours from a box to a line.

Curves end close together, so the names are moved apart and a thin line joins each to the point it speaks of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multiscale_transformer.training.report.drawing import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINE_HEIGHT = 17  # pixels
_ELBOW = 16  # pixels from the edge of the plot to the words
_LONGEST_NAME = 34
_LETTER = 6.9  # mean width of a letter in pixels


@dataclass(frozen=True)
class Label:
    """Words about the point (x, y) of a plot, in the coordinates of its data; `role` is the colour of the joining line."""

    words: str
    x: float
    y: float
    role: str


def shorten(name: str) -> str:
    """A name that fits beside a plot: the middle of a long one is left out, since names differ at their ends."""
    half = (_LONGEST_NAME - 1) // 2
    return name if len(name) <= _LONGEST_NAME else f"{name[:half]}…{name[-half:]}"


def margin_for(letters: int) -> float:
    """Pixels to keep free right of a plot for labels of so many letters."""
    return _ELBOW + 10 + _LETTER * letters


def write_labels(axes: Axes, labels: Sequence[Label]) -> None:
    """Write `labels` right of `axes`, whose limits must be final."""
    from matplotlib.lines import Line2D

    figure, box = axes.figure, axes.get_window_extent()
    width, height = figure.bbox.width, figure.bbox.height
    ends = [axes.transData.transform((label.x, label.y)) for label in labels]
    places = spread([y for _, y in ends], LINE_HEIGHT, box.y0 + LINE_HEIGHT / 2, box.y1)
    for label, (x, y), place in zip(labels, ends, places, strict=True):
        path_x, path_y = [x, max(x, box.x1), box.x1 + _ELBOW - 4], [y, y, place]
        line = Line2D(
            [x / width for x in path_x], [y / height for y in path_y], color=LIGHT[label.role], linewidth=0.8, alpha=0.6
        )
        figure.add_artist(line)
        ink = LIGHT["muted" if label.role == "muted" else "ink"]
        figure.text((box.x1 + _ELBOW) / width, place / height, label.words, color=ink, va="center_baseline")


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near to the `wanted` ones as can be, in the same order, at least `gap` apart, from `low` up to `high`.

    Least squares: neighbours that are too close are pooled around their mean (isotonic regression, Barlow et al. 1972).
    More than fit between the bounds run over `high`.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    pools: list[tuple[float, int]] = []  # (mean place of the pool, counted without the gaps; places in it)
    for rank, index in enumerate(order):
        mean, size = wanted[index] - rank * gap, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    means = [mean for mean, size in pools for _ in range(size)]
    last = max(low, high - (len(wanted) - 1) * gap)
    places = [0.0] * len(wanted)
    for rank, index in enumerate(order):
        places[index] = min(max(means[rank], low), last) + rank * gap
    return places
