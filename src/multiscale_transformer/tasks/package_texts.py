"""Python texts of installed packages and of the standard library, by package and with licences: what examples are made from.

Packages that no model here was trained on are the test: those kept for measuring (`data.installed.UNSEEN`, `UNSEEN_PROJECTS`),
and those too large for the corpus of the base.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from multiscale_transformer.data.corpus import stream_documents
from multiscale_transformer.data.download import read_manifest
from multiscale_transformer.data.filters import reason_to_drop
from multiscale_transformer.data.installed import UNSEEN, UNSEEN_PROJECTS, permissive_packages
from multiscale_transformer.data.named_sources import STDLIB

LIBRARY_LICENCE = "PSF-2.0"
MAX_PACKAGE = 6_000_000  # bytes of one package that are read, the files in the order of their hashes


class PackageText(NamedTuple):
    """A file of a package, as text."""

    package: str
    licence: str
    name: str
    text: str


@cache
def unseen_packages() -> frozenset[str]:
    """Names of the packages that are the test on this machine."""
    read_by_base = {package.name.lower() for package in permissive_packages()}
    installed = {package.name.lower() for package in permissive_packages(max_bytes=1 << 40, without=("axl",))}
    return frozenset((installed - read_by_base) | {*UNSEEN, *UNSEEN_PROJECTS})


def package_texts(*, most_bytes: int = MAX_PACKAGE, downloaded: Path | None = None) -> Iterator[PackageText]:
    """The standard library, whose modules count as packages, and all permissively licensed packages, in a fixed order.

    Of each package about `most_bytes` at most. What `axl data download` wrote into the folder `downloaded` comes behind them,
    without packages that are installed too.
    """
    read: set[str] = set()
    for document in stream_documents([STDLIB]):
        top = document.name.partition("/")[0].removesuffix(".py")
        yield PackageText(f"{STDLIB}-{top}", LIBRARY_LICENCE, document.name, document.content.decode())
    for package in permissive_packages(max_bytes=1 << 40, without=("axl",)):
        read.add(package.name.lower())
        yield from _texts_of(package.name.lower(), package.licence, package.files(), most_bytes)
    for kept in read_manifest(downloaded).values() if downloaded is not None else ():
        if kept.name not in read:
            folder = Path(downloaded or "") / kept.name
            files = ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*.py"))
            yield from _texts_of(kept.name, kept.licence, files, most_bytes)


def _texts_of(package: str, licence: str, files: Iterable[tuple[str, Path]], most_bytes: int) -> Iterator[PackageText]:
    """Usable texts of a package in the order of the hashes of their names, about so many bytes of them."""
    left = most_bytes
    for name, path in sorted(files, key=lambda file: hashlib.sha256(file[0].encode()).digest()):
        text = _usable(name, path) if left > 0 else None
        if text is not None:
            left -= len(text)
            yield PackageText(package, licence, name, text)


def _usable(name: str, path: Path) -> str | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content.decode() if reason_to_drop(name, content) is None else None
