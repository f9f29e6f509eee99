"""Making a data set of rendered pages: the library and the side of the test that each has, and going on where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

from multiscale_transformer.errors import AxlError
from multiscale_transformer.vision.dataset import (
    ElementRecord,
    LibraryEntry,
    Manifest,
    PageRecord,
    Split,
    begin,
    has_page,
    write_page,
)
from multiscale_transformer.vision.layout import line_of
from multiscale_transformer.vision.libraries import LIBRARIES, Installed, installed
from multiscale_transformer.vision.markup import body_of, document
from multiscale_transformer.vision.pages import Draft, draft
from multiscale_transformer.vision.render import Browser, browser
from multiscale_transformer.vision.texts import SOURCE

UNSEEN_PAGES = 0.1  # share of the pages that are of seen libraries and held out
UNSEEN_LIBRARIES = 0.2  # and of the held-out libraries
TOGETHER = 400  # pages that are ordered by what they share
RETRIES = 5  # drafts for a number, where nothing of one fits the picture


def make_pages(
    folder: Path, node_modules: Path, count: int, seed: int, on_page: Callable[[int], object] = lambda number: None
) -> int:
    """Render pages until `folder` holds so many, and return how many were made now; `on_page` hears of each number.

    Raises AxlError where a library or the browser is missing, or `folder` holds pages of another seed or other libraries.
    """
    found = installed(node_modules)
    entries = {
        name: LibraryEntry(version=one.version, licence=one.library.licence, split=one.library.split)
        for name, one in found.items()
    }
    begin(folder, Manifest(seed=seed, texts=SOURCE, libraries=entries))
    missing = [number for number in range(count) if not has_page(folder, number)]
    if missing:
        with browser() as chromium:
            for number in _by_frame(missing, seed, found):
                png, record = render_page(chromium, found, seed, number)
                write_page(folder, number, png, record)
                on_page(number)
    return len(missing)


def _by_frame(missing: list[int], seed: int, found: dict[str, Installed]) -> Iterator[int]:
    """The numbers, a few hundred at a time in an order in which the browser seldom has to read a style sheet."""
    for first in range(0, len(missing), TOGETHER):
        together = missing[first : first + TOGETHER]
        drafts = {number: _draft(seed, number, found) for number in together}
        yield from sorted(
            together, key=lambda number: (drafts[number].look.zoom, placed(seed, number, found), drafts[number].look.dark)
        )


def _draft(seed: int, number: int, found: dict[str, Installed], attempt: int = 0) -> Draft:
    name, split = placed(seed, number, found)
    return draft(seed + 1_000_003 * attempt, number, found[name].library, held_out=split != "train")


def render_page(chromium: Browser, found: dict[str, Installed], seed: int, number: int) -> tuple[bytes, PageRecord]:
    """The page of a number, as a PNG and what is in it. Raises AxlError where no draft of it fits the picture."""
    name, split = placed(seed, number, found)
    one = found[name]
    for attempt in range(RETRIES):
        made = _draft(seed, number, found, attempt)
        body = body_of(made.tree, one.library, made.look)
        try:
            png, tree, elements = chromium.draw(document(body, one, made.look), made.look.zoom)
        except AxlError:
            if attempt == RETRIES - 1:
                raise
            continue
        break
    return png, PageRecord(
        library=name,
        split=split,
        theme="dark" if made.look.dark else "light",
        zoom=made.look.zoom,
        font=made.look.font,
        elements=tuple(ElementRecord(kind=element.kind, box=element.box, states=element.states) for element in elements),
        layout=line_of(tree),
    )


def placed(seed: int, number: int, names: Iterable[str]) -> tuple[str, Split]:
    """The library of a page, and its side of the test."""
    rng = Random(f"{seed} {number} place")
    held_out = rng.random() < UNSEEN_LIBRARIES
    name = rng.choice([name for name in names if (LIBRARIES[name].split == "libraries") == held_out])
    return name, "libraries" if held_out else "pages" if rng.random() < UNSEEN_PAGES / (1 - UNSEEN_LIBRARIES) else "train"
