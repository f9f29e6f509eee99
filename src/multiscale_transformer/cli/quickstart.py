"""`axl quickstart`: the whole story in one command, for the first five minutes with AXL."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from multiscale_transformer.cli.options import CHECKPOINTS, Minutes, Threads, folder
from multiscale_transformer.cli.ui import command, counted, print_text
from multiscale_transformer.training.settings import DEFAULT_SETTINGS

MEASURED_BYTES = 500_000  # about as many held-out bytes are scored: all of them would take as long as a third of the training
PROMPT = b"def read_lines(path):\n    with open(path"  # within a line, which a model cannot end by writing nothing


def quickstart(
    minutes: Minutes = DEFAULT_SETTINGS.minutes,
    root: Annotated[Path, typer.Option(parser=folder, metavar="FOLDER", help="Where checkpoints go.")] = CHECKPOINTS,
    threads: Threads = None,
) -> None:
    """Train a small model on Python's own library, measure it, and let it write.

    Nothing is downloaded. The size is the one that this machine can train in --minutes.
    """
    from multiscale_transformer.cli import training_ui
    from multiscale_transformer.cli.complete import show_stream
    from multiscale_transformer.cli.memory_args import memory_for
    from multiscale_transformer.cli.reading import read_corpus
    from multiscale_transformer.data.named_sources import STDLIB
    from multiscale_transformer.engine.infill import continue_text
    from multiscale_transformer.engine.session import open_session
    from multiscale_transformer.machine import available_cores
    from multiscale_transformer.model.folder import read_config
    from multiscale_transformer.model.sampling import DEFAULT_SAMPLING
    from multiscale_transformer.training.run import free_folder

    threads = threads or available_cores()
    print_text(
        f"From nothing to a code model in {counted(minutes, 'minute')}: it reads Python's own library, is measured on files it "
        "never read, and writes. Nothing is downloaded; Ctrl-C is safe.\n"
    )
    place = free_folder(root, "quickstart")
    training_ui.check_place(place)
    corpus = read_corpus([STDLIB])
    recipe = training_ui.best_size(minutes, threads)
    request = training_ui.new_request(recipe, corpus, place, minutes=minutes, threads=threads)
    training_ui.run(request, corpus, scored=corpus.held_out.sample(MEASURED_BYTES))
    print_text("\nIt writes (a model this small knows the look of code, not its meaning):\n")
    config = read_config(place)
    sampling = DEFAULT_SAMPLING.model_copy(update={"max_new_tokens": 240, "seed": 0})
    cursor = continue_text(PROMPT, config.max_seq_len).with_stop_rules(True, PROMPT)
    show_stream(open_session(place, memory_for(config, place, None)), cursor, PROMPT, None, sampling)
    training_ui.show_next(place, command("train", "--data", "PATH/TO/YOUR/CODE", "--minutes", "20"))
