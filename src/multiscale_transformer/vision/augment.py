"""Pictures in other colours, sharpness and scale: what a net that learns from a few libraries of CSS must not depend on."""

# Shape suffixes: H rows, W columns, C channels.

from __future__ import annotations

import numpy as np

from multiscale_transformer.vision.elements import Box, Element, Picture, area

INVERTED, PERMUTED, GREY, BLURRED, SCALED = 0.25, 0.4, 0.15, 0.2, 0.35  # shares of pictures
MAX_ZOOM = 1.5
VISIBLE = 0.6  # share of an element that must be left of it


def recoloured(picture_HWC: Picture, rng: np.random.Generator) -> Picture:
    """Another brightness, contrast and hue; inverted, grey or blurred now and then."""
    draws = rng.random(4)
    levels = np.linspace(0, 1, 256)
    tables = []
    shared = rng.uniform(0.7, 1.4)
    for _ in range(3):
        low, high = rng.uniform(0, 0.15), rng.uniform(0.85, 1.0)
        tables.append(low + (high - low) * levels ** (shared * rng.uniform(0.85, 1.15)))
    table_3 = np.round(np.array(tables) * 255).astype(np.uint8)
    if draws[0] < INVERTED:
        table_3 = 255 - table_3
    order = rng.permutation(3) if draws[1] < PERMUTED else np.arange(3)
    out_HWC = np.stack([table_3[channel][picture_HWC[..., order[channel]]] for channel in range(3)], -1)
    if draws[2] < GREY:
        out_HWC = np.repeat(out_HWC.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    if draws[3] < BLURRED:
        wide = out_HWC.astype(np.uint16)
        wide[:, 1:] += wide[:, :-1].copy()
        wide[:, 1:] //= 2
        wide[1:] += wide[:-1].copy()
        wide[1:] //= 2
        out_HWC = wide.astype(np.uint8)
    return out_HWC


def zoomed(
    picture_HWC: Picture, elements: tuple[Element, ...], rng: np.random.Generator
) -> tuple[Picture, tuple[Element, ...]]:
    """A part of the picture as large as the whole, now and then; elements that are mostly outside are gone."""
    side = picture_HWC.shape[0]
    if rng.random() >= SCALED:
        return picture_HWC, elements
    scale = rng.uniform(1.0, MAX_ZOOM)
    shown = side / scale
    left, top = rng.uniform(0, side - shown, 2)
    places = (np.arange(side) + 0.5) / scale
    rows, columns = ((start + places).astype(np.intp).clip(0, side - 1) for start in (top, left))
    moved = (Element(one.kind, _moved(one.box, left, top, scale, side), one.states) for one in elements)
    kept = (new for new, old in zip(moved, elements, strict=True) if area(new.box) >= VISIBLE * area(old.box) * scale**2)
    return picture_HWC[rows][:, columns], tuple(kept)


def _moved(box: Box, left: float, top: float, scale: float, side: int) -> Box:
    starts = (left, top, left, top)
    x0, y0, x1, y1 = (min(max(round((edge - start) * scale), 0), side) for edge, start in zip(box, starts, strict=True))
    return x0, y0, x1, y1
