"""A page that was seen as HTML of one library, drawn again, and drawn beside the original."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import write_bytes
from multiscale_transformer.vision.elements import CLASSES, SIDE, Picture
from multiscale_transformer.vision.layout import Group, parse
from multiscale_transformer.vision.libraries import LIBRARIES, installed
from multiscale_transformer.vision.markup import Document, Look, body_of, document, fill
from multiscale_transformer.vision.picture import open_picture
from multiscale_transformer.vision.placing import placed
from multiscale_transformer.vision.render import browser
from multiscale_transformer.vision.seer import Seen

Colour = tuple[int, int, int]  # red, green and blue

FONT = "Arial,sans-serif"  # for which the widths of letters are that words are fitted by
DARK = 110  # brightness (0 to 255) below which a page is dark
MOST_PADDING, LEAST_GAP, MOST_GAP = 48, 2, 40  # CSS pixels
_WIDE = 2  # pixels of a line around an element
_GAP = 8  # and between two pictures


def page_of(seen: Seen, colour: Colour, library: str, node_modules: Path) -> Document:
    """The page, on its colour, in a library of `vision.libraries`.

    Raises AxlError for an unknown library, or where it is not in `node_modules`.
    """
    if library not in LIBRARIES:
        raise AxlError(f"no library {library!r}; there are {', '.join(LIBRARIES)}")
    one = installed(node_modules, [library])[library]
    tree, look = tree_of(seen), look_of(seen, colour)
    return document(body_of(fill(tree, seen.elements), one.library, look), one, look)


def tree_of(seen: Seen) -> Group:
    """The layout of a page as a tree, an empty one where it has none."""
    return parse(seen.layout) if seen.layout else Group("column", ())


def look_of(seen: Seen, colour: Colour) -> Look:
    """A look with what can be seen of the original's: dark or light, its colour, places of its blocks, size of its letters."""
    red, green, blue = colour
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < DARK
    look = Look(dark=dark, font=FONT, skin=f"html,body{{background:rgb({red},{green},{blue})!important}}")
    boxes = [element.box for element in seen.elements]
    if not boxes:
        return look
    spaces = [below[1] - above[3] for above, below in pairwise(boxes) if below[1] >= above[3]]
    gap = round(median(spaces)) if spaces else look.gap
    padding = min(MOST_PADDING, max(0, min(box[0] for box in boxes)))
    skin = look.skin + placed(tree_of(seen), seen.elements, padding)
    return replace(look, padding=padding, gap=min(MOST_GAP, max(LEAST_GAP, gap)), skin=skin)


def drawn_again(page: Document, side: int = SIDE) -> Picture:
    """A page as Chromium shows it in a window of `side` pixels, made smaller where those are more than SIDE.

    Raises AxlError where there is no Chromium, or nothing of the page fits.
    """
    with browser() as chromium:
        return open_picture(chromium.draw(page, min(1.0, SIDE / side))[0])


def outlined(picture_HWC: Picture, seen: Seen) -> Picture:
    """The picture with a line around each element, in a colour of its class."""
    out_HWC = picture_HWC.copy()
    for element in seen.elements:
        x0, y0, x1, y1 = element.box
        colour = _colour(element.kind)
        for rows, columns in (
            (slice(y0, y0 + _WIDE), slice(x0, x1)),
            (slice(max(y0, y1 - _WIDE), y1), slice(x0, x1)),
            (slice(y0, y1), slice(x0, x0 + _WIDE)),
            (slice(y0, y1), slice(max(x0, x1 - _WIDE), x1)),
        ):
            out_HWC[rows, columns] = colour
    return out_HWC


def _colour(kind: str) -> tuple[int, int, int]:
    """Hues around the circle, one a class."""
    hue = CLASSES.index(kind) / len(CLASSES) * 6
    channels = (abs(hue - 3) - 1, 2 - abs(hue - 2), 2 - abs(hue - 4))
    red, green, blue = (round(210 * min(1.0, max(0.0, channel))) for channel in channels)
    return red, green, blue


def beside(left_HWC: Picture, right_HWC: Picture) -> Picture:
    """Two pictures side by side on white."""
    height = max(len(left_HWC), len(right_HWC))
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    parts = [np.pad(each, ((0, height - len(each)), (0, 0), (0, 0)), constant_values=255) for each in (left_HWC, right_HWC)]
    return np.concatenate([parts[0], gap, parts[1]], 1)


def write_png(path: Path, picture_HWC: Picture) -> None:
    """Write a picture, atomically."""
    from PIL import Image

    raw = io.BytesIO()
    Image.fromarray(picture_HWC).save(raw, "PNG")
    write_bytes(path, raw.getvalue())
