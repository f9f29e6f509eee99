"""`axl quickstart`: the whole story in one command, for the first five minutes with AXL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from multiscale_transformer.cli.console import command, counted, prose
from multiscale_transformer.cli.options import Minutes, Threads, folder

PROMPT = "def read_lines(path):\n"


def quickstart(
    minutes: Minutes = 3.0,
    root: Annotated[Path, typer.Option(parser=folder, metavar="FOLDER", help="Where checkpoints go.")] = Path("checkpoints"),
    threads: Threads = None,
) -> None:
    """Train a small model on Python's own library, measure it, and let it write.

    Nothing is downloaded. The size is the one that this machine can train in --minutes.
    """
    from multiscale_transformer.cli import steps
    from multiscale_transformer.cli.complete import memory_for, prompt_ids, stream, writer
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.sources import STDLIB
    from multiscale_transformer.machine import available_cores
    from multiscale_transformer.model.folder import read_config
    from multiscale_transformer.model.sampling import Sampling
    from multiscale_transformer.training.run import free_folder

    threads = threads or available_cores()
    prose(
        f"From nothing to a code model in {counted(minutes, 'minute')}: it reads Python's own library, is measured on files it "
        "never read, and writes. Nothing is downloaded; Ctrl-C is safe.\n"
    )
    place = free_folder(root, "quickstart")
    steps.check_place(place)
    corpus = read_corpus([STDLIB])
    recipe = steps.best_size(minutes, threads)
    request = steps.new_request(recipe, corpus, place, minutes=minutes, threads=threads)
    steps.run(request, corpus)
    prose("\nIt writes (a model this small knows the look of code, not its meaning):\n")
    sampling = Sampling(max_new_tokens=240, temperature=0.4, top_p=0.95, seed=0)
    config = read_config(place)
    ids, _ = prompt_ids(config, PROMPT.encode())
    stream(writer(place, memory_for(config, place, None)), ids, PROMPT.encode(), None, sampling)
    steps.show_next(place, command("train", "--data", "PATH/TO/YOUR/CODE", "--minutes", "20"))
