"""A mixture: what a base model reads, as a file that says which parts, of which licence, how much of each, and indented how.

    parts:
      - {data: stdlib, licence: PSF-2.0}
      - {data: installed}
      - {data: /usr/include/llvm-14, suffixes: [.h], most_mb: 8, licence: Apache-2.0 WITH LLVM-exception}
    tabs: 0.05          # share of the files of code that are read indented with tabs,
    two_spaces: 0.05    # and with two spaces

`mixture:FILE` stands for all of it wherever data is named. Which files are read, and how, depends on their names alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from multiscale_transformer.data import dropped as reasons
from multiscale_transformer.data.download import read_manifest
from multiscale_transformer.data.dropped import Dropped
from multiscale_transformer.data.folders import SourceFile
from multiscale_transformer.data.named_sources import NAMED_SOURCES
from multiscale_transformer.data.selection import Selection
from multiscale_transformer.validation import read_yaml, validated

PREFIX = "mixture:"
TABS, TWO_SPACES = "\t", "  "
INDENTABLE = frozenset({".c", ".cpp", ".go", ".h", ".hpp", ".js", ".jsx", ".mjs", ".py", ".pyi", ".sh", ".ts", ".tsx"})


class Part(BaseModel):
    """Files behind one path or word: those with one of `suffixes` (all if there are none), up to `most_mb` of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str = Field(min_length=1)
    licence: str = ""
    suffixes: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    most_mb: float | None = Field(None, gt=0)

    @property
    def selection(self) -> Selection:
        """What the part adds and leaves out, by patterns."""
        return Selection.of(self.include, self.exclude)


class Mixture(BaseModel):
    """All parts, and the shares of files that are read with another indentation than they have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: tuple[Part, ...] = Field(min_length=1)
    tabs: float = Field(0.0, ge=0.0, le=1.0)
    two_spaces: float = Field(0.0, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _shares_fit(self) -> Mixture:
        if self.tabs + self.two_spaces > 1.0:
            raise ValueError("tabs and two_spaces are shares of the same files; together they are at most 1")
        return self


def read_mixture(path: str) -> Mixture:
    """The mixture in a YAML file; its relative paths are those from the folder it lies in. Raises AxlError when it is none."""
    mixture = validated(Mixture, read_yaml(Path(path)), path)
    folder = Path(path).absolute().parent
    parts = (
        part if part.data in NAMED_SOURCES else part.model_copy(update={"data": str(folder / Path(part.data).expanduser())})
        for part in mixture.parts
    )
    return mixture.model_copy(update={"parts": tuple(parts)})


def part_licences(sources: Iterable[str]) -> dict[str, str]:
    """The licence of each part of the mixtures among `sources`, as their files state them, by what the part reads."""
    licences: dict[str, str] = {}
    for part in _parts(sources):
        licences[part.data] = licences.get(part.data) or part.licence
    return licences


def downloaded_packages(sources: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Version and licence of the packages that `axl data download` wrote into a part of the mixtures and that were read.

    `names` are those of the documents that were.
    """
    read = {name.partition("/")[0] for name in names}
    kept = (kept for part in _parts(sources) for kept in read_manifest(Path(part.data)).values())
    return {one.name: f"{one.version}, {one.licence}" for one in kept if one.name in read}


def _parts(sources: Iterable[str]) -> Iterator[Part]:
    for source in sources:
        if source.startswith(PREFIX):
            yield from read_mixture(source.removeprefix(PREFIX)).parts


def list_mixture(mixture: Mixture, list_part: Callable[[Part], list[SourceFile]], dropped: Dropped) -> list[SourceFile]:
    """The files of all parts; `list_part` lists what is behind one. What is beyond the size of its part is dropped."""
    return [
        replace(file, indentation=_indentation(mixture, file.name))
        for part in mixture.parts
        for file in _up_to(part, list_part(part), dropped)
    ]


def _up_to(part: Part, files: Iterable[SourceFile], dropped: Dropped) -> Iterator[SourceFile]:
    """Files of the part's suffixes in an order that looks random, up to its size."""
    left = part.most_mb * 1e6 if part.most_mb is not None else float("inf")
    wanted = [file for file in files if not part.suffixes or file.name.endswith(part.suffixes)]
    for file in sorted(wanted, key=lambda file: _number(file.name, "part")):
        try:
            size = os.stat(file.path).st_size
        except OSError:
            size = 0  # reading it says what is wrong
        if size > left:
            dropped.add(f"{file.source}/{file.name}", reasons.BEYOND_PART)
        else:
            left -= size
            yield file


def _indentation(mixture: Mixture, name: str) -> str:
    if os.path.splitext(name)[1] not in INDENTABLE:
        return ""
    drawn = _number(name, "indentation")
    return TABS if drawn < mixture.tabs else TWO_SPACES if drawn < mixture.tabs + mixture.two_spaces else ""


def _number(name: str, purpose: str) -> float:
    """A number in [0, 1) that is a function of a file's name."""
    digest = hashlib.sha256(f"{purpose} {name}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6]) / 2**48


def indented(content: bytes, step: bytes) -> bytes:
    """A text that is indented by four spaces with `step` instead; one that is indented otherwise stays as it is.

    What is left of a line's spaces, as where an argument stands below another, stays behind the steps.
    """
    lines = content.split(b"\n")
    counts = [len(line) - len(line.lstrip(b" ")) for line in lines]
    spaces = [count for line, count in zip(lines, counts, strict=True) if count and line.strip()]
    if not spaces or any(line[:1] == b"\t" for line in lines) or sum(n % 4 == 0 for n in spaces) < 0.8 * len(spaces):
        return content
    return b"\n".join(step * (count // 4) + line[count - count % 4 :] for line, count in zip(lines, counts, strict=True))
