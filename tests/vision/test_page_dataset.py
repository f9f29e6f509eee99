"""Pages on disk: what was written is read, a run goes on where it stopped, and broken files get one line."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from multiscale_transformer.errors import AxlError
from multiscale_transformer.vision.dataset import (
    ElementRecord,
    LibraryEntry,
    Manifest,
    PageRecord,
    begin,
    has_page,
    numbers,
    read_manifest,
    read_pages,
    write_page,
)
from multiscale_transformer.vision.elements import SIDE, Element

Image = pytest.importorskip("PIL.Image", reason="no Pillow: pip install 'axl[vision]'")
MANIFEST = Manifest(seed=3, libraries={"bulma": LibraryEntry(version="1.0.4", licence="MIT", split="train")})
BUTTON = ElementRecord(kind="button", box=(1, 2, 30, 20), states=("disabled",))
RECORD = PageRecord(
    library="bulma", split="train", elements=(ElementRecord(kind="text", box=(0, 0, 9, 9)), BUTTON), layout="TB-"
)


def png(side: int = SIDE, value: int = 7) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((side, side, 3), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def made(folder: Path) -> Path:
    begin(folder, MANIFEST)
    for number, split in enumerate(("train", "pages", "libraries")):
        write_page(folder, number, png(value=number), RECORD.model_copy(update={"split": split}))
    return folder


def test_what_was_written_is_read(tmp_path: Path) -> None:
    folder = made(tmp_path / "pages")
    assert read_manifest(folder) == MANIFEST
    assert numbers(folder) == [0, 1, 2]
    assert [page.split for page in read_pages(folder)] == ["train", "pages", "libraries"]
    (page,) = read_pages(folder, "pages")
    assert page.elements == (Element("text", (0, 0, 9, 9)), Element("button", (1, 2, 30, 20), ("disabled",)))
    assert (page.layout, page.library, page.picture_HWC.shape, page.picture_HWC.max()) == ("TB-", "bulma", (SIDE, SIDE, 3), 1)


def test_the_json_says_class_and_order(tmp_path: Path) -> None:
    fields = json.loads((made(tmp_path) / "pages" / "000001.json").read_text(encoding="utf-8"))
    assert fields["elements"][1] == {"class": "button", "box": [1, 2, 30, 20], "states": ["disabled"], "order": 1}


def test_only_whole_pages_count(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "pages" / "000001.json").unlink()  # as if it was stopped between picture and JSON
    assert not has_page(folder, 1)
    assert numbers(folder) == [0, 2]


def test_another_seed_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path)
    begin(folder, MANIFEST)
    with pytest.raises(AxlError, match="another seed"):
        begin(folder, MANIFEST.model_copy(update={"seed": 4}))


@pytest.mark.parametrize(
    "change",
    [
        {"elements": 3},
        {"elements": [{"class": "spaceship", "box": [0, 0, 9, 9], "states": [], "order": 0}]},
        {"elements": [{"class": "text", "box": [0, 0, 999, 9], "states": [], "order": 0}]},
        {"elements": [{"class": "text", "box": [0, 0, 9], "states": [], "order": 0}]},
        {"elements": [{"class": "text", "box": [9, 9, 0, 0], "states": ["odd"], "order": 0}]},
        {"elements": [{"class": "text", "box": [0, 0, 9, 9], "states": [], "order": "x"}]},
        {"layout": "[[[["},
        {"split": "odd"},
    ],
)
def test_broken_labels_get_one_line(tmp_path: Path, change: dict[str, object]) -> None:
    path = made(tmp_path) / "pages" / "000000.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8")
    with pytest.raises(AxlError, match=r"000000\.json") as caught:
        list(read_pages(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", png(20), png()[:500], b"GIF89a"])
def test_broken_pictures_get_one_line(tmp_path: Path, content: bytes) -> None:
    (made(tmp_path) / "pages" / "000000.png").write_bytes(content)
    with pytest.raises(AxlError, match=r"000000\.png") as caught:
        list(read_pages(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"seed": 1}', '{"seed": 1, "libraries": {}, "version": 99}'])
def test_broken_manifests_get_one_line(tmp_path: Path, content: str) -> None:
    (made(tmp_path) / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(AxlError) as caught:
        list(read_pages(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_folder_without_pages_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="axl data make vision"):
        list(read_pages(tmp_path))
