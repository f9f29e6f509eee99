"""Test sets from elsewhere: HTML documentation as it is, and windows of a GUI toolkit (Qt), labelled by what made them.

No grammar of ours wrote these pages. Nothing is learnt from them, they have no layout line, and all stand on the side of the
held-out libraries. Documentation is any folder of HTML (of packages, of Rust's toolchain, a library's own examples): tags and
roles tell the elements, scripts do not run, and no file outside the folder is read. Windows are drawn without a screen.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.vision.dataset import ElementRecord, LibraryEntry, Manifest, PageRecord, begin, has_page, write_page
from multiscale_transformer.vision.elements import CHECKED, DISABLED, SIDE, Element
from multiscale_transformer.vision.pages import FONTS, ZOOMS
from multiscale_transformer.vision.render import browser
from multiscale_transformer.vision.texts import SOURCE, Texts, texts

if TYPE_CHECKING:
    from PySide6.QtWidgets import QLayout, QWidget

DOCUMENTATION, WINDOWS = "documentation", "windows"
FEWEST = 3  # elements of a page that is kept
MAX_FILE = 1 << 20  # bytes of an HTML file that is opened
_SCROLLS = (0, 0, 300, 900, 2000)  # CSS pixels


def make_documentation(folder: Path, source: Path, count: int, seed: int) -> int:
    """Pages of the HTML files in `source`, each once, at chance zooms and places; returns how many there are in `folder`.

    Raises AxlError where `source` holds too few files, or the browser is missing.
    """
    begin(folder, _manifest(DOCUMENTATION, source.name, seed))
    files = _in_turn(source, seed)
    number = 0
    with browser() as chromium:
        while number < count:
            path = next(files, None)
            if path is None:
                break
            rng = Random(f"{seed} {path.relative_to(source).as_posix()}")
            zoom, scroll = rng.choice(ZOOMS), rng.choice(_SCROLLS)
            if has_page(folder, number):
                number += 1
                continue
            try:
                png, elements = chromium.open_file(path, source, zoom, scroll)
            except AxlError:  # a page that the browser cannot show says nothing about seeing
                continue
            if len(elements) >= FEWEST:
                write_page(folder, number, png, _record(DOCUMENTATION, elements, zoom))
                number += 1
    if not number:
        raise AxlError(f"no HTML page in {source} has {FEWEST} elements that can be seen; name a folder of documentation")
    return number


def make_windows(folder: Path, count: int, seed: int) -> int:
    """Windows of Qt with labels from the toolkit; returns how many there are. Raises AxlError where PySide6 is missing."""
    begin(folder, _manifest(WINDOWS, "Qt", seed))
    toolkit = _Toolkit()
    for number in range(count):
        if not has_page(folder, number):
            png, elements, dark = toolkit.window(Random(f"{seed} {number} window"))
            write_page(folder, number, png, _record(WINDOWS, elements, 1.0, "dark" if dark else "light"))
    return count


def _manifest(name: str, version: str, seed: int) -> Manifest:
    return Manifest(seed=seed, texts=SOURCE, libraries={name: LibraryEntry(version=version, licence="", split="libraries")})


def _record(library: str, elements: Sequence[Element], zoom: float, theme: str = "light") -> PageRecord:
    records = tuple(ElementRecord(kind=element.kind, box=element.box, states=element.states) for element in elements)
    return PageRecord(library=library, split="libraries", theme=theme, zoom=zoom, elements=records, layout="")


def _in_turn(source: Path, seed: int) -> Iterator[Path]:
    """HTML files, one of each folder at the top in turn, so that a folder of thousands does not outweigh the others."""
    by_folder: dict[str, list[tuple[bytes, Path]]] = {}
    for place, _, names in os.walk(source):
        for name in names:
            path = Path(place, name)
            if name.endswith((".html", ".htm")) and not path.is_symlink() and path.stat().st_size <= MAX_FILE:
                key = hashlib.sha256(f"{seed} {path.relative_to(source).as_posix()}".encode("utf-8", "replace")).digest()
                by_folder.setdefault(path.relative_to(source).parts[0], []).append((key, path))
    queues = [sorted(files) for files in by_folder.values()]
    queues.sort(key=lambda files: files[0])
    while queues:
        for files in queues:
            yield files.pop(0)[1]
        queues = [files for files in queues if files]


class _Toolkit:
    """Qt's widgets, in windows of SIDE x SIDE, drawn into memory."""

    def __init__(self) -> None:
        if sys.platform.startswith("linux"):
            os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        try:
            from PySide6 import QtCore, QtGui, QtWidgets
        except ImportError as error:
            raise AxlError("windows to see need Qt; run: pip install PySide6-Essentials") from error
        self.core, self.gui, self.widgets = QtCore, QtGui, QtWidgets
        self.application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
        self.rng = Random(0)
        self.words: Texts = texts(held_out=True)
        self.made: list[tuple[str, QWidget]] = []

    def window(self, rng: Random) -> tuple[bytes, tuple[Element, ...], bool]:
        """A window as a PNG, its elements from above to below, and whether it is dark."""
        self.rng, self.made = rng, []
        application: Any = self.application
        application.setStyle(rng.choice(self.widgets.QStyleFactory.keys()))
        dark = rng.random() < 0.25
        application.setPalette(self._palette(dark=dark))
        application.setFont(self.gui.QFont(rng.choice(FONTS), rng.choice((8, 9, 10, 11, 12))))
        window = self.widgets.QWidget()
        window.setFixedSize(SIDE, SIDE)
        column = self.widgets.QVBoxLayout(window)
        for make in rng.sample(self._blocks(), k=rng.randint(4, 7)):
            make(column)
        column.addStretch(1)
        window.ensurePolished()
        column.activate()
        picture = window.grab().toImage().scaled(SIDE, SIDE)
        elements = tuple(filter(None, (self._element(kind, widget, window) for kind, widget in self.made)))
        data = self.core.QByteArray()
        buffer = self.core.QBuffer(data)
        buffer.open(self.core.QIODevice.OpenModeFlag.WriteOnly)
        picture.convertToFormat(self.gui.QImage.Format.Format_RGB888).save(buffer, "PNG")
        window.deleteLater()
        return bytes(data.data()), elements, dark

    def _palette(self, *, dark: bool) -> Any:
        palette, roles = self.gui.QPalette(), self.gui.QPalette.ColorRole
        if dark:
            ground, ink, base = self.gui.QColor(45, 46, 50), self.gui.QColor(225, 225, 225), self.gui.QColor(30, 31, 34)
            for role, colour in (
                (roles.Window, ground),
                (roles.Button, ground),
                (roles.Base, base),
                (roles.AlternateBase, ground),
            ):
                palette.setColor(role, colour)
            for role in (roles.WindowText, roles.ButtonText, roles.Text):
                palette.setColor(role, ink)
        else:
            ground = self.gui.QColor(239, 239, 239)
            palette = self.gui.QPalette(ground)
        return palette

    def _element(self, kind: str, widget: QWidget, window: QWidget) -> Element | None:
        """What a widget shows: a label and a tick are as wide as their words, all else as its frame."""
        place = widget.mapTo(window, self.core.QPoint(0, 0))
        x, y, wide, high = place.x(), place.y(), widget.width(), widget.height()
        if kind in ("heading", "text", "link", "checkbox", "radio"):
            hint = widget.sizeHint()
            if not getattr(widget, "wordWrap", bool)():
                wide = min(wide, hint.width())
            y, high = y + max(0, (high - hint.height()) // 2), min(high, hint.height())
        if x < 0 or y < 0 or x + wide > SIDE or y + high > SIDE or min(wide, high) < 4:
            return None
        on = kind in ("checkbox", "radio") and getattr(widget, "isChecked", bool)()
        states = ((CHECKED,) if on else ()) + (() if widget.isEnabled() else (DISABLED,))
        return Element(kind, (x, y, x + wide, y + high), states)

    def _put(self, kind: str, widget: QWidget, into: QLayout) -> None:
        if kind in ("button", "field", "area", "select", "checkbox", "radio", "slider") and self.rng.random() < 0.1:
            widget.setEnabled(False)
        self.made.append((kind, widget))
        into.addWidget(widget)

    def _blocks(self) -> list[Callable[[QLayout], None]]:
        choices = [lambda into, kind=kind: self._choices(kind, into) for kind in ("checkbox", "radio")]
        rows = [self._row(("text", "field")), self._row(("text", "select")), self._row(("field", "button"))]
        more = [self._row(("button", "button")), self._row(("text", "slider")), self._row(("image", "text"))]
        single = [self._row((kind,)) for kind in ("heading", "text", "link", "area", "progress", "table", "list", "image")]
        return [*choices, *rows, *more, *single]

    def _row(self, kinds: tuple[str, ...]) -> Callable[[QLayout], None]:
        def make(into: Any) -> None:
            row = self.widgets.QHBoxLayout()
            into.addLayout(row)
            for kind in kinds:
                self._put(kind, self._widget(kind), row)
            if kinds == ("button", "button"):
                row.insertStretch(0, 1)

        return make

    def _choices(self, kind: str, into: Any) -> None:
        self._put("text", self.widgets.QLabel(self.words.name(self.rng)), into)
        group = self.widgets.QGroupBox()
        column = self.widgets.QVBoxLayout(group)
        into.addWidget(group)
        count = self.rng.randint(2, 3)
        one = self.rng.randrange(count)
        for number in range(count):
            tick = (self.widgets.QCheckBox if kind == "checkbox" else self.widgets.QRadioButton)(self.words.name(self.rng, 3))
            tick.setChecked(number == one if kind == "radio" else self.rng.random() < 0.5)
            self._put(kind, tick, column)

    def _widget(self, kind: str) -> QWidget:
        rng, words, widgets = self.rng, self.words, self.widgets
        if kind in ("heading", "text", "link"):
            label = widgets.QLabel(words.heading(rng) if kind == "heading" else words.name(rng))
            if kind == "heading":
                font = label.font()
                font.setPointSize(font.pointSize() + rng.randint(4, 10))
                font.setBold(rng.random() < 0.7)
                label.setFont(font)
            if kind == "link":
                label.setText(f'<a href="#">{words.name(rng)}</a>')
            return label
        if kind == "button":
            return widgets.QPushButton(words.name(rng))
        if kind in ("field", "area"):
            text = words.sentence(rng, 120) if kind == "area" else words.name(rng, 3) if rng.random() < 0.6 else ""
            field = widgets.QLineEdit(text) if kind == "field" else widgets.QPlainTextEdit(text)
            field.setPlaceholderText(words.name(rng, 3))
            return field
        if kind == "select":
            select = widgets.QComboBox()
            select.addItems([words.name(rng, 2)])
            return select
        return self._scale(kind) if kind in ("slider", "progress") else self._collection(kind)

    def _scale(self, kind: str) -> QWidget:
        if kind == "slider":
            slider = self.widgets.QSlider(self.core.Qt.Orientation.Horizontal)
            slider.setValue(self.rng.randint(0, 99))
            return slider
        bar = self.widgets.QProgressBar()
        bar.setValue(self.rng.randint(4, 100))
        return bar

    def _collection(self, kind: str) -> QWidget:
        rng, words, widgets = self.rng, self.words, self.widgets
        if kind == "list":
            listing = widgets.QListWidget()
            listing.addItems([words.name(rng, 3) for _ in range(rng.randint(3, 5))])
            listing.setMaximumHeight(90)
            return listing
        if kind == "table":
            rows, columns = rng.randint(2, 4), rng.randint(2, 3)
            table = widgets.QTableWidget(rows, columns)
            table.setHorizontalHeaderLabels([words.name(rng, 1) for _ in range(columns)])
            for row in range(rows):
                for column in range(columns):
                    table.setItem(row, column, widgets.QTableWidgetItem(words.name(rng, 1)))
            table.setMaximumHeight(120)
            return table
        picture = widgets.QLabel()
        wide, high = rng.randint(50, 160), rng.randint(30, 80)
        pixels = self.gui.QPixmap(wide, high)
        pixels.fill(self.gui.QColor(*(rng.randint(0, 255) for _ in range(3))))
        painter = self.gui.QPainter(pixels)
        for _ in range(5):
            painter.setBrush(self.gui.QColor(*(rng.randint(0, 255) for _ in range(3))))
            painter.drawEllipse(rng.randrange(wide), rng.randrange(high), rng.randint(8, 40), rng.randint(8, 40))
        painter.end()
        picture.setPixmap(pixels)
        picture.setFixedSize(wide, high)
        return picture
