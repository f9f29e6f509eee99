"""One drawing for three uses: a PNG file, a light page and a dark page.

Colours have roles ("ink", "grid", "series-0", …). A PNG shows the light ones; in the SVG each becomes the CSS variable of its
role, and the page decides. The series stay apart under every common colour blindness: the light ones are Okabe and Ito's
("Color Universal Design", 2008) and a violet, the dark ones were searched for the largest smallest distance under simulated
protan, deutan and tritan sight (Machado et al. 2009).
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIGHT = {
    "surface": "#ffffff",
    "ink": "#1b2027",
    "muted": "#5c6672",
    "grid": "#e4e7eb",
    "series-0": "#0072b2",
    "series-1": "#d55e00",
    "series-2": "#009e73",
    "series-3": "#cc79a7",
    "series-4": "#4a3b8f",
}
DARK = {
    "surface": "#14171b",
    "ink": "#e8ebee",
    "muted": "#9aa5b1",
    "grid": "#2a3037",
    "series-0": "#6bafea",
    "series-1": "#dc7436",
    "series-2": "#89ecbe",
    "series-3": "#f07eaa",
    "series-4": "#7d77c4",
}
SERIES = [role for role in LIGHT if role.startswith("series")]
DOTS_PER_INCH = 72  # so that matplotlib's points are the page's pixels
PNG_SCALE = 2
_PADDING = 24  # pixels around a PNG, which stands alone
STYLE: Any = {
    "svg.fonttype": "none",  # words stay words: they take the page's font and can be searched
    "svg.hashsalt": "axl",  # the same runs give the same bytes
    "font.sans-serif": ["Inter", "Helvetica Neue", "Segoe UI", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 12.5,
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Drawing:
    """A PNG file, and an `<svg>` element to put into a page that defines the roles as CSS variables."""

    png: bytes
    svg: str


def series_role(index: int) -> str:
    """The colour role of the series at `index`; the roles come again when there are more series than colours."""
    return SERIES[index % len(SERIES)]


def render(figure: Figure, name: str, title: str) -> Drawing:
    """Draw `figure`, whose colours are those of `LIGHT`. `name` keeps its ids apart from those of other drawings in a page."""
    png, svg = io.BytesIO(), io.BytesIO()
    padded = figure.bbox_inches.padded(_PADDING / DOTS_PER_INCH)
    figure.savefig(png, format="png", dpi=DOTS_PER_INCH * PNG_SCALE, bbox_inches=padded, metadata={"Software": None})
    figure.savefig(svg, format="svg", metadata={"Date": None})
    return Drawing(png.getvalue(), _for_a_page(svg.getvalue(), name, title))


def _for_a_page(drawn: bytes, name: str, title: str) -> str:
    """Matplotlib's SVG without what only a file needs: namespaces, metadata, a style sheet that would rule the whole page."""
    root = ElementTree.fromstring(drawn)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {_local(key): _for_this_page(_local(key), value, name) for key, value in element.attrib.items()}
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": title}
    return ElementTree.tostring(root, encoding="unicode")


def _for_this_page(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return value.replace("#", f"#{name}-")
    if key == "style":
        roles = {colour: role for role, colour in LIGHT.items()}
        value = re.sub(r"#[0-9a-fA-F]{6}", lambda found: f"var(--{roles[found.group().lower()]})", value)
    return value.replace("url(#", f"url(#{name}-")


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
