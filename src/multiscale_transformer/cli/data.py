"""`axl data`: what training would read, before training."""

from __future__ import annotations

from typing import Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import Exclude, Include, paths
from multiscale_transformer.cli.renamed import renamed


@renamed(left_out="dropped")
def data(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", callback=paths, help="Folders, repositories, files, .jsonl, globs, or mixture:FILE."),
    ] = None,
    include: Include = None,
    exclude: Exclude = None,
    dropped: Annotated[
        bool, typer.Option("--dropped", metavar="", help="List what is dropped instead: place, tab, reason.")
    ] = False,
) -> None:
    """Show what training on PATHs would read: files kept, held out, and dropped by reason.

    Without a PATH it is the Python library of this interpreter; mixture:FILE names many parts in a YAML file
    (examples/base_mixture.yaml). A .axlignore, written as a .gitignore, leaves out for good.

        axl data . --dropped | grep "unknown suffix"
        axl data . --include "*.tpl" --exclude third_party/
    """
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.dropped import Dropped
    from multiscale_transformer.data.names import shown
    from multiscale_transformer.data.selection import Selection
    from multiscale_transformer.data.sources import STDLIB

    log = Dropped(listed=dropped)
    try:
        corpus = read_corpus(sources or [STDLIB], Selection.of(include, exclude), dropped=log, quiet=dropped)
    finally:
        for line in log.lines():  # where nothing is left, they say why
            ui.write(f"{line}\n")
    if dropped:
        return
    for part, documents in (("to train on", corpus.train), ("held out", corpus.held_out)):
        largest = sorted(((len(content), name) for name, content in documents), reverse=True)[:3]
        ui.print_field("", f"largest {part}: " + ", ".join(f"{shown(name)} ({ui.size(count)})" for count, name in largest))
