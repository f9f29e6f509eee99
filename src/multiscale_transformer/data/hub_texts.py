"""Code from a data set of a hub, row by row, with Hugging Face's `datasets`: nothing is downloaded that is not read.

Only data sets of parquet or JSON files stream (`datasets` runs no loading scripts since version 4). A row's licence decides
where the rows have one; of sets without such a column the caller has to know it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multiscale_transformer.data.installed import is_permissive
from multiscale_transformer.errors import AxlError

TEXT_COLUMNS = ("content", "text", "code")
LICENCE_COLUMNS = ("license", "licence", "detected_licenses", "max_stars_repo_licenses")
_LOCAL = {".jsonl": "json", ".json": "json", ".gz": "json", ".zst": "json", ".parquet": "parquet"}


def hub_texts(dataset: str, split: str = "train") -> Iterator[tuple[str, bytes]]:
    """Name and text of each usable row of a data set, by its id on the hub or the path of a local file.

    Raises AxlError where `datasets` is not installed, the set cannot be opened, or has no column of text.
    """
    for row in hub_rows(dataset, split):
        text = next((row[column] for column in TEXT_COLUMNS if isinstance(row.get(column), str)), None)
        if text is None:
            raise AxlError(f"{dataset} has none of the columns {', '.join(TEXT_COLUMNS)} (there are: {', '.join(row)})")
        if _allowed(row):
            yield f"{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:16]}.py", text.encode(errors="replace")


def hub_rows(dataset: str, split: str, config: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a split of a data set (and of one of its configs), by its id on the hub or the path of a local file.

    Raises AxlError where `datasets` is not installed or the set cannot be opened.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise AxlError("a data set of a hub needs datasets: pip install 'axl[datasets]'") from None
    path = Path(dataset)
    where = {"path": _LOCAL[path.suffix], "data_files": dataset} if path.suffix in _LOCAL else {"path": dataset}
    try:
        yield from load_dataset(**where, name=config, split=split, streaming=True)
    except AxlError:
        raise
    except Exception as error:  # of many libraries below it, each with exceptions of its own
        raise AxlError(_reason(dataset, error)) from error


def _reason(dataset: str, error: Exception) -> str:
    """What to do about a set that does not open."""
    words = f"{type(error).__name__} {error}"
    if "Gated" in words or "401" in words or "403" in words:
        return f"accept the terms at https://huggingface.co/datasets/{dataset}, then: hf auth login (or leave out --hub)"
    if "script" in words.lower():
        return f"{dataset} is a loading script, which datasets no longer runs; name one of parquet or JSON files"
    return f"{dataset} cannot be read ({(str(error).splitlines() or ['no reason given'])[0][:200]})"


def _allowed(row: dict[str, Any]) -> bool:
    """Whether the row's licence, where it states one, allows it."""
    for column in LICENCE_COLUMNS:
        if row.get(column):
            stated = row[column] if isinstance(row[column], list) else [row[column]]
            return all(is_permissive(str(licence).upper().replace("APACHE", "Apache")) for licence in stated)
    return True
