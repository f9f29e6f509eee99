"""The figures of a run: what a net makes of pages that it did not learn from, as it is used, in 8 bits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from multiscale_transformer.vision.dataset import Split, numbers, read_page, read_record
from multiscale_transformer.vision.elements import Element, Page
from multiscale_transformer.vision.grounds import grounds
from multiscale_transformer.vision.inference import CropReader, PageReader, VisionReader
from multiscale_transformer.vision.layout_decoding import in_order
from multiscale_transformer.vision.maps import Found
from multiscale_transformer.vision.measures import accuracy, matched, token_error, total
from multiscale_transformer.vision.xy_cut import frames_of

MOST_PAGES = 200  # of each set
SETS: dict[str, Split] = {"seen libraries": "pages", "unseen libraries": "libraries"}
OVERLAPS = (0.5, 0.9)

Figures = dict[str, dict[str, float]]


def held_out_figures(reader: VisionReader, folder: Path, most: int = MOST_PAGES) -> Figures:
    """The figures of each held-out set of a folder that has pages, by name."""
    made = {}
    for name, split in SETS.items():
        held_out = (number for number in numbers(folder) if read_record(folder, number).split == split)
        pages = [read_page(folder, number) for number in itertools.islice(held_out, most)]
        if pages:
            made[name] = {"pages": float(len(pages)), **figures(reader, pages)}
    return made


def figures(reader: VisionReader, pages: list[Page]) -> dict[str, float]:
    """Class accuracy on true boxes; or F1 of elements, token error and exact layouts, from pictures alone."""
    if isinstance(reader, CropReader):
        truth = [element.kind for page in pages for element in page.elements]
        return {"class accuracy": accuracy(truth, list(named(reader, pages)))}
    seen = [read(reader, page) for page in pages]
    pairs = list(zip(pages, seen, strict=True))
    by_overlap = {
        f"F1 at IoU {least}": total(matched(page.elements, elements, least) for page, (elements, _) in pairs).f1
        for least in OVERLAPS
    }
    lines = [(page.layout, line) for page, (_, line) in pairs if page.layout]
    if not lines:
        return by_overlap
    exact = sum(wanted == line for wanted, line in lines) / len(lines)
    return {**by_overlap, "layout token error": token_error(lines), "layout exactly right": exact}


def named(reader: CropReader, pages: list[Page]) -> Iterator[str]:
    """The class of each true box, page by page."""
    for page in pages:
        boxes = [element.box for element in page.elements]
        yield from (one.element.kind for one in reader.elements(page.picture_HWC, boxes))


def read(reader: PageReader, page: Page) -> tuple[tuple[Element, ...], str]:
    """The elements of a page in the order of their layout, and its line."""
    found: list[Found] = reader.elements(page.picture_HWC)
    elements = [one.element for one in found]
    line = reader.layout(elements, frames_of(elements, grounds(page.picture_HWC)))
    return tuple(elements[number] for number in in_order(line, elements)), line
