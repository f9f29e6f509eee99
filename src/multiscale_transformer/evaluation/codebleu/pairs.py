"""Pairs of references and hypotheses as people keep them: JSON lines, a text a line, single files, or two folders alike.

The references decide the kind, and the hypotheses must be of the same. Files are hostile until shown otherwise: links in
folders are not followed, and nothing is read beyond its limit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from multiscale_transformer.data.reading import read_plain
from multiscale_transformer.data.records import ENDINGS, read_lines
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.codebleu.score import Pair
from multiscale_transformer.evaluation.codebleu.syntax import MAX_TEXT_BYTES

REFERENCE_FIELDS = ("references", "reference", "canonical_solution", "target", "code", "content", "text")
HYPOTHESIS_FIELDS = ("hypothesis", "prediction", "completion", "code", "content", "text")
MAX_FILES = 100_000


def read_pairs(references: Path, hypotheses: Path, suffixes: Sequence[str]) -> Iterator[Pair]:
    """Yield (references, hypothesis) of two JSON-lines files, two files with one of `suffixes`, two folders of such files, or
    two other files with a text a line.

    A line of JSON is a text, an object with one of the fields above, or, of references, a list of texts. Files in folders
    belong together by their names. Raises AxlError where something has no partner or is not readable.
    """
    for path in (references, hypotheses):
        if not path.exists():
            raise AxlError(f"{path} does not exist; give the references, then the hypotheses")
    if _kind(references, suffixes) != _kind(hypotheses, suffixes):
        raise AxlError(f"{references} and {hypotheses} must both be folders, {' or '.join(suffixes)} files, JSON lines or text")
    if references.is_dir():
        yield from _of_folders(references, hypotheses, suffixes)
    elif references.suffix in suffixes:
        yield [_text(references, named=True)], _text(hypotheses, named=True)
    else:
        yield from _of_lines(references, hypotheses)


def _kind(path: Path, suffixes: Sequence[str]) -> str:
    if path.is_dir():
        return "folder"
    if path.suffix in suffixes:
        return "file"
    return "JSON" if path.name.endswith(ENDINGS) else "lines"


def _of_folders(references: Path, hypotheses: Path, suffixes: Sequence[str]) -> Iterator[Pair]:
    wanted, written = _names(references, suffixes), _names(hypotheses, suffixes)
    for name in sorted(wanted ^ written):
        side = hypotheses if name in wanted else references
        raise AxlError(f"{side} has no {name}, which the other folder has; add it or take it out there")
    for name in sorted(wanted):
        yield [_text(references / name)], _text(hypotheses / name)


def _names(folder: Path, suffixes: Sequence[str]) -> set[str]:
    names: set[str] = set()
    for where, _, files in os.walk(folder):
        names.update(os.path.relpath(os.path.join(where, name), folder) for name in files if name.endswith(tuple(suffixes)))
        if len(names) > MAX_FILES:
            raise AxlError(f"{folder} holds over {MAX_FILES:,} files to compare; compare parts of it")
    if not names:
        raise AxlError(f"{folder} holds no {' or '.join(suffixes)} file; name another folder or --lang")
    return names


def _text(path: Path, *, named: bool = False) -> str:
    try:
        content = read_plain(str(path), MAX_TEXT_BYTES, follow=named)
    except OSError as error:
        raise AxlError(f"cannot read {path}: {error.strerror}; leave it out") from error
    return content.decode("utf-8", "replace")


def _of_lines(references: Path, hypotheses: Path) -> Iterator[Pair]:
    is_json = references.name.endswith(ENDINGS)
    rows = zip_longest(read_lines(references), read_lines(hypotheses))
    for number, (wanted, written) in enumerate(rows, start=1):
        if wanted is None or written is None:
            shorter = references if wanted is None else hypotheses
            raise AxlError(f"{shorter} ends before line {number}; references and hypotheses must have as many lines")
        if not is_json:
            yield [wanted.decode("utf-8", "replace")], written.decode("utf-8", "replace")
        elif wanted.strip() or written.strip():
            yield _of_records(_record(wanted, references, number), _record(written, hypotheses, number), hypotheses, number)


def _record(line: bytes, path: Path, number: int) -> object:
    try:
        record: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise AxlError(f"{path} line {number} is not JSON; every line must be one record") from error
    return record


def _of_records(wanted: object, written: object, path: Path, number: int) -> Pair:
    if isinstance(wanted, dict) and isinstance(written, dict):
        tasks = [record["task_id"] for record in (wanted, written) if "task_id" in record]
        if len(tasks) == 2 and tasks[0] != tasks[1]:
            raise AxlError(
                f"{path} line {number} is task {tasks[1]!r}, but the reference is task {tasks[0]!r}; sort them alike"
            )
    references, hypothesis = _field(wanted, REFERENCE_FIELDS), _field(written, HYPOTHESIS_FIELDS)
    texts = [references] if isinstance(references, str) else references
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise AxlError(
            f"line {number} has no reference; it needs a text, a list of texts or one of {', '.join(REFERENCE_FIELDS)}"
        )
    if not isinstance(hypothesis, str):
        raise AxlError(f"{path} line {number} has no hypothesis; it needs a text or one of {', '.join(HYPOTHESIS_FIELDS)}")
    return texts, hypothesis


def _field(record: object, names: Sequence[str]) -> object:
    if not isinstance(record, dict):
        return record
    return next((record[name] for name in names if name in record), None)
