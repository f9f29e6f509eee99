"""Figures in the documents come from `runs/*.json`, never from a keyboard.

A document marks a place with `<!-- figures: NAME -->` and `<!-- end -->`; `write_tables` puts the table of `runs/NAME.json`
between them, and a single figure of `benchmarks.numbers` between `<!-- figure: NAME -->` and `<!-- end -->`. A test holds the
documents to the files, so a figure cannot grow old unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from benchmarks.numbers import number
from benchmarks.result import table_of
from multiscale_transformer import files

_NUMBER = re.compile(r"(<!-- figure: ([\w-]+) -->).*?(<!-- end -->)")
_BLOCK = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def write_tables(documents: Iterable[Path], runs: Path) -> list[Path]:
    """Fill the marked places of `documents` from the JSON files in `runs`; returns the documents that changed."""
    changed = []
    for path in documents:
        before = path.read_text(encoding="utf-8")
        after = filled(before, runs)
        if after != before:
            files.write_text(path, after)
            changed.append(path)
    return changed


def filled(text: str, runs: Path) -> str:
    """`text` with all marked places filled. Raises AxlError when a file is missing."""
    text = _NUMBER.sub(lambda match: match[1] + number(match[2], runs) + match[3], text)
    return _BLOCK.sub(lambda match: match[1] + table_of(runs / f"{match[2]}.json") + match[3], text)
