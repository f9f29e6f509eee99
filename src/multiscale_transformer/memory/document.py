"""A document as an index knows it: by its source and its path in it, never by its bare name.

Every project has a `setup.py`. Two of them live in one index because a document's identity is the pair (source, name); what
a person types or reads is the shortest form of it that is not ambiguous.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple


class Document(NamedTuple):
    """A text: `name` is its path within `source`, with forward slashes.

    `source` is the absolute path of the folder, file or glob's root that was named, or a word (`stdlib`, `installed`). It is
    empty where nobody knows it: in indexes of earlier versions, and in texts that never were files.
    """

    name: str
    content: bytes
    source: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells this document from all others, whatever it holds."""
        return self.source, self.name

    @property
    def path(self) -> str:
        """The whole of it, as one may type it."""
        return path_of(self.source, self.name)


def path_of(source: str, name: str) -> str:
    """`source` and the path in it as one path; a source that is a file ends in its own name already."""
    return name if not source else source if source.rsplit("/", 1)[-1] == name else f"{source}/{name}"


def shown_sources(sources: Iterable[str]) -> dict[str, str]:
    """For each source the least that tells it from the others: the last part of its path, or more where two end alike."""
    parts = {source: source.replace(os.sep, "/").rstrip("/").split("/") for source in dict.fromkeys(sources)}
    shown = {}
    for source, own in parts.items():
        others = [other for name, other in parts.items() if name != source]
        count = next((n for n in range(1, len(own)) if all(own[-n:] != other[-n:] for other in others)), len(own))
        shown[source] = "/".join(own[-count:])
    return shown
