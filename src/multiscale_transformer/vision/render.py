"""Pages rendered by a Chromium of the machine, which is driven by playwright and can reach nothing but what it is given.

Every request is refused, for the network and for files: a page is one document with its style sheet in it (`markup.document`).
Of pages on disk (`other_domains.py`) the files of one folder may be read. Scripts of pages do not run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from multiscale_transformer.errors import AxlError
from multiscale_transformer.vision.elements import SIDE, Element
from multiscale_transformer.vision.labels import FOUND, MARKED, read_found, read_marked
from multiscale_transformer.vision.layout import Group
from multiscale_transformer.vision.markup import Document

if TYPE_CHECKING:
    from playwright.sync_api import Browser as Chromium
    from playwright.sync_api import Page as Tab
    from playwright.sync_api import Route

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
SECONDS = 20  # for one page
_FLAGS = (
    "--disable-gpu",
    "--hide-scrollbars",
    "--font-render-hinting=none",
    "--disable-lcd-text",
    "--force-color-profile=srgb",
)


def chromium_path() -> Path | None:
    """Where a Chromium or Chrome of this machine is: AXL_CHROMIUM or one of the usual names; None where there is none."""
    named = os.environ.get("AXL_CHROMIUM")
    found = named if named and Path(named).is_file() else next(filter(None, map(shutil.which, NAMES)), None)
    return Path(found) if found else None


_PUT = """async ([style, body]) => {
  document.getElementById('look').textContent = style;
  document.body.innerHTML = body;
  await Promise.all([...document.images].map(image => image.decode().catch(() => null)));
}"""


class Browser:
    """A running Chromium, with a tab for each zoom and folder that is asked for."""

    def __init__(self, chromium: Chromium) -> None:
        self._chromium = chromium
        self._tabs: dict[tuple[float, Path | None], Tab] = {}
        self._frames: dict[float, str] = {}  # what the tab of a zoom holds

    def draw(self, page: Document, zoom: float = 1.0) -> tuple[bytes, Group, tuple[Element, ...]]:
        """A document that `markup` wrote as a PNG of SIDE x SIDE, with its layout and elements.

        `zoom` is picture pixels a CSS pixel. Raises AxlError where nothing of the page fits, or the browser fails.
        """
        tab = self._tab(zoom, None)
        with _explained():
            if self._frames.get(zoom) != page.frame:  # a style sheet takes the browser longer than all else
                tab.set_content(page.frame, wait_until="load", timeout=SECONDS * 1000)
                self._frames[zoom] = page.frame
            tab.evaluate(_PUT, [page.style, page.body])
            tree, elements = read_marked(tab.evaluate(MARKED), zoom)
            return _shot(tab), tree, elements

    def open_file(self, path: Path, folder: Path, zoom: float = 1.0, scroll: int = 0) -> tuple[bytes, tuple[Element, ...]]:
        """An HTML file as it is, scrolled down by so many CSS pixels: a PNG, and the elements that tags and roles tell.

        Only files in `folder` are read. Raises AxlError where the browser fails.
        """
        tab = self._tab(zoom, folder.resolve())
        with _explained():
            tab.goto(path.resolve().as_uri(), wait_until="load", timeout=SECONDS * 1000)
            tab.evaluate(f"() => window.scrollTo(0, {int(scroll)})")
            return _shot(tab), read_found(tab.evaluate(FOUND), zoom)

    def _tab(self, zoom: float, folder: Path | None) -> Tab:
        if (zoom, folder) not in self._tabs:
            side = round(SIDE / zoom)
            with _explained():
                context = self._chromium.new_context(
                    viewport={"width": side, "height": side},
                    device_scale_factor=zoom,
                    java_script_enabled=False,
                    offline=True,
                    service_workers="block",
                    accept_downloads=False,
                    reduced_motion="reduce",
                    color_scheme="light",
                    locale="en-US",
                )
                context.route("**/*", lambda route: _decide(route, folder))
                self._tabs[zoom, folder] = context.new_page()
        return self._tabs[zoom, folder]


@contextmanager
def browser() -> Iterator[Browser]:
    """A Chromium for the length of the block. Raises AxlError, with what to install, where it is missing or fails."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise AxlError("rendering pages needs playwright; run: pip install 'axl[render]'") from error
    path = chromium_path()
    if path is None:
        raise AxlError("there is no Chromium; install one (Debian: apt-get install chromium) or set AXL_CHROMIUM to its path")
    flags = [*_FLAGS, *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]  # root has no sandbox to use
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=path, args=flags)
        except Error as error:
            raise AxlError(f"{path} does not start: {str(error).splitlines()[0]}") from error
        try:
            yield Browser(chromium)
        finally:
            chromium.close()


def _decide(route: Route, folder: Path | None) -> None:
    """Let a request for a file of `folder` pass, and no other."""
    address = urlsplit(route.request.url)
    if folder is not None and address.scheme == "file" and Path(unquote(address.path)).resolve().is_relative_to(folder):
        route.continue_()
    else:
        route.abort()


def _shot(tab: Tab) -> bytes:
    with _explained():
        return tab.screenshot(type="png", animations="disabled", timeout=SECONDS * 1000)


@contextmanager
def _explained() -> Iterator[None]:
    from playwright.sync_api import Error

    try:
        yield
    except Error as error:
        raise AxlError(f"the browser failed on a page: {_first_line(error)}") from error


def _first_line(error: Any) -> str:
    return next(iter(str(error).splitlines()), "unknown error")
