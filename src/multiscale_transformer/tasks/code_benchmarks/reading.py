"""Reading the files of benchmarks: JSON lines, plain or gzipped, or one JSON array, from a path or from a hub.

The files are other people's, so nothing in them is believed: they are read up to a size, each row is checked, and what is wrong
is said in one line.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from multiscale_transformer.data.hub_texts import hub_rows
from multiscale_transformer.errors import AxlError

HUB = "hub"  # in place of a path: the data set that a benchmark has on the hub; hub:ID is another copy of it
MAX_BYTES = 1 << 28  # of a file, unpacked
_PACKED = b"\x1f\x8b"


class Row(BaseModel):
    """A row of a benchmark's file; fields that are not read here are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    @model_validator(mode="after")
    def _is_unicode(self) -> Self:
        """JSON can escape halves of characters, which no file and no model's prompt can hold."""
        if not writable(json.dumps(self.model_dump(), ensure_ascii=False)):
            raise ValueError("a text in it is no Unicode")
        return self


Kind = TypeVar("Kind", bound=Row)


@dataclass(frozen=True)
class Origin:
    """Where a benchmark comes from: its name, its file as published, and its id, config and splits on the hub."""

    name: str
    published: str
    hub: str = ""
    config: str | None = None
    splits: tuple[str, ...] = ("test",)


def read_rows(source: str, origin: Origin, kind: type[Kind]) -> list[Kind]:
    """The rows of a benchmark's file, or of its data set on the hub.

    Raises AxlError for a file that is missing, damaged, too large, or of something else.
    """
    if source == HUB or source.startswith(f"{HUB}:"):
        rows = _from_hub(source.partition(":")[2] or origin.hub, origin)
    else:
        rows = _from_file(Path(source).expanduser(), origin)
    checked = []
    for number, row in enumerate(rows, 1):
        try:
            checked.append(kind.model_validate(row))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "the row"
            raise _foreign(source, origin, f"row {number}: {field}: {first['msg']}") from None
    if not checked:
        raise _foreign(source, origin, "it is empty")
    return checked


def unpacked(path: Path) -> str:
    """The text of a file that may be gzipped. Raises AxlError where it cannot be read, is damaged or too large."""
    try:
        with path.open("rb") as file:
            packed = file.read(len(_PACKED)) == _PACKED
        with gzip.open(path, "rb") if packed else path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise AxlError(f"{path} is larger than {MAX_BYTES >> 20} MB, which no file of a benchmark is; name another one")
        return content.decode()
    except FileNotFoundError:
        raise AxlError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise AxlError(f"{path} is a folder; name the file in it") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise AxlError(f"{path} cannot be read ({error}); fetch it again") from None


def writable(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_lines(text: str) -> list[Any]:
    """The values of JSON lines. Raises ValueError that names the line."""
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number}: {error}") from None
    return rows


def _from_file(path: Path, origin: Origin) -> list[Any]:
    text = unpacked(path)
    try:
        rows = json.loads(text) if text.lstrip().startswith("[") else json_lines(text)
    except (ValueError, RecursionError) as error:
        raise _foreign(path, origin, str(error)) from None
    return rows if isinstance(rows, list) else [rows]


def _from_hub(dataset: str, origin: Origin) -> list[Any]:
    if not dataset:
        raise AxlError(f"{origin.name} has no data set on the hub that can be read without running its script; name a file")
    return [row for split in origin.splits for row in hub_rows(dataset, split, origin.config)]


def _foreign(source: object, origin: Origin, why: str) -> AxlError:
    return AxlError(f"{source} is no file of {origin.name} ({why}); give {origin.published}")
