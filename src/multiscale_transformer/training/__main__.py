"""One of several processes that train a model together: `torchrun ... -m multiscale_transformer.training NAME --out FOLDER`.

Every machine has the program and the data, and is given the same command; `axl train --nodes` writes it for each. The first
process writes the checkpoint and measures it. Started without torchrun it trains alone.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from multiscale_transformer.data.corpus import Corpus, load_corpus
from multiscale_transformer.data.named_sources import STDLIB
from multiscale_transformer.errors import AxlError
from multiscale_transformer.machine import available_cores
from multiscale_transformer.training.data_parallel import DataParallel, joined_group, under_torchrun
from multiscale_transformer.training.held_out import measure_run
from multiscale_transformer.training.local_sgd import ROUND_SECONDS, LocalSgd
from multiscale_transformer.training.process_group import ALONE, ProcessGroup
from multiscale_transformer.training.resume import has_resume
from multiscale_transformer.training.run import RunRequest, check_output, follow_run, resumed_request, train_run
from multiscale_transformer.training.settings import TrainSettings, batch_for, stages_for
from multiscale_transformer.training.trainer import Callback, Progress
from multiscale_transformer.zoo.recipes import load_recipe

PROGRAM = "python -m multiscale_transformer.training"
SHOWN_EVERY = 10.0  # seconds


def parser() -> argparse.ArgumentParser:
    """The options: those of `axl train` that all machines must agree on."""
    options = argparse.ArgumentParser(PROGRAM, description="Train one model with several processes; torchrun starts them.")
    options.add_argument("model", metavar="NAME|FILE", help="a model by name, or a YAML file")
    options.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="checkpoint folder, of the first process")
    options.add_argument("--data", action="append", metavar="PATH", help="what to read, the same on each machine")
    options.add_argument("--minutes", type=float, metavar="M", help="time to train for")
    options.add_argument("--batch-bytes", type=int, metavar="N", help="bytes of a step of each process")
    options.add_argument("--optimizer", metavar="NAME")
    options.add_argument("--lr", type=float, metavar="X", dest="learning_rate")
    options.add_argument("--fim-rate", type=float, metavar="X")
    options.add_argument("--seed", type=int, metavar="N")
    options.add_argument("--threads", type=int, metavar="N", help="of each process")
    options.add_argument("--grow", action="store_true", default=None)
    options.add_argument("--no-memory", action="store_false", dest="memory")
    apart = options.add_argument_group(
        "over slow links, without torchrun: each process on its own, with rounds (docs/cluster.md)"
    )
    apart.add_argument("--lighthouse", metavar="URL", help="where the members meet: that of torchft_lighthouse")
    apart.add_argument("--member", type=int, default=0, metavar="N", help="which one this is, from 0")
    apart.add_argument("--members", type=int, default=2, metavar="N", help="how many there may be")
    apart.add_argument("--address", default="", metavar="HOST", help="where the others reach this machine (default: its name)")
    apart.add_argument("--round-seconds", type=float, default=ROUND_SECONDS, metavar="S", help="between two meetings")
    options.add_argument("--resume", action="store_true", help="go on where an interrupted run is, else begin")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; returns the exit status: 2 for what a person can put right, 130 when the run was interrupted and saved."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # torchrun ends processes so: they save first
    try:
        _together(parser().parse_args(arguments))
    except (ValueError, OSError) as error:  # AxlError and pydantic's ValidationError are ValueErrors
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _together(options: argparse.Namespace) -> None:
    if not under_torchrun():
        _lead(options, _apart(options) if options.lighthouse else ALONE)
        return
    if options.lighthouse:
        raise AxlError("--lighthouse is for processes that are started one by one, without torchrun")
    with joined_group() as group:
        if group.rank == 0:
            _lead(options, group)
        else:
            _follow(options, group)


def _apart(options: argparse.Namespace) -> LocalSgd:
    address = options.address or socket.gethostname()
    return LocalSgd(options.lighthouse, options.member, options.members, address, options.round_seconds)


def _lead(options: argparse.Namespace, group: ProcessGroup) -> None:
    """Train as the one that writes, and measure what came of it."""
    resume = options.resume and has_resume(options.out)
    check_output(options.out, resume=resume)
    if isinstance(group, DataParallel):
        resume = group.share_point(options.out)
    request, corpus = _request(options, options.out, resume)
    _check_same(group, request, corpus)
    train_run(request, corpus, resume=resume, callbacks=(_shown(request.settings.minutes),), group=group)
    record = measure_run(request.out, corpus)
    assert record.held_out is not None
    print(json.dumps({"out": str(request.out), "bits_per_byte": record.held_out.bits_per_byte, "bytes": record.bytes}))


def _follow(options: argparse.Namespace, group: DataParallel) -> None:
    """Train beside the first process; what this one keeps meanwhile is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="axl-follows-") as own:
        resume = group.share_point(Path(own))
        request, corpus = _request(options, Path(own), resume)
        _check_same(group, request, corpus)
        follow_run(request, corpus, resume=resume, group=group)


def _check_same(group: ProcessGroup, request: RunRequest, corpus: Corpus) -> None:
    if isinstance(group, DataParallel):
        same = replace(request, settings=request.settings.model_copy(update={"threads": 1}), sources=())
        group.check_same(json.dumps([same.as_json(), corpus.sha256]))


def _request(options: argparse.Namespace, out: Path, resume: bool) -> tuple[RunRequest, Corpus]:
    threads = options.threads or available_cores()
    if resume:
        request = replace(resumed_request(out), out=out)
        request = replace(request, settings=request.settings.model_copy(update={"threads": threads}))
        sources = [_place(path) for path in options.data or request.sources]
        return request, load_corpus(sources, selection=request.selection, without=[out])
    recipe = load_recipe(options.model)
    corpus = load_corpus([_place(path) for path in options.data or [STDLIB]], without=[out])
    config = recipe.model.model_copy(update={"memory": options.memory})
    if corpus.train.nbytes < config.max_seq_len:
        raise AxlError(f"the corpus holds {corpus.train.nbytes:,} bytes but the context is {config.max_seq_len:,}; add files")
    names = ("minutes", "batch_bytes", "optimizer", "learning_rate", "fim_rate", "seed", "grow")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    derived = {
        "minutes": recipe.training.minutes,
        "optimizer": recipe.training.optimizer,
        "batch_bytes": recipe.training.batch_bytes or batch_for(config),
        "stages": stages_for(config, corpus.train.nbytes),
        "threads": threads,
    }
    settings = TrainSettings.model_validate({**derived, **given})
    return RunRequest(recipe.name, config, settings, corpus.sources, out, format=recipe.format), corpus


def _place(path: str) -> str:
    return path if path == STDLIB else str(Path(path).expanduser().absolute())


def _shown(minutes: float) -> Callback:
    said = 0.0

    def show(progress: Progress) -> None:
        nonlocal said
        if progress.seconds - said >= SHOWN_EVERY or progress.fraction >= 1.0:
            said = progress.seconds
            line = f"{min(1.0, progress.fraction):4.0%}  {progress.train_bpb:.3f} bits/byte  {progress.bytes:,} bytes read"
            print(f"{line}  of {minutes:g} min", file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    sys.exit(main())
