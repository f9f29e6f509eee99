"""From a tree of the layout to HTML of one library: of pages that chance made, and of pages that a model saw.

Every element carries `data-e` (its class) and `data-s` (its states) and every group `data-l`, which is what labels are read
from once a browser has laid the page out. A tree of bare leaves is filled with words that fit the boxes that were seen.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from multiscale_transformer.vision.elements import CHECKED, DISABLED, Element
from multiscale_transformer.vision.layout import Group, Leaf, Node, leaves
from multiscale_transformer.vision.libraries import Installed, Library

STRETCHED = ("text", "field", "area", "select", "slider", "progress", "table", "list", "code", "alert")
CELLS = 3  # columns of a table that is filled


@dataclass(frozen=True)
class Filled(Leaf):
    """An element with what it shows: words, rows of cells or items, a number (percent, lines), a size in CSS pixels."""

    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    number: int = 50
    size: tuple[int, int] = (120, 80)
    source: str = ""
    variant: int = 0
    component: str = ""  # of the library, where it is not the one named like the class
    colour: int = 0
    ghost: bool = False  # a field that shows a hint and no value
    style: str = ""
    inline: tuple[tuple[int, int, str], ...] = ()  # from word, to word, tag
    painted: bool = False  # code in colours


@dataclass(frozen=True)
class Dressed(Group):
    """A group with its looks: the component and variant of a box, the gap in a row and where its cells stand."""

    component: str = "box"
    variant: int = 0
    style: str = ""


@dataclass(frozen=True)
class Look:
    """What a page looks like beside its library. `zoom` is device pixels a CSS pixel; lengths are CSS pixels."""

    dark: bool = False
    font: str = ""
    zoom: float = 1.0
    hue: int = 0  # degrees by which colours are turned
    skin: str = ""  # style sheet behind the library's
    padding: int = 16
    gap: int = 12


_PLACES = re.compile(r"\{[asincxt]\}")


@dataclass
class _Writer:
    library: Library
    look: Look
    names: Iterator[int] = field(default_factory=itertools.count)

    def node(self, node: Node) -> str:
        if isinstance(node, Leaf):
            return self.leaf(node if isinstance(node, Filled) else Filled(node.kind, node.states))
        if node.way == "row":
            return self.row(node)
        inside = "".join(f'<div style="margin-bottom:{self.look.gap}px">{self.node(child)}</div>' for child in node.children)
        if node.way == "column":
            return f'<div data-l="column">{inside}</div>'
        component, variant = (node.component, node.variant) if isinstance(node, Dressed) else ("box", 0)
        variants = self.library.variants(component)
        return variants[variant % len(variants)].replace("{a}", 'data-l="box"').replace("{i}", inside)

    def row(self, node: Group) -> str:
        cells = []
        for child in node.children:
            wide = isinstance(child, Group) or (child.kind in STRETCHED and not _is_label(child))
            cells.append(f'<div style="{"flex:1 1 0;" if wide else ""}min-width:0">{self.node(child)}</div>')
        style = node.style if isinstance(node, Dressed) else ""
        gap = self.look.gap
        return f'<div data-l="row" style="display:flex;gap:{gap}px;align-items:center;{style}">{"".join(cells)}</div>'

    def leaf(self, leaf: Filled) -> str:
        variants = self.library.variants(leaf.component or leaf.kind) or self.library.variants("text")
        if DISABLED in leaf.states:  # which a link that is dressed as a button cannot be
            variants = tuple(variant for variant in variants if "{s}" in variant) or variants
        template = variants[leaf.variant % len(variants)]
        states = html.escape(" ".join(leaf.states))
        marks = f'data-e="{leaf.kind}" data-s="{states}"'
        colours = self.library.colours
        values = {
            "{a}": marks,
            "{s}": _values(leaf),
            "{i}": _inside(leaf),
            "{n}": str(leaf.number),
            "{c}": colours[leaf.colour % len(colours)],
            "{x}": f"x{next(self.names)}",
            "{t}": _painted(leaf.text) if leaf.painted else _words_of(leaf.text, leaf),
        }
        return _PLACES.sub(lambda place: values[place.group()], template)  # in one pass: words may look like a place


def body_of(tree: Group, library: Library, look: Look) -> str:
    """The markup of a page, which is a column: a `data-block` for each of its children."""
    writer = _Writer(library, look)
    blocks = "".join(
        f'<div data-block style="margin-bottom:{look.gap}px">{writer.node(child)}</div>' for child in tree.children
    )
    return library.variants("page")[0].replace("{i}", blocks)


@dataclass(frozen=True)
class Document:
    """A page that needs nothing beside itself, in three parts: many pages share a frame, which holds a library's style."""

    frame: str
    style: str
    body: str

    @property
    def html(self) -> str:
        """The whole of it as one document."""
        return self.frame.replace(_STYLE, f'<style id="look">{self.style}</style>').replace(_BODY, f"<body>{self.body}</body>")


_STYLE, _BODY = '<style id="look"></style>', "<body></body>"


