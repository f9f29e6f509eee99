"""A document as an index knows it: by its source and its path in it, never by its bare name.

Every project has a `setup.py`. Two of them live in one index because a document's identity is the pair (source, name); what
a person types or reads is the shortest form of it that is not ambiguous.
"""

from __future__ import annotations

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
