"""Jupyter notebooks as the text that people wrote in them: the cells, without what running them left behind.

The format is JSON (nbformat 4, and 3 with its worksheets); the package nbformat would check more than is needed here and brings
a dozen others along.
"""

from __future__ import annotations

import json
from typing import Any

SUFFIX = ".ipynb"
MAX_BYTES = 32 << 20  # of the file, pictures included


class DamagedNotebookError(ValueError):
    """The file is no notebook."""


def notebook_text(content: bytes) -> bytes:
    """The sources of all cells in order, a blank line between them. Raises DamagedNotebookError."""
    try:
        notebook = json.loads(content)
        sheets = notebook.get("worksheets", [notebook])
        cells = [_source(cell) for sheet in sheets for cell in sheet["cells"]]
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise DamagedNotebookError from error
    text = "\n\n".join(cell.strip("\n") for cell in cells if cell.strip())
    # Half a character (a lone surrogate) is legal JSON but no text; it is left to the filters as undecodable.
    return (text + "\n" * bool(text)).encode("utf-8", "surrogatepass")


def _source(cell: dict[str, Any]) -> str:
    source = cell["source"] if "source" in cell else cell["input"]
    return source if isinstance(source, str) else "".join(source)
