"""Rendered pages on disk: a manifest, and for each page a picture and what is in it.

    FOLDER/manifest.json        version, seed, size, classes, states, libraries with version, licence and split
    FOLDER/pages/000123.png     the picture, RGB
    FOLDER/pages/000123.json    library, split, theme, zoom, elements with box and states in reading order, layout

Page 123 is a function of the seed, the number and the libraries, so a run that was interrupted goes on with the pages that are
missing. The picture is written first and the JSON last, each in one step: a page whose JSON is there is whole.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import write_bytes, write_json, write_text
from multiscale_transformer.validation import validated
from multiscale_transformer.vision.elements import CLASSES, SIDE, STATES, Box, Element, Page, Picture
from multiscale_transformer.vision.layout import parse

VERSION = 1
MANIFEST = "manifest.json"
PAGES = "pages"
Split = Literal["train", "pages", "libraries"]
SPLITS: tuple[Split, ...] = ("train", "pages", "libraries")  # the second: unseen pages of seen libraries


class LibraryEntry(BaseModel):
    """A library of CSS as the manifest names it: on which side of the test it stands, too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    licence: str
    split: Literal["train", "libraries"]


class Manifest(BaseModel):
    """What a folder of pages was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = VERSION
    seed: int
    size: tuple[int, int] = (SIDE, SIDE)
    classes: tuple[str, ...] = CLASSES
    states: tuple[str, ...] = STATES
    texts: str = ""  # where the words are from
    libraries: dict[str, LibraryEntry]


class ElementRecord(BaseModel):
    """An element as it stands in the JSON of its page; `class` is what Python calls kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    box: Box
    states: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_one(self) -> ElementRecord:
        x0, y0, x1, y1 = self.box
        if (
            self.kind not in CLASSES
            or not set(self.states) <= set(STATES)
            or not (0 <= x0 < x1 <= SIDE and 0 <= y0 < y1 <= SIDE)
        ):
            raise ValueError("an element of a known class, with known states, inside the picture")
        return self


class PageRecord(BaseModel):
    """What is known of a page beside its picture; what else a file says is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    library: str
    split: Split
    theme: str = "light"
    zoom: float = 1.0
    font: str = ""
    elements: tuple[ElementRecord, ...]
    layout: str


def begin(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, or go on with a folder that has the same. Raises AxlError where it has another."""
    if not (folder / MANIFEST).exists():
        write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    elif read_manifest(folder) != manifest:
        raise AxlError(f"{folder} holds pages of another seed or other libraries; choose another folder, or remove it")


def read_manifest(folder: Path) -> Manifest:
    """What a folder was made from. Raises AxlError where it holds no pages, or those of another version."""
    manifest = validated(Manifest, _read_json(folder / MANIFEST), str(folder / MANIFEST))
    if manifest.version != VERSION:
        raise AxlError(f"{folder} holds pages of version {manifest.version}, not {VERSION}; make them again")
    return manifest


def has_page(folder: Path, number: int) -> bool:
    """Whether a page was written."""
    return _place(folder, number, ".json").exists()


def write_page(folder: Path, number: int, png: bytes, record: PageRecord) -> None:
    """Write a page whose picture is a PNG."""
    write_bytes(_place(folder, number, ".png"), png)
    fields = record.model_dump(mode="json")
    fields["elements"] = [
        {"class": element.kind, "box": element.box, "states": element.states, "order": order}
        for order, element in enumerate(record.elements)
    ]
    write_text(_place(folder, number, ".json"), json.dumps(fields, ensure_ascii=False) + "\n")


def read_pages(folder: Path, split: Split | None = None) -> Iterator[Page]:
    """The pages of a split in the order of their numbers, or all. Raises AxlError where the folder or a file is broken."""
    for number in numbers(folder):
        if split in (None, read_record(folder, number).split):
            yield read_page(folder, number)


def read_page(folder: Path, number: int) -> Page:
    """One page. Raises AxlError where it is broken."""
    record = read_record(folder, number)
    elements = tuple(Element(one.kind, one.box, one.states) for one in record.elements)
    return Page(_read_picture(_place(folder, number, ".png")), elements, record.layout, record.library, record.split)


def numbers(folder: Path) -> list[int]:
    """The numbers of the pages that a folder holds. Raises AxlError where it holds none."""
    read_manifest(folder)
    return sorted(int(path.stem) for path in (folder / PAGES).glob("[0-9]*.json"))


def read_record(folder: Path, number: int) -> PageRecord:
    """What is known of a page. Raises AxlError where it is broken."""
    path = _place(folder, number, ".json")
    fields = _read_json(path)
    try:
        elements = [
            {"kind": element["class"], **{key: element[key] for key in ("box", "states")}}
            for element in sorted(fields["elements"], key=lambda element: int(element["order"]))
        ]
        record = PageRecord.model_validate({**fields, "elements": elements})
        if record.layout:  # pages from elsewhere have none
            parse(record.layout)
        return record
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise AxlError(f"{path} is no page of `axl data make vision`; remove it and run that again") from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise AxlError(f"there is no {path}; make pages with `axl data make vision --libraries NODE_MODULES`") from error
    except (OSError, ValueError) as error:
        raise AxlError(f"cannot read {path}: {error}; remove it and make the pages again") from error


def _read_picture(path: Path) -> Picture:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=["PNG"]) as image:
            if image.size != (SIDE, SIDE):
                raise AxlError(f"{path} is no picture of {SIDE} x {SIDE}; remove it and its JSON, and make the pages again")
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, AxlError):
            raise
        raise AxlError(f"cannot read {path}: {error}; remove it and its JSON, and make the pages again") from error


def _place(folder: Path, number: int, suffix: str) -> Path:
    return folder / PAGES / f"{number:06d}{suffix}"
