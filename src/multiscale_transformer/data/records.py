"""Documents in JSON lines: one record a line, compressed or not."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from multiscale_transformer.errors import AxlError

ENDINGS = (".jsonl", ".jsonl.gz")
TEXT_FIELDS = ("text", "content", "code")
MAX_LINE = 64 << 20
MAX_EXPANSION = 200  # text compresses 3 to 20 times; gzip can promise 1,000
FREE_BYTES = 64 << 20  # that may come out of any file, however well it compresses


def record_text(record: object) -> str | None:
    """The document in one JSON record, or None when it has none of the known fields.

    Known are `text`, `content` or `code`; `prompt` with `canonical_solution`, joined; and `source_code` with `target_code`,
    laid out as the published Translate models were prompted.
    """
    if not isinstance(record, dict):
        return None
    fields = {name: value for name, value in record.items() if isinstance(value, str)}
    for name in TEXT_FIELDS:
        if name in fields:
            return fields[name]
    if "source_code" in fields and "target_code" in fields:
        return f"Translate:\n{fields['source_code']}\nResult:\n{fields['target_code']}\n"
    if "prompt" in fields and "canonical_solution" in fields:
        return fields["prompt"] + fields["canonical_solution"]
    return None


def read_records(path: Path, name: str) -> Iterator[tuple[str, bytes, str]]:
    """Yield (name with line number, the record's line, its text) for every record of a JSON-lines file.

    Raises AxlError for a line that is not JSON, that `record_text` does not know, or that is too long, and for a file that
    unpacks to far more than text does.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            text = record_text(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise AxlError(f"{path} line {number} is not JSON; every line must be one record") from error
        if text is None:
            raise AxlError(
                f"{path} line {number} has no text; a record needs one of {', '.join(TEXT_FIELDS)}, "
                "or prompt and canonical_solution, or source_code and target_code"
            )
        yield f"{name}:{number}", line, text


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, compressed or not, never more than MAX_LINE bytes in memory.

    Raises AxlError for a longer line, a file that cannot be read, and one that unpacks to far more than text does.
    """
    try:
        most = FREE_BYTES + MAX_EXPANSION * path.stat().st_size
        with _opened(path) as stream:
            total, number = 0, 0
            while line := stream.readline(MAX_LINE + 1):
                total, number = total + len(line), number + 1
                if len(line) > MAX_LINE:
                    raise AxlError(f"{path} line {number} is longer than {MAX_LINE:,} bytes; every line must be one record")
                if total > most:
                    raise AxlError(f"{path} unpacks to over {MAX_EXPANSION} times its size; unpack it yourself if you trust it")
                yield line
    except (OSError, EOFError, zlib.error) as error:
        raise AxlError(f"cannot read {path}: {error}; make it readable or leave it out") from error


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path) if path.name.endswith(".gz") else path.open("rb")
