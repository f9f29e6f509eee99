"""Two views of an element for a net: the element, and its surroundings, each scaled to a fixed size with a mask of where it is.

Training and inference cut in the same way, in NumPy. What is shrunk is averaged first, so that thin lines stay.
"""

# Shape suffixes: H rows, W columns, C channels, B views, G numbers of geometry.

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from multiscale_transformer.model.vision_config import CROP_CHANNELS, GEOMETRY, CropConfig
from multiscale_transformer.vision.elements import Picture

Floats = NDArray[np.float32]
FloatBox = tuple[float, float, float, float]

MARGIN = 0.12  # of the shorter side that is shown around an element, and ...
MIN_MARGIN = 4.0  # pixels at least
SURROUNDING, MIN_WINDOW = 2.0, 96.0  # times the longer side, and pixels at least, that are shown as surroundings


def crops(picture_HWC: Picture, boxes: Sequence[FloatBox], config: CropConfig) -> tuple[Floats, Floats, Floats]:
    """Views (B, H, W, C) of elements and of their surroundings, and geometry (B, G), as `CropNet` reads them."""
    views = np.empty((len(boxes), *config.view, CROP_CHANNELS), np.float32)
    windows = np.empty((len(boxes), *config.view, CROP_CHANNELS), np.float32)
    geometry_BG = np.empty((len(boxes), GEOMETRY), np.float32)
    side = max(picture_HWC.shape[:2])
    for number, box in enumerate(boxes):
        x0, y0, x1, y1 = box
        wide, high = max(1.0, x1 - x0), max(1.0, y1 - y0)
        margin = max(MIN_MARGIN, MARGIN * min(wide, high))
        _view(picture_HWC, (x0 - margin, y0 - margin, x1 + margin, y1 + margin), box, views[number])
        half = min(float(side), max(MIN_WINDOW, SURROUNDING * max(wide, high))) / 2
        middle, centre = (x0 + x1) / 2, (y0 + y1) / 2
        _view(picture_HWC, (middle - half, centre - half, middle + half, centre + half), box, windows[number])
        logs = math.log(wide) / 5, math.log(high) / 5
        geometry_BG[number] = (middle / side, centre / side, wide / side, high / side, *logs)
    return views, windows, geometry_BG


def _view(picture_HWC: Picture, region: FloatBox, box: FloatBox, out_HWC: Floats) -> None:
    """A region of a picture scaled into `out_HWC`; beyond its edges the picture goes on as it ends."""
    rows, columns = out_HWC.shape[:2]
    x0, y0, x1, y1 = region
    xs = x0 + (np.arange(columns) + 0.5) * ((x1 - x0) / columns)
    ys = y0 + (np.arange(rows) + 0.5) * ((y1 - y0) / rows)
    part = picture_HWC
    top, bottom = _within(math.floor(y0) - 1, math.ceil(y1) + 2, part.shape[0])
    left, right = _within(math.floor(x0) - 1, math.ceil(x1) + 2, part.shape[1])
    part_HWC = part[top:bottom, left:right].astype(np.float32)
    part_HWC, high = _halved(part_HWC, (y1 - y0) / rows, 0)
    part_HWC, wide = _halved(part_HWC, (x1 - x0) / columns, 1)
    part_HWC = _interpolated(part_HWC, (ys - top) / high - 0.5, 0)
    out_HWC[..., :3] = _interpolated(part_HWC, (xs - left) / wide - 0.5, 1)
    out_HWC[..., :3] *= 1 / 127.5
    out_HWC[..., :3] -= 1.0
    inside_H, inside_W = (ys >= box[1]) & (ys < box[3]), (xs >= box[0]) & (xs < box[2])
    out_HWC[..., 3] = inside_H[:, None] & inside_W


def _within(first: int, last: int, size: int) -> tuple[int, int]:
    """A range of indexes that is not empty, cut to what there is."""
    first = min(max(first, 0), size - 1)
    return first, max(first + 1, min(last, size))


def _halved(part_HWC: Floats, scale: float, axis: int) -> tuple[Floats, int]:
    """The mean of neighbours along an axis until fewer than two fall on a pixel of the view, and how many each stands for."""
    count = 1
    while scale / count >= 2 and part_HWC.shape[axis] >= 2:
        even = part_HWC.shape[axis] // 2 * 2
        first, second = (slice(start, even, 2) for start in (0, 1))
        index = (slice(None),) * axis
        part_HWC = (part_HWC[(*index, first)] + part_HWC[(*index, second)]) * np.float32(0.5)
        count *= 2
    return part_HWC, count


def _interpolated(part_HWC: Floats, places: NDArray[np.float64], axis: int) -> Floats:
    """Values between the neighbours of fractional places along an axis."""
    places = np.clip(places, 0, part_HWC.shape[axis] - 1)
    low = places.astype(np.intp)
    high = np.minimum(low + 1, part_HWC.shape[axis] - 1)
    share = (places - low).astype(np.float32)
    share = share[:, None, None] if axis == 0 else share[None, :, None]
    below, above = part_HWC.take(low, axis), part_HWC.take(high, axis)
    return below + (above - below) * share  # type: ignore[no-any-return]
