"""What AXL itself wrote, so that it never reads it: checkpoints, interrupted runs, indexes, exports and reports.

A run in a project lies in the project, and its own index would be new text each time. The one place that knows these files
by their content; a folder is not dropped as a whole, for it may hold the user's files too.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from multiscale_transformer.data.reading import read_plain, read_whole
from multiscale_transformer.model.folder import CONFIG_FILE, MODEL_TYPE, TRAINING_FILE, WEIGHTS_FILE

_MAX_BYTES = 1 << 24
_HEAD = 2_000
# Those of memory.index and memory.shard, which would take a second to import; a test builds an index and compares.
_MANIFEST, _DOCUMENTS = "manifest.json", "documents.json"
_ARRAYS = frozenset({"next.npy", "suffixes.npy"})
_CHECKPOINT = frozenset({
    CONFIG_FILE, TRAINING_FILE, WEIGHTS_FILE, "memory", "README.md", "engine.json", "metrics.csv", "resume",
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
})  # fmt: skip
_POINT = re.compile(r"\d{9}")
_SHARD = re.compile(r"shard-\d+")
_MADE_HEADS = (b"# Written by AXL ", b'"""AXL for Hugging Face')
_REPORT = "report.html"


def written_by_axl(folder: str, names: set[str]) -> set[str]:
    """Which entries of the (native) `folder`, whose entries are `names`, AXL wrote: files, and folders as a whole."""
    written: set[str] = set()
    if _MANIFEST in names and _is_manifest(_json(f"{folder}/{_MANIFEST}")):
        written |= {_MANIFEST} | {name for name in names if _SHARD.fullmatch(name)}
    if _ARRAYS | {_DOCUMENTS} <= names:
        written.add(_DOCUMENTS)
    if CONFIG_FILE in names and _json(f"{folder}/{CONFIG_FILE}").get("model_type") == MODEL_TYPE:
        written |= names & _CHECKPOINT | {
            name for name in names if name.endswith(".py") and _begins_as_ours(f"{folder}/{name}")
        }
    if "resume" in names and _is_resume(f"{folder}/resume"):
        written |= names & {"resume", "metrics.csv"}
    if _REPORT in names and _is_report(f"{folder}/{_REPORT}"):
        written.add(_REPORT)
    return written


def _is_manifest(fields: dict[str, Any]) -> bool:
    return isinstance(fields.get("format"), int) and isinstance(fields.get("shards"), list) and "sources" in fields


def _is_resume(folder: str) -> bool:
    try:
        points = [name for name in os.listdir(folder) if _POINT.fullmatch(name)]
    except OSError:
        return False
    return any(os.path.isfile(f"{folder}/{point}/progress.json") for point in points)


def _is_report(path: str) -> bool:
    return b" AXL</title>" in _head(path)


def _begins_as_ours(path: str) -> bool:
    return _head(path).startswith(_MADE_HEADS)


def _head(path: str) -> bytes:
    try:
        return read_plain(path, _HEAD)
    except OSError:
        return b""


def _json(path: str) -> dict[str, Any]:
    """The object in a file; an empty one where there is none."""
    content = read_whole(path, _MAX_BYTES)
    try:
        fields = json.loads(content or b"")
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}
