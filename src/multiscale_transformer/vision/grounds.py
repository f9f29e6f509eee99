"""Grounds: the areas in one colour on which elements stand. What differs from its ground is drawn on it.

A card or a bar is seen by its ground, which a border, another colour or a shadow parts from that of the page. Screenshots are
exact, so equal means equal; on a picture that was stored with losses there are no grounds, and nothing is concluded.
"""

# Shape suffixes: H rows, W columns, C channels, R regions.

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiscale_transformer.kernels.regions import label_regions, measure_regions
from multiscale_transformer.vision.elements import Box, Picture

LEAST = 150  # pixels of a ground
AROUND = 5  # pixels around a box in which its ground is looked for
NONE = -1  # no ground


@dataclass(frozen=True)
class Grounds:
    """The regions of a picture: the number of each pixel's, and of each region its pixels and its box."""

    labels_HW: NDArray[np.int32]
    sizes_R: NDArray[np.int32]
    boxes_R4: NDArray[np.int32]

    @property
    def page(self) -> int:
        """The ground of the page: what most of the pixels at the edge of the picture are."""
        edges = np.concatenate([self.labels_HW[0], self.labels_HW[-1], self.labels_HW[:, 0], self.labels_HW[:, -1]])
        return self._most(edges)

    def of(self, box: Box) -> int:
        """The ground on which something in `box` stands: what most of the pixels around it are; NONE where there is none.

        A region that does not reach beyond these pixels is no ground but the thing itself, whose box is a little too small.
        """
        x0, y0, x1, y1 = box
        height, width = self.labels_HW.shape
        left, top, right, bottom = max(0, x0 - AROUND), max(0, y0 - AROUND), min(width, x1 + AROUND), min(height, y1 + AROUND)
        above, below = self.labels_HW[top : max(0, y0), left:right], self.labels_HW[y1:bottom, left:right]
        before, behind = self.labels_HW[y0:y1, left : max(0, x0)], self.labels_HW[y0:y1, x1:right]
        ring = np.concatenate([part.ravel() for part in (above, below, before, behind)])
        low, high = self.boxes_R4[ring, :2], self.boxes_R4[ring, 2:]
        return self._most(ring[((low < (left, top)) | (high > (right, bottom))).any(1)])

    def _most(self, pixels: NDArray[np.int32]) -> int:
        pixels = pixels[self.sizes_R[pixels] >= LEAST]
        return int(np.bincount(pixels).argmax()) if len(pixels) else NONE

    def box(self, ground: int) -> Box:
        """The pixels that a ground reaches over."""
        x0, y0, x1, y1 = self.boxes_R4[ground].tolist()
        return x0, y0, x1, y1


def page_colour(picture_HWC: Picture) -> tuple[int, int, int]:
    """The colour of most pixels, in red, green and blue."""
    colours, counts = np.unique(picture_HWC.reshape(-1, 3).astype(np.int64) @ [1 << 16, 1 << 8, 1], return_counts=True)
    most = int(colours[counts.argmax()])
    return most >> 16, most >> 8 & 255, most & 255


def grounds(picture_HWC: Picture) -> Grounds:
    """The regions of a picture."""
    height, width = picture_HWC.shape[:2]
    labels_HW = np.empty((height, width), np.int32)
    count = label_regions(np.array(picture_HWC, order="C"), labels_HW)  # a copy: one read-only would be compiled for again
    sizes_R, boxes_R4 = np.zeros(count, np.int32), np.empty((count, 4), np.int32)
    measure_regions(labels_HW, sizes_R, boxes_R4)
    return Grounds(labels_HW, sizes_R, boxes_R4)
