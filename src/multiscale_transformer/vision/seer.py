"""What a net sees on a screenshot of any size: elements in reading order, and the line of their layout.

Nets read pictures of one size, at the scale of the screen. A larger screenshot is read in tiles that overlap; what two tiles
saw of one element is joined. AXL-Vision-v2 finds elements itself; AXL-Vision-0.8M looks at what connected
components find (`rivals`), and writes no layout.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from multiscale_transformer.vision.elements import Box, Element, Picture, overlap
from multiscale_transformer.vision.grounds import grounds
from multiscale_transformer.vision.inference import CropReader, VisionReader, load_reader
from multiscale_transformer.vision.layout_decoding import in_order
from multiscale_transformer.vision.maps import MIN_SCORE, SAME, Found, Proposal
from multiscale_transformer.vision.xy_cut import frames_of

SHARED = 96  # pixels by which tiles overlap
EDGE = 3  # pixels: what ends as near to the inner edge of a tile may go on beyond it
IN_LINE = 0.6  # share of their height that two halves of an element have in common
MAX_SEEN = 60  # elements of a layout
REACH = (8, 3)  # pixels within which marks are one component


@dataclass(frozen=True)
class Seen:
    """What is on a screenshot of so many pixels: elements with how sure the net is, in reading order, and their layout."""

    width: int
    height: int
    found: tuple[Found, ...]
    layout: str

    @property
    def elements(self) -> tuple[Element, ...]:
        """The elements alone."""
        return tuple(one.element for one in self.found)

    def as_json(self) -> dict[str, Any]:
        """For programs; boxes are x0, y0, x1, y1 in pixels."""
        elements = [
            {"class": one.element.kind, "box": one.element.box, "states": one.element.states, "score": round(one.score, 3)}
            for one in self.found
        ]
        return {"width": self.width, "height": self.height, "elements": elements, "layout": self.layout}

    def as_text(self) -> str:
        """For people: the layout, and a line for each element."""
        lines = [" ".join([one.element.kind, *one.element.states, *map(str, one.element.box)]) for one in self.found]
        head = [f"layout {self.layout}"] if self.layout else []
        return "\n".join([f"{len(self.found)} elements on {self.width} x {self.height} pixels", *head, *lines])

    def answer(self, *, as_json: bool) -> str:
        """What a server answers."""
        return json.dumps(self.as_json()) if as_json else self.as_text()


class Seer:
    """A net that sees, ready for screenshots; several threads may ask, one after the other is answered."""

    def __init__(self, reader: VisionReader) -> None:
        self._reader, self._lock = reader, threading.Lock()

    def see(self, picture_HWC: Picture, min_score: float = MIN_SCORE) -> Seen:
        """What is on a picture (H, W, 3) in red, green and blue."""
        height, width = picture_HWC.shape[:2]
        with self._lock:
            if isinstance(self._reader, CropReader):
                return Seen(width, height, tuple(self._of_components(self._reader, picture_HWC, min_score)), "")
            found = self._tiled(picture_HWC, min_score)[:MAX_SEEN]
            longest = max(width, height)
            side = self._reader.config.side
            scaled = [_scaled(one.element, min(1.0, side / longest)) for one in found]
            frames = frames_of([one.element for one in found], grounds(picture_HWC))
            line = self._reader.layout(scaled, [box and _scaled_box(box, min(1.0, side / longest)) for box in frames])
            return Seen(width, height, tuple(found[number] for number in in_order(line, scaled)), line)

    def _of_components(self, reader: CropReader, picture_HWC: Picture, min_score: float) -> list[Found]:
        from multiscale_transformer.vision.rivals import changes, components, things

        proposed = [Proposal(box, 1.0) for box in things(components(changes(picture_HWC), REACH))]
        return reader.detected(picture_HWC, proposed, grounds(picture_HWC), min_score)

    def _tiled(self, picture_HWC: Picture, min_score: float) -> list[Found]:
        assert not isinstance(self._reader, CropReader)
        height, width = picture_HWC.shape[:2]
        side = self._reader.config.side
        found: list[Found] = []
        for top in _starts(height, side):
            for left in _starts(width, side):
                tile_HWC = picture_HWC[top : top + side, left : left + side]
                missing = [(0, side - length) for length in tile_HWC.shape[:2]]
                tile_HWC = np.pad(tile_HWC, (*missing, (0, 0)), mode="edge")
                for one in self._reader.elements(np.ascontiguousarray(tile_HWC), min_score):
                    x0, y0, x1, y1 = one.element.box
                    box = x0 + left, y0 + top, min(x1 + left, width), min(y1 + top, height)
                    if box[0] < box[2] and box[1] < box[3]:
                        found.append(replace_box(one, box))
        return _joined(sorted(found, key=lambda one: -one.score), side, (width, height))


def replace_box(found: Found, box: Box) -> Found:
    """The same element elsewhere."""
    return Found(replace(found.element, box=box), found.score)


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin, so that the last one ends with the picture."""
    if length <= side:
        return [0]
    count = -(-(length - SHARED) // (side - SHARED))
    return [round(number * (length - side) / (count - 1)) for number in range(count)]


def _joined(found: Sequence[Found], side: int, size: tuple[int, int]) -> list[Found]:
    """Finds of several tiles without those that are the same, or halves of one; surest first."""
    columns, rows = (_inner_edges(length, side) for length in size)
    kept: list[Found] = []
    for one in found:
        for number, other in enumerate(kept):
            if overlap(one.element.box, other.element.box) > SAME:
                break
            if one.element.kind == other.element.kind and _halves(one.element.box, other.element.box, columns, rows):
                kept[number] = replace_box(other, _around(one.element.box, other.element.box))
                break
        else:
            kept.append(one)
    return kept


def _inner_edges(length: int, side: int) -> list[int]:
    starts = _starts(length, side)
    return [*starts[1:], *(start + side for start in starts[:-1])]


def _halves(first: Box, second: Box, columns: Sequence[int], rows: Sequence[int]) -> bool:
    """Whether two boxes meet at the edge of a tile, side by side or one below the other."""
    for axis, edges in ((0, columns), (1, rows)):
        ends = [box[end] for box in (first, second) for end in (axis, axis + 2)]
        at_edge = any(abs(end - edge) <= EDGE for end in ends for edge in edges)
        low, high = max(first[1 - axis], second[1 - axis]), min(first[3 - axis], second[3 - axis])
        longest = max(box[3 - axis] - box[1 - axis] for box in (first, second))
        meet = max(first[axis], second[axis]) <= min(first[axis + 2], second[axis + 2]) + EDGE
        if at_edge and meet and high - low >= IN_LINE * longest:
            return True
    return False


def _around(first: Box, second: Box) -> Box:
    x0, y0 = min(first[0], second[0]), min(first[1], second[1])
    return x0, y0, max(first[2], second[2]), max(first[3], second[3])


def _scaled(element: Element, scale: float) -> Element:
    return replace(element, box=_scaled_box(element.box, scale))


def _scaled_box(box: Box, scale: float) -> Box:
    x0, y0, x1, y1 = (round(edge * scale) for edge in box)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


def open_seer(folder: Path) -> Seer:
    """The net in a checkpoint folder. Raises AxlError when there is none that sees."""
    return Seer(load_reader(folder))
