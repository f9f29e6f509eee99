"""Pages that a test draws itself: rectangles whose colour and shape say their class, below and beside one another."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from multiscale_transformer.vision.dataset import LibraryEntry, Manifest, PageRecord, begin, write_page
from multiscale_transformer.vision.elements import CLASSES, SIDE
from multiscale_transformer.vision.layout import LETTERS

KINDS = ("button", "field", "image")
SIZES = {"button": (60, 24), "field": (120, 24), "image": (80, 60)}
SHADES = {"button": 40, "field": 230, "image": 120}
assert set(KINDS) <= set(CLASSES)


def page(seed: int, *, shuffled: bool = False) -> tuple[bytes, PageRecord]:
    """A page as PNG with its record; `shuffled` ones say classes that have nothing to do with what is drawn."""
    rng = np.random.default_rng(seed)
    canvas = np.full((SIDE, SIDE, 3), 180, np.uint8)
    elements, line, top = [], "", int(rng.integers(8, 40))
    while top < SIDE - 90:
        row, left, texts = 0, int(rng.integers(8, 60)), []
        for _ in range(int(rng.integers(1, 3))):
            kind = KINDS[rng.integers(3)]
            wide, high = SIZES[kind]
            canvas[top : top + high, left : left + wide] = SHADES[kind]
            said = KINDS[rng.integers(3)] if shuffled else kind
            elements.append({"kind": said, "box": (left, top, left + wide, top + high)})
            texts.append(LETTERS[said])
            left, row = left + wide + 30, max(row, high)
        line += texts[0] if len(texts) == 1 else f"[{''.join(texts)}]"
        top += row + int(rng.integers(20, 60))
    raw = io.BytesIO()
    Image.fromarray(canvas).save(raw, "PNG")
    split = ("train", "train", "train", "pages")[seed % 4]
    return raw.getvalue(), PageRecord(library="drawn", split=split, elements=elements, layout=line)


def write(folder: Path, count: int, *, shuffled: bool = False) -> Path:
    """A folder of so many drawn pages, a quarter of them held out."""
    begin(folder, Manifest(seed=0, libraries={"drawn": LibraryEntry(version="1", licence="none", split="train")}))
    for number in range(count):
        write_page(folder, number, *page(number, shuffled=shuffled))
    return folder
