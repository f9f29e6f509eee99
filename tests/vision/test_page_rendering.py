"""Pages that a browser laid out: what is labelled is what is drawn, the same again and again, and nothing else is reached."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from multiscale_transformer.errors import AxlError
from multiscale_transformer.vision.dataset import SPLITS, numbers, read_pages
from multiscale_transformer.vision.elements import SIDE, Element, overlap
from multiscale_transformer.vision.layout import Group, Leaf, leaves, line_of, parse
from multiscale_transformer.vision.libraries import LIBRARIES, installed
from multiscale_transformer.vision.make import make_pages, placed
from multiscale_transformer.vision.markup import Look, body_of, document, fill
from multiscale_transformer.vision.other_domains import make_documentation
from multiscale_transformer.vision.render import Browser, browser, chromium_path

Image = pytest.importorskip("PIL.Image", reason="no Pillow: pip install 'axl[vision]'")
pytest.importorskip("playwright", reason="no playwright: pip install 'axl[render]'")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(chromium_path() is None, reason="no Chromium: apt-get install chromium")]


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Libraries as npm would install them, whose style sheets are next to empty."""
    folder = tmp_path_factory.mktemp("npm") / "node_modules"
    for library in LIBRARIES.values():
        for name in filter(None, (library.css, library.dark_css)):
            (folder / library.package / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / library.package / name).write_text("body{font-family:sans-serif}", encoding="utf-8")
        about = {"version": "1.2.3", "license": library.licence}
        (folder / library.package / "package.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """For the tests below those that start a Chromium of their own: playwright drives one at a time in a thread."""
    with browser() as opened:
        yield opened


def test_a_small_set_is_made_twice_alike_and_goes_on(tmp_path: Path, node_modules: Path) -> None:
    count = 12
    assert make_pages(tmp_path / "one", node_modules, count, 5) == count
    make_pages(tmp_path / "two", node_modules, count // 2, 5)
    assert make_pages(tmp_path / "two", node_modules, count, 5) == count - count // 2
    assert make_pages(tmp_path / "two", node_modules, count, 5) == 0
    for name in sorted(path.name for path in (tmp_path / "one" / "pages").iterdir()):
        assert (tmp_path / "one" / "pages" / name).read_bytes() == (tmp_path / "two" / "pages" / name).read_bytes()
    assert numbers(tmp_path / "one") == list(range(count))
    for page in read_pages(tmp_path / "one"):
        assert page.elements
        assert page.split in SPLITS
        assert [(leaf.kind, leaf.states) for leaf in leaves(parse(page.layout))] == [
            (one.kind, one.states) for one in page.elements
        ]
        boxes = [element.box for element in page.elements]
        assert all(overlap(first, second) < 0.1 for number, first in enumerate(boxes) for second in boxes[:number])
        for x0, y0, x1, y1 in boxes:
            assert page.picture_HWC[y0:y1, x0:x1].std() > 0, "a box where nothing is drawn"
    with pytest.raises(AxlError, match="another seed"):
        make_pages(tmp_path / "one", node_modules, count, 6)


def test_libraries_are_held_out_whole() -> None:
    sides: dict[str, set[str]] = {}
    for number in range(2000):
        name, split = placed(1, number, LIBRARIES)
        sides.setdefault(name, set()).add(split)
    held_out = {name for name, library in LIBRARIES.items() if library.split == "libraries"}
    assert len(held_out) == 2
    assert sides == {name: {"libraries"} if name in held_out else {"train", "pages"} for name in LIBRARIES}


def test_pages_from_elsewhere_reach_nothing_outside_their_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.css").write_text("h1{display:none}", encoding="utf-8")
    docs = tmp_path / "docs"
    (docs / "a").mkdir(parents=True)
    (docs / "in.css").write_text("h2{display:none}", encoding="utf-8")
    page = (
        "<link rel=stylesheet href=../../secret.css><link rel=stylesheet href=../in.css>"
        "<script>document.write('<h3>script</h3>')</script><h1>Title</h1><h2>Hidden</h2><p>Some <a href=x>words</a></p>"
        "<pre>code</pre><ul><li>one<li>two</ul><label><input type=checkbox checked disabled> tick</label><button>Go</button>"
    )
    (docs / "a" / "page.html").write_text(page, encoding="utf-8")
    (docs / "a" / "empty.html").write_text("", encoding="utf-8")
    assert make_documentation(tmp_path / "out", docs, 5, 0) == 1
    (seen,) = read_pages(tmp_path / "out", "libraries")
    assert {element.kind for element in seen.elements} <= {"heading", "text", "code", "list", "checkbox", "button"}
    assert [element.kind for element in seen.elements].count("heading") <= 1
    assert all(element.states == ("checked", "disabled") for element in seen.elements if element.kind == "checkbox")


def test_boxes_are_where_the_browser_draws(chromium: Browser, node_modules: Path) -> None:
    library = installed(node_modules)["bulma"]
    tree = Group("column", (Leaf("image"), Leaf("progress")))
    seen = [Element("image", (0, 0, 100, 50)), Element("progress", (0, 0, 100, 20))]
    body = body_of(fill(tree, seen), library.library, Look())
    png, laid_out, elements = chromium.draw(document(body, library, Look()))
    assert line_of(laid_out) == line_of(tree)
    assert elements[0].box == (16, 16, 116, 66)
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    assert picture.shape == (SIDE, SIDE, 3)
    inside = picture[16:66, 16:116]
    assert (inside == inside[0, 0]).all()
    assert (picture[:16] != inside[0, 0]).any(axis=-1).all()


@pytest.mark.parametrize("line", ["HT[FB]C+R", "{[LLL]}HT", "[{HT}{HT}]", "[(HT)(HT)]G-", "MUKW", "[I(HT)]AS-"])
@pytest.mark.parametrize("name", ["bootstrap", "fomantic", "foundation"])
def test_a_layout_renders_again_as_itself(chromium: Browser, node_modules: Path, name: str, line: str) -> None:
    library = installed(node_modules)[name]
    tree = parse(line)
    _, laid_out, elements = chromium.draw(document(body_of(fill(tree, ()), library.library, Look()), library, Look()))
    assert line_of(laid_out) == line
    assert len(elements) == len(list(leaves(tree)))


def test_words_that_are_markup_stay_words(chromium: Browser, node_modules: Path) -> None:
    from multiscale_transformer.vision.markup import Filled

    library = installed(node_modules)["pico"]
    evil = "</p><div data-e=table>{i}</div>\"'<script>document.body.remove()</script>{a}"
    tree = Group(
        "column",
        (Filled("text", text=evil), Filled("field", text=evil), Filled("code", text="</pre>{i}<b data-e=x>'s'", painted=True)),
    )
    _, laid_out, _ = chromium.draw(document(body_of(tree, library.library, Look()), library, Look()))
    assert line_of(laid_out) == "TFK"


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AxlError, match="npm install"):
        installed(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("AXL_CHROMIUM", raising=False)
    with pytest.raises(AxlError, match="no Chromium"), browser():
        pass
