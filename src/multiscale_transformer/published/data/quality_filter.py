"""The published `DataFilter`: keep the snippets of a file that have a sensible length and parse as Python.

`load_corpus` judges whole files; this judges the snippets inside one collected file, before it is used as a corpus.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from multiscale_transformer.data.filters import reason_to_drop
from multiscale_transformer.data.records import read_records
from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import write_bytes

SEPARATOR = b"\n\n\n"
"""What stands between the snippets of a .txt file: two blank lines, as PEP 8 has them between top-level definitions."""


@dataclass(frozen=True)
class FilterReport:
    """How many snippets were kept, and how many were dropped for each reason."""

    kept: int
    dropped_by_reason: dict[str, int]


@dataclass(frozen=True)
class DataFilter:
    """Keeps snippets of `min_lines` to `max_lines` lines that, if `require_syntax_valid`, parse as Python 3.

    Snippets in other languages, and pairs of source and target code, need `require_syntax_valid=False`.
    """

    min_lines: int = 2
    max_lines: int = 500
    require_syntax_valid: bool = True

    def filter_file(self, src: str | Path, dst: str | Path) -> FilterReport:
        """Write the good snippets of `src` to `dst`, in the format of `src`; `dst` may be `src`.

        A `.txt` file is cut at SEPARATOR, a `.jsonl` file has one snippet a record and its lines are kept as they are.
        Besides the reasons of `data.filters` a snippet is dropped as `too short`, `too long` or `invalid syntax`.

        Raises AxlError when `src` cannot be read, is of another format, or `dst` cannot be written.
        """
        source = Path(src)
        kept: list[bytes] = []
        dropped: Counter[str] = Counter()
        for raw, snippet in _snippets(source):
            reason = self._reason_to_drop(source.name, snippet)
            if reason is None:
                kept.append(raw)
            else:
                dropped[reason] += 1
        separator = SEPARATOR if source.suffix == ".txt" else b"\n"
        write_bytes(Path(dst), separator.join(kept) + b"\n" * bool(kept))
        return FilterReport(len(kept), dict(dropped))

    def _reason_to_drop(self, name: str, snippet: bytes) -> str | None:
        lines = len(snippet.strip(b"\r\n").splitlines())
        reason = reason_to_drop(name, snippet)
        if reason is None and lines < self.min_lines:
            reason = "too short"
        if reason is None and lines > self.max_lines:
            reason = "too long"
        if reason is None and self.require_syntax_valid and not _parses(snippet):
            reason = "invalid syntax"
        return reason


def _snippets(source: Path) -> Iterator[tuple[bytes, bytes]]:
    """Yield (what to write to keep it, the snippet)."""
    if source.suffix == ".jsonl":
        for _, line, text in read_records(source, source.name):
            yield line.rstrip(b"\r\n"), text.encode("utf-8", "surrogatepass")
    elif source.suffix == ".txt":
        try:
            content = source.read_bytes()
        except OSError as error:
            raise AxlError(f"cannot read {source}: {error.strerror or error}; check the path") from error
        for snippet in content.replace(b"\r\n", b"\n").split(SEPARATOR):
            if snippet.strip():
                yield snippet.strip(b"\n"), snippet
    else:
        raise AxlError(f"cannot filter {source}: only .txt and .jsonl are known; rename or convert it")


def _parses(snippet: bytes) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape is worth a warning to its author, not to us
            ast.parse(snippet)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