def document(body: str, installed: Installed, look: Look) -> Document:
    """A page with the library's style sheet and the look."""
    attribute, inverted = "", look.dark
    if look.dark and (installed.library.dark_attribute or installed.library.dark_css):
        attribute, inverted = installed.library.dark_attribute, False
    css = (installed.dark if look.dark else installed.light).replace("</style", "<\\/style")
    font = f"html,body,h1,h2,h3,h4,button,input,select,textarea{{font-family:{look.font}!important}}" if look.font else ""
    turned = [f"hue-rotate({look.hue + (180 if inverted else 0)}deg)"] if look.hue or inverted else []
    filters = f"html{{filter:{' '.join(['invert(.92)', *turned] if inverted else turned)}}}" if turned else ""
    rest = (
        f"html{{min-height:100%{';background:#fff' if inverted or look.hue else ''}}}body{{margin:0!important;"
        f"padding:{look.padding}px!important;max-width:none!important;min-height:100vh;box-sizing:border-box}}"
        "::-webkit-scrollbar{display:none}"
    )
    head = f'<head><meta charset="utf-8"><style>{css}</style>{_STYLE}</head>'
    frame = f'<!doctype html><html lang="en" {attribute}>{head}{_BODY}</html>'
    return Document(frame, f"{rest}{font}{look.skin}{filters}", body)


def fill(tree: Group, elements: Sequence[Element], zoom: float = 1.0) -> Group:
    """The tree with words and sizes that fit the boxes of `elements` in its order, or fixed ones where their number differs."""
    boxes = iter(elements if len(elements) == len(list(leaves(tree))) else ())

    def filled(node: Node) -> Node:
        if isinstance(node, Group):
            return Group(node.way, tuple(map(filled, node.children)))
        element = next(boxes, None)
        x0, y0, x1, y1 = element.box if element else (0, 0, 150, 40)
        return _fitting(node, max(1, round((x1 - x0) / zoom)), max(1, round((y1 - y0) / zoom)))

    return Group("column", tuple(map(filled, tree.children)))


_LETTER, _LINE = 7.2, 22  # CSS pixels of a letter and a line of running text
_WORDS = "Lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna "


def _fitting(leaf: Leaf, width: int, height: int) -> Filled:
    lines = max(1, round(height / _LINE))
    letters = max(3, int(width / _LETTER))
    if leaf.kind == "heading":
        level = 0 if height > 38 else 1 if height > 30 else 2 if height > 24 else 3
        return Filled(leaf.kind, text=_words(int(width / (0.5 * min(height, 40)))), variant=level)
    if leaf.kind == "table":
        count = max(2, round(height / 38))
        return Filled(leaf.kind, rows=tuple(tuple(_words(letters // CELLS - 3) for _ in range(CELLS)) for _ in range(count)))
    if leaf.kind == "list":
        return Filled(leaf.kind, rows=tuple((_words(letters - 4),) for _ in range(lines)))
    if leaf.kind == "code":
        return Filled(leaf.kind, text="\n".join(_words(letters * 2 // 3) for _ in range(max(1, lines - 1))))
    text = _words(letters * lines) if leaf.kind in ("text", "alert") else _words(max(3, letters - 3))
    return Filled(leaf.kind, leaf.states, text, number=max(1, lines - 1) if leaf.kind == "area" else 50, size=(width, height))


def _words(characters: int) -> str:
    repeated = _WORDS * (max(1, characters) // len(_WORDS) + 1)
    return repeated[: max(1, characters)].strip() or "L"


def _words_of(text: str, leaf: Filled) -> str:
    """The words, some of them in tags."""
    words = [html.escape(word) for word in text.split(" ")] if leaf.inline else [html.escape(text)]
    for first, last, tag in leaf.inline:
        if first < len(words):
            words[first] = f"<{tag}{' href=#' if tag == 'a' else ''}>{words[first]}"
            end = min(last, len(words) - 1)
            words[end] = f"{words[end]}</{tag}>"
    return " ".join(words)


_PAINT = re.compile(
    r"(?P<string>'[^'\n]*')|\b(?P<word>if|else|elif|return|for|while|in|not|try|except|raise|import|None|True|False)\b"
)


def _painted(code: str) -> str:
    """Code with colours for words of the language and for strings."""
    parts, at = [], 0
    for found in _PAINT.finditer(code):
        style = "color:#a31515" if found["string"] else "color:#0550ae;font-weight:600"
        parts += [html.escape(code[at : found.start()]), f'<span style="{style}">{html.escape(found.group())}</span>']
        at = found.end()
    return "".join([*parts, html.escape(code[at:])])


def _is_label(node: Node) -> bool:
    return isinstance(node, Filled) and node.component in ("label", "bar text")


def _values(leaf: Filled) -> str:
    """The attributes that set values and states of a control, or size and source of a picture."""
    found = []
    if CHECKED in leaf.states:
        found.append("checked")
    if DISABLED in leaf.states:
        found.append("disabled")
    if leaf.kind == "field":
        found.append(f'{"placeholder" if leaf.ghost else "value"}="{html.escape(leaf.text)}"')
    if leaf.kind == "slider":
        found.append(f'min="0" max="100" value="{leaf.number}"')
    if leaf.kind == "image":
        width, height = leaf.size
        source = leaf.source or "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"
        shape = f"width:{width}px;height:{height}px;max-width:100%;background:#9ab;{leaf.style}"
        found.append(f'src="{source}" style="{html.escape(shape)}"')
    return " ".join(found)


def _inside(leaf: Filled) -> str:
    """The rows of a table, the first of them its head, or the items of a list."""
    if leaf.kind == "list":
        return "".join(f"<li>{_words_of(row[0], leaf)}</li>" for row in leaf.rows or (("Item",),))
    head, *rows = leaf.rows or (("Name", "Value"), ("a", "1"))
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<thead><tr>{cells}</tr></thead><tbody>{body}</tbody>"
