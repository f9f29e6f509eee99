"""Which documents are not worth learning from.

A model of a few million parameters that trains for minutes cannot afford tables, minified bundles and binary noise. The
limits follow BigCode's preparation of The Stack (Li et al. 2023, arXiv 2305.06161), loosened where those were made for
code alone: documentation and JSON records with a paragraph on a line pass through here too.
"""

from __future__ import annotations

import re

from multiscale_transformer.model.vocabulary import FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

MAX_BYTES = 1_000_000
LONG_LINE = 1_000
LONG_LINES_SHARE = 0.25
MAX_MEAN_LINE = 200
MANY_LINES = 10

_MARKER_LINES = 5
_MARKER = re.compile(
    rb"@generated\b"
    rb"|\bdo not (?:edit|modify)\b"
    rb"|\bauto(?:matically|matic)?[- ]?generated\b"
    rb"|\b(?:file|code|module) (?:is|was|has been) generated\b"
    rb"|^\W*generated (?:by|from)\b"
    rb"|\bgenerated from \S+ (?:by|with|using)\b",
    re.IGNORECASE,
)
_GENERATED_NAMES = (".min.js", ".min.css", "package-lock.json", "pnpm-lock.yaml", "_pb2.py", "_pb2_grpc.py", ".pb.go")
_FIM_MARKS = re.compile(b"[%c%c%c]" % (FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE))


def reason_to_drop(name: str, content: bytes, *, max_bytes: int | None = MAX_BYTES) -> str | None:
    """Why the document is not to be learned from, or None when it is.

    Reasons, in the order of looking: `empty` (nothing but white space), `oversized` (over `max_bytes`; None is no limit),
    `binary` (holds a zero byte), `undecodable` (not UTF-8), `control bytes` (holds a mark of `data.fim`), `generated` (by
    its name, or it says so in its first five lines, or it is a table or bundle by the length of its lines).
    """
    reason = None
    if not content.strip():
        reason = "empty"
    elif max_bytes is not None and len(content) > max_bytes:
        reason = "oversized"
    elif b"\0" in content:
        reason = "binary"
    elif not _decodable(content):
        reason = "undecodable"
    elif _FIM_MARKS.search(content):
        reason = "control bytes"
    elif name.endswith(_GENERATED_NAMES) or _says_generated(content) or _looks_generated(content):
        reason = "generated"
    return reason


def _decodable(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _says_generated(content: bytes) -> bool:
    return any(_MARKER.search(line) for line in content[: 10 * LONG_LINE].split(b"\n", _MARKER_LINES)[:_MARKER_LINES])


def _looks_generated(content: bytes) -> bool:
    lengths = [len(line) for line in content.split(b"\n")]
    in_long_lines = sum(length for length in lengths if length > LONG_LINE)
    return in_long_lines > LONG_LINES_SHARE * len(content) or (
        len(lengths) >= MANY_LINES and len(content) > MAX_MEAN_LINE * len(lengths)
    )
