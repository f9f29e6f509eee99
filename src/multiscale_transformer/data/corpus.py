"""From paths to a corpus that is fit to learn from and to be measured on.

The order of the steps is the point: filter, remove near-duplicates, then split, so that no held-out file has a twin among the
files learned from. The split goes by the hash of each document's name, so it does not move when files are added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from multiscale_transformer.data.dedup import near_duplicates
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.dropped import EXACT_COPY, NEAR_DUPLICATE, UNREADABLE, Dropped
from multiscale_transformer.data.filters import MAX_BYTES, reason_to_drop
from multiscale_transformer.data.folders import SourceFile
from multiscale_transformer.data.named_sources import NAMED_SOURCES, STDLIB
from multiscale_transformer.data.names import carried, shown
from multiscale_transformer.data.prompted import PREFIX as PROMPTED
from multiscale_transformer.data.prompted import TRAIN, VALIDATION, with_prompted
from multiscale_transformer.data.selection import EVERYTHING, Selection
from multiscale_transformer.data.sources import list_sources, read_source
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.document import Document

OnProgress = Callable[[str, float], None]

HOLD_OUT_EVERY = 20


@dataclass(frozen=True, eq=False)
class Corpus:
    """Documents to learn from and documents to measure on, and what became of the rest.

    `dropped` counts what was not read by reason (those of `data.dropped` and `data.filters`), `sources` are the paths as
    given, `sha256` is over the names and contents of both parts, `note` says, where it is not empty, what is unusual about
    the reading or the split, and `selection` is what the user included and excluded.
    """

    train: Documents
    held_out: Documents
    dropped: dict[str, int]
    sources: tuple[str, ...]
    sha256: str
    note: str = ""
    selection: Selection = EVERYTHING


def load_corpus(
    paths: Sequence[str | Path] = (STDLIB,),
    *,
    hold_out_every: int = HOLD_OUT_EVERY,
    selection: Selection = EVERYTHING,
    without: Sequence[str | Path] = (),
    dropped: Dropped | None = None,
    on_progress: OnProgress | None = None,
) -> Corpus:
    """Read `paths` (see `data.sources`), drop what is not worth learning from, remove near-duplicates and split.

    One document in `hold_out_every` is held out, by hash of its name; of few documents at least one, and of a single one its
    end. Of near-duplicates the one that git tracks stays, else the shallowest, else the newest. `without` are folders that are
    not read (the output of the command), `dropped` counts what is not read and why. `on_progress` is called with what is
    being done and the share of the whole that is done.

    Data of skills (`data.prompted`) comes behind it, split as it was made.

    Raises AxlError when a path is wrong or nothing usable is left.
    """
    if hold_out_every < 2:
        raise AxlError(f"hold_out_every is {hold_out_every}; it must be 2 or more, or nothing is left to learn from")
    if not paths:
        raise AxlError(f"no path to read; name a folder, a file, or {STDLIB}")
    report = on_progress or (lambda doing, done: None)
    dropped = dropped or Dropped()
    prompted = [str(path) for path in paths if str(path).startswith(PROMPTED)]
    plain = [path for path in paths if str(path) not in prompted]
    train, held_out, note = None, None, ""
    if plain:
        train, held_out, note = _read_and_split(plain, hold_out_every, selection, without, dropped, report)
    if prompted or train is None or held_out is None:
        train, held_out = with_prompted(train, prompted, TRAIN), with_prompted(held_out, prompted, VALIDATION)
    report("ready", 1.0)
    notes = "; ".join(filter(None, (note, *dropped.notes)))
    sources = tuple(carried(str(path)) for path in paths)
    return Corpus(train, held_out, dict(dropped.counts), sources, _hash(train, held_out), notes, selection)


def _read_and_split(
    paths: Sequence[str | Path],
    hold_out_every: int,
    selection: Selection,
    without: Sequence[str | Path],
    dropped: Dropped,
    report: OnProgress,
) -> tuple[Documents, Documents, str]:
    """Training documents, held-out documents and a note on a split that is not the usual one."""
    files, items = _read(paths, selection, without, dropped, report)
    documents = Documents.from_items(items)
    report("removing near-duplicates", 0.3)
    documents = _without_near_duplicates(
        documents, sorted(range(len(files)), key=lambda index: _preference(files[index])), dropped
    )
    report("splitting", 0.9)
    return _split(documents, hold_out_every)


def split(documents: Documents, hold_out_every: int = HOLD_OUT_EVERY) -> Corpus:
    """Documents that are already read as a corpus, near-duplicates removed."""
    dropped = Dropped()
    documents = _without_near_duplicates(documents, range(len(documents)), dropped)
    train, held_out, note = _split(documents, hold_out_every)
    return Corpus(train, held_out, {NEAR_DUPLICATE: dropped.counts[NEAR_DUPLICATE]}, (), _hash(train, held_out), note)


def stream_documents(
    paths: Sequence[str | Path],
    *,
    selection: Selection = EVERYTHING,
    without: Sequence[str | Path] = (),
    dropped: Dropped | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[Document]:
    """The usable documents behind `paths` one by one, without exact copies of earlier ones: text to index.

    A near-duplicate is wanted in a memory. No more than one document is held at a time. What git tracks comes first and the
    shallowest before the deeper, so that of exact copies the one in its proper place stays. The arguments are those of
    `load_corpus`.

    Raises AxlError when a path is wrong, and at the end when nothing usable was found.
    """
    report = on_progress or (lambda doing, done: None)
    dropped = dropped or Dropped()
    files = list_sources(paths, selection, dropped=dropped, without=without)
    files.sort(key=lambda file: (not file.tracked, _depth(file)))
    first: dict[bytes, str] = {}
    for number, file in enumerate(files):
        report("reading", number / len(files))
        for document in usable_documents(file, dropped):
            digest, place = hashlib.sha256(document.content).digest(), _place(document)
            if digest in first:
                dropped.add(place, EXACT_COPY, f"of {first[digest]}")
                continue
            first[digest] = place
            yield document
    if not first:
        raise _nothing_usable(paths, dropped)


def load_documents(
    paths: Sequence[str | Path], *, selection: Selection = EVERYTHING, without: Sequence[str | Path] = ()
) -> Documents:
    """All usable documents behind `paths`, without a split and with near-duplicates: text to score.

    Raises AxlError when a path is wrong or nothing usable is left.
    """
    _, items = _read(paths, selection, without, Dropped(), lambda doing, done: None)
    return Documents.from_items(items)


def _read(
    paths: Sequence[str | Path],
    selection: Selection,
    without: Sequence[str | Path],
    dropped: Dropped,
    report: OnProgress,
) -> tuple[list[SourceFile], list[Document]]:
    """The usable documents behind `paths`, sorted, and the file that each is from."""
    report("reading", 0.0)
    files = list_sources(paths, selection, dropped=dropped, without=without)
    pairs: list[tuple[Document, SourceFile]] = []
    for number, file in enumerate(files):
        report("reading", 0.3 * number / len(files))
        pairs.extend((document, file) for document in usable_documents(file, dropped))
    if not pairs:
        raise _nothing_usable(paths, dropped)
    pairs.sort(key=lambda pair: pair[0])
    return [file for _, file in pairs], [document for document, _ in pairs]


def usable_documents(file: SourceFile, dropped: Dropped) -> Iterator[Document]:
    """The documents of a file that pass the filters."""
    for document in read_source(file, dropped):
        reason = reason_to_drop(document.name, document.content, max_bytes=None if file.named else MAX_BYTES)
        if reason is None:
            yield document
        else:
            dropped.add(_place(document), reason)


def _preference(file: SourceFile) -> tuple[bool, int, int]:
    """Least for the file that is to stay of several near-duplicates; in libraries all are equal."""
    if file.source in NAMED_SOURCES:
        return True, 0, 0
    return not file.tracked, _depth(file), -int(file.changed)


def _depth(file: SourceFile) -> int:
    return file.name.count("/")


def _place(document: Document) -> str:
    return f"{document.source}/{document.name}" if document.source else document.name


def _nothing_usable(paths: Sequence[str | Path], dropped: Dropped) -> AxlError:
    names = ", ".join(shown(carried(str(path))) for path in paths)
    todo = "make it readable or leave it out" if set(dropped.counts) == {UNREADABLE} else "name other paths"
    total = dropped.counts.total()
    return AxlError(f"no usable source text in {names}: {total:,} files dropped ({dropped.reasons()}); {todo}")


def _without_near_duplicates(documents: Documents, order: Sequence[int], dropped: Dropped) -> Documents:
    """What stays when near-duplicates are removed; of several the first one in `order`."""
    duplicates = near_duplicates(documents, order)
    places = [_place(Document(name, b"", source)) for name, source in zip(documents.names, documents.sources, strict=True)]
    for duplicate, original in duplicates.items():
        dropped.add(places[duplicate], NEAR_DUPLICATE, f"of {places[original]}")
    return documents.subset([index for index in range(len(documents)) if index not in duplicates]) if duplicates else documents


def _hash(train: Documents, held_out: Documents) -> str:
    """SHA-256 over the names and contents of both parts."""
    return hashlib.sha256(f"{train.sha256()} {held_out.sha256()}".encode()).hexdigest()


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
    ((name, content, source),) = documents.documents()
    cut = content.rfind(b"\n", 0, len(content) * 19 // 20) + 1
    if not cut:
        raise AxlError(f"{shown(name)} is one document of a line or two, too little to hold any of it out; add files")
    halves = Document(name, content[:cut], source), Document(f"{name} (end)", content[cut:], source)
    train, held_out = (Documents.from_items([half]) for half in halves)
    return train, held_out, "only one document: its last 5 % are held out"
