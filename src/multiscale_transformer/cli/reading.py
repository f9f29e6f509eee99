"""Reading data for a command: with a bar, and with a word on what was dropped. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.progress import Progress

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.ui import counted, print_field, size
from multiscale_transformer.data.corpus import Corpus, load_corpus, stream_documents
from multiscale_transformer.data.dropped import Dropped
from multiscale_transformer.data.mixture import PREFIX as MIXTURE
from multiscale_transformer.data.named_sources import NAMED_SOURCES
from multiscale_transformer.data.prompted import PREFIX as PROMPTED
from multiscale_transformer.data.selection import EVERYTHING, Selection
from multiscale_transformer.memory.document import Document

KINDS_SHOWN = 8


def absolute(sources: Sequence[str]) -> list[str]:
    """Paths that hold from any folder, so that a run can be resumed and measured from there."""
    return [_absolute(path) for path in sources]


def _absolute(path: str) -> str:
    for prefix in (MIXTURE, PROMPTED):
        if path.startswith(prefix):
            return prefix + str(Path(path.removeprefix(prefix)).expanduser().absolute())
    return path if path in NAMED_SOURCES else str(Path(path).expanduser().absolute())


def read_corpus(
    sources: Sequence[str],
    selection: Selection = EVERYTHING,
    *,
    without: Sequence[Path] = (),
    dropped: Dropped | None = None,
    quiet: bool = False,
) -> Corpus:
    """Load the data with a bar, and say (unless `quiet`) what was kept and what was dropped.

    `without` are folders that are not read: the output of the command. `dropped` is told each thing that is not read.
    """
    with ui.bar() as bar:
        task = bar.add_task("reading", total=1.0)
        corpus = load_corpus(
            absolute(sources),
            selection=selection,
            without=without,
            dropped=dropped,
            on_progress=lambda what, done: bar.update(task, description=what, completed=done),
        )
    if quiet:
        return corpus
    print_field(
        "Data",
        f"{counted(len(corpus.train), 'file')} ({size(corpus.train.nbytes)}) to train on, "
        f"{counted(len(corpus.held_out), 'file')} ({size(corpus.held_out.nbytes)}) held out",
    )
    kinds = corpus.train.suffixes()
    if len(kinds) > 1:
        print_field("", "kinds: " + ", ".join(f"{kind or 'no suffix'} {size(count)}" for kind, count in kinds[:KINDS_SHOWN]))
    if corpus.dropped:
        print_field("", f"dropped: {ui.counts_by_reason(corpus.dropped)}")
    if corpus.note:
        print_field("", f"note: {corpus.note}")
    return corpus


def stream(
    sources: Sequence[str], selection: Selection, *, without: Sequence[Path], dropped: Dropped, bar: Progress
) -> Iterator[Document]:
    """The documents to index, one by one; `bar` is of the caller, who sorts them on the way and when all have come."""
    task = bar.add_task("reading and sorting", total=1.0)
    yield from stream_documents(
        absolute(sources),
        selection=selection,
        without=without,
        dropped=dropped,
        on_progress=lambda _, done: bar.update(task, completed=done),
    )
    bar.update(task, description="sorting the last part")


def print_dropped(dropped: Dropped) -> None:
    """What was not indexed, by reason, and what is to be known about the reading."""
    if dropped.counts:
        print_field("Dropped", ui.counts_by_reason(dict(dropped.counts)))
    for note in dropped.notes:
        ui.note(note)
