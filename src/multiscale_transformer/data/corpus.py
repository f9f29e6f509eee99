"""From paths to a corpus that is fit to learn from and to be measured on.

The order of the steps is the point: filter, remove near-copies, then split, so that no held-out file has a twin among the
files learned from. The split goes by the hash of each document's name, so it does not move when files are added.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from multiscale_transformer.data.dedup import near_copies
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.filters import MAX_BYTES, reason_to_drop
from multiscale_transformer.data.sources import STDLIB, read_sources
from multiscale_transformer.errors import AxlError

OnProgress = Callable[[str, float], None]

NEAR_COPY = "near-copy"
HOLD_OUT_EVERY = 20


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents to learn from and documents to measure on, and what became of the rest.

    `left_out` counts documents by reason (those of `data.filters`, and `near-copy`), `sources` are the paths as given,
    `sha256` is over the names and contents of both parts, and `note` says, where it is not empty, what is unusual
    about the split.
    """

    train: Documents
    held_out: Documents
    left_out: dict[str, int]
    sources: tuple[str, ...]
    sha256: str
    note: str = ""


def load_corpus(
    paths: Sequence[str | Path] = (STDLIB,),
    *,
    hold_out_every: int = HOLD_OUT_EVERY,
    on_progress: OnProgress | None = None,
) -> Corpus:
    """Read `paths` (see `data.sources`), drop what is not worth learning from, remove near-copies and split.

    One document in `hold_out_every` is held out, by hash of its name; of few documents at least one, and of a single one its
    end. `on_progress` is called with what is being done and the share of the whole that is done.

    Raises AxlError when a path is wrong or nothing usable is left.
    """
    if hold_out_every < 2:
        raise AxlError(f"hold_out_every is {hold_out_every}; it must be 2 or more, or nothing is left to learn from")
    if not paths:
        raise AxlError(f"no path to read; name a folder, a file, or {STDLIB}")
    report = on_progress or (lambda doing, done: None)
    documents, left_out = load_originals(paths, on_progress=report)
    report("splitting", 0.9)
    train, held_out, note = _split(documents, hold_out_every)
    report("ready", 1.0)
    return Corpus(train, held_out, left_out, tuple(map(str, paths)), _hash(train, held_out), note)


def split(documents: Documents, hold_out_every: int = HOLD_OUT_EVERY) -> Corpus:
    """Documents that are already read as a corpus, near-copies removed."""
    documents, copies = _without_copies(documents)
    train, held_out, note = _split(documents, hold_out_every)
    return Corpus(train, held_out, {NEAR_COPY: copies}, (), _hash(train, held_out), note)


def _without_copies(documents: Documents) -> tuple[Documents, int]:
    """What stays when near-copies are removed, and how many they were."""
    copies = near_copies(documents)
    return documents.subset(sorted(set(range(len(documents))) - set(copies))) if copies else documents, len(copies)


def _hash(train: Documents, held_out: Documents) -> str:
    """SHA-256 over the names and contents of both parts."""
    return hashlib.sha256(f"{train.sha256()} {held_out.sha256()}".encode()).hexdigest()


def load_originals(paths: Sequence[str | Path], *, on_progress: OnProgress | None = None) -> tuple[Documents, dict[str, int]]:
    """All usable documents behind `paths` without near-copies, and what was left out by reason: text to index.

    Raises AxlError when a path is wrong or nothing usable is left.
    """
    report = on_progress or (lambda doing, done: None)
    items, left_out = _read(paths, report)
    documents = Documents.from_items(items)
    report("removing near-copies", 0.3)
    documents, copies = _without_copies(documents)
    if copies:
        left_out[NEAR_COPY] = copies
    return documents, dict(left_out)


def load_documents(paths: Sequence[str | Path]) -> Documents:
    """All usable documents behind `paths`, without a split and with near-copies: text to score.

    Raises AxlError when a path is wrong or nothing usable is left.
    """
    items, _ = _read(paths, lambda doing, done: None)
    return Documents.from_items(items)


def _read(paths: Sequence[str | Path], report: OnProgress) -> tuple[list[tuple[str, bytes]], Counter[str]]:
    """The usable (name, content) pairs behind `paths`, sorted, and a count of the others by reason."""
    items: list[tuple[str, bytes]] = []
    left_out: Counter[str] = Counter()
    for number, path in enumerate(paths):
        report("reading", 0.3 * number / len(paths))
        # A file that is named, rather than found, is meant, however long.
        max_bytes = None if Path(path).expanduser().is_file() else MAX_BYTES
        for name, content in read_sources([path]):
            reason = reason_to_drop(name, content, max_bytes=max_bytes)
            if reason is None:
                items.append((name, content))
            else:
                left_out[reason] += 1
    if not items:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.most_common())
        raise AxlError(
            f"no usable source text in {', '.join(map(str, paths))}: {left_out.total():,} files left out ({reasons}); "
            "name other paths"
        )
    return sorted(items), left_out


def _split(documents: Documents, hold_out_every: int) -> tuple[Documents, Documents, str]:
    """Training documents, held-out documents and a note on a split that is not the usual one."""
    if len(documents) == 1:
        return _split_one(documents)
    hashes = [int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()) for name in documents.names]
    chosen = {index for index, value in enumerate(hashes) if value % hold_out_every == 0}
    note = ""
    if not chosen or len(chosen) == len(documents):
        largest = int(np.argmax(np.diff(documents.offsets)))
        chosen = {min(set(range(len(documents))) - {largest}, key=hashes.__getitem__)}
        note = f"only {len(documents)} documents: one of them is held out"
    rest = [index for index in range(len(documents)) if index not in chosen]
    return documents.subset(rest), documents.subset(sorted(chosen)), note


def _split_one(documents: Documents) -> tuple[Documents, Documents, str]:
    ((name, content),) = documents
    cut = content.rfind(b"\n", 0, len(content) * 19 // 20) + 1
    if not cut:
        raise AxlError(f"{name} is one document of a line or two, too little to hold any of it out; add files")
    train, held_out = ([(part_name, part)] for part_name, part in ((name, content[:cut]), (f"{name} (end)", content[cut:])))
    return Documents.from_items(train), Documents.from_items(held_out), "only one document: its last 5 % are held out"
