"""What is left of the speed beside busy programs: training, evaluation and decoding, over the same on the quiet machine.

A round measures each thing on the quiet machine, beside one busy program (which the system may put where it likes) and beside
one on every core; figures are medians of the ratios within rounds, so that what the rest of the machine does falls on both
sides. Decoding on one free core is measured in a process that is bound to it, with one thread and with several in turns.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer

from benchmarks.command import Rounds, main
from benchmarks.comparison import FLAT_WITH_MEMORY
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.options import Checkpoint, Threads
from multiscale_transformer.data.corpus import load_corpus
from multiscale_transformer.engine.engine import Engine, Read, load_engine
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.machine import available_cores, available_ram
from multiscale_transformer.memory.index import build_index
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.reader import no_features
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.machine import compute_dtype
from multiscale_transformer.training.settings import TrainSettings, batch_for, stages_for
from multiscale_transformer.training.trainer import Trainer
from multiscale_transformer.zoo.shipped import shipped_model

EVALUATED_BYTES = 300_000  # of held-out files, in each measurement
PROMPT, WRITTEN = 254, 32  # bytes of a prompt, as an editor sends it, and bytes that are then read one by one
WARM_UP_STEPS = 3
_SPIN = "import os, sys\nif sys.argv[1:]: os.sched_setaffinity(0, {int(sys.argv[1])})\nprint(flush=True)\nwhile True: pass"
_ON_ONE_CORE = "import sys; from benchmarks.busy import _on_one_core; _on_one_core(*sys.argv[1:])"


class OneCore(Row):
    """Seconds with several threads over those with one, on one core."""

    prefill: float
    decoding: float


class BusyResult(Result):
    """Rates beside busy programs over those without, by task and place of the programs: medians, and each round."""

    kind: Literal["busy"] = "busy"
    busy: dict[str, float]
    rounds: dict[str, list[float]]
    one_core: OneCore
    threads: int
    cores: int


@contextmanager
def busy_programs(cores: Sequence[int | None]) -> Iterator[None]:
    """A program that computes without end on each of `cores` (None: wherever the system puts it)."""
    with ExitStack() as stack:
        for core in cores:
            words = [] if core is None else [str(core)]
            program = stack.enter_context(subprocess.Popen([sys.executable, "-c", _SPIN, *words], stdout=subprocess.PIPE))
            stack.callback(program.kill)
            assert program.stdout is not None
            program.stdout.readline()  # it is busy from now on
        yield


def run(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    rounds: Rounds = 5,
    seconds: Annotated[float, typer.Option(metavar="S", min=1.0, help="Seconds of training in each measurement.")] = 12.0,
    threads: Threads = None,
) -> BusyResult:
    """Training, evaluation and decoding beside busy programs, over the same on the quiet machine."""
    threads, cores = threads or available_cores(), sorted(os.sched_getaffinity(0))
    places: dict[str, list[int | None]] = {"one": [None], "each": list(cores)}
    ratios: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        trainer, evaluate = _training(threads, Path(folder))
        with trainer.at_work():
            for _ in range(WARM_UP_STEPS):
                trainer.step()
        tasks: dict[str, Callable[[], float]] = {
            "training": lambda: training_rate(trainer, seconds),
            "evaluation": lambda: evaluate(threads),
        }
        for _ in range(rounds):
            for name, rate in tasks.items():
                alone = rate()
                for beside, where in places.items():
                    with busy_programs(where):
                        ratios.setdefault(f"{name}_{beside}", []).append(rate() / alone)
    one_core = [_one_core(model, threads, cores[0]) for _ in range(rounds)]
    return BusyResult(
        **origin("busy", threads).model_dump(),
        busy={name: statistics.median(values) for name, values in ratios.items()},
        rounds=ratios,
        one_core=OneCore(
            prefill=statistics.median(row.prefill for row in one_core),
            decoding=statistics.median(row.decoding for row in one_core),
        ),
        threads=threads,
        cores=len(cores),
    )


def training_rate(trainer: Trainer, seconds: float) -> float:
    """Bytes a second of whole training steps, at the windows of the schedule by the time that a run spends on them."""
    stages = trainer.settings.stages
    ends = [*(begins for begins, _ in stages[1:]), 1.0]
    read, begin = trainer.progress.bytes, time.perf_counter()
    with trainer.at_work():
        for (begins, _), until in zip(stages, ends, strict=True):
            trainer.progress.fraction = begins
            while time.perf_counter() - begin < until * seconds:
                trainer.step()
    return (trainer.progress.bytes - read) / (time.perf_counter() - begin)


def _training(threads: int, folder: Path) -> tuple[Trainer, Callable[[int], float]]:
    """The quickstart's training on this Python's library, and the evaluation of its held-out files in bytes a second."""
    torch.set_num_threads(threads)
    corpus, config = load_corpus(), FLAT_WITH_MEMORY
    shards = build_index(folder / "index", corpus.train, corpus.sources).shards
    torch.manual_seed(0)
    model = MultiScaleTransformer(config)
    model.compute_dtype = compute_dtype(threads)
    settings = TrainSettings(threads=threads, batch_bytes=batch_for(config), stages=stages_for(config, corpus.train.nbytes))
    memory = CorpusMemory(shards, leave_out="document")
    trainer = Trainer(model.train(), config, corpus.train, settings, available_ram(), memory=memory)
    sample, size = [], 0
    for name, content in corpus.held_out:
        if size < EVALUATED_BYTES:
            sample.append((name, content))
            size += len(content)
    outside = CorpusMemory(shards)

    def evaluate(threads: int) -> float:
        begin = time.perf_counter()
        score = score_documents(model.eval(), sample, memory=outside, threads=threads)
        model.train()
        return score.bytes / (time.perf_counter() - begin)

    return trainer, evaluate


def _one_core(checkpoint: Path, threads: int, core: int) -> OneCore:
    """Seconds with `threads` threads over those with one, in a process that has one core."""
    words = [sys.executable, "-c", _ON_ONE_CORE, str(checkpoint), str(threads), str(core)]
    return OneCore.model_validate_json(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def _on_one_core(checkpoint: str, threads: str, core: str) -> None:
    os.sched_setaffinity(0, {int(core)})
    alone, several = (load_engine(Path(checkpoint), threads=count) for count in (1, int(threads)))
    text = np.random.default_rng(0).integers(32, 127, PROMPT + WRITTEN).tolist()
    times: dict[str, list[float]] = {"prefill": [], "decoding": []}
    for _ in range(40):
        for ratios, one, other in zip(times.values(), _read(alone, text), _read(several, text), strict=True):
            ratios.append(other / one)
    several.close()
    print(json.dumps({name: statistics.median(ratios) for name, ratios in times.items()}))


def _read(engine: Engine, text: list[int]) -> tuple[float, float]:
    """Seconds to read the prompt, and to read what follows byte by byte."""
    sequence = engine.new_sequence(text, object())
    begin = time.perf_counter()
    for first in range(0, PROMPT, 64):
        ids = text[first : min(PROMPT, first + 64)]
        engine.read([Read(sequence, ids, no_features(len(ids)))])
    middle = time.perf_counter()
    for byte in text[PROMPT:]:
        engine.read([Read(sequence, [byte], no_features(1))])
    sequence.close()
    return middle - begin, time.perf_counter() - middle


def table(result: BusyResult) -> str:
    """What is left beside busy programs."""
    figures, core = result.busy, result.one_core
    lines = [
        "| beside other work, over the quiet machine | one busy program | one on each core |",
        "|---|---:|---:|",
        f"| training, bytes a second | {figures['training_one']:.2f} | {figures['training_each']:.2f} |",
        f"| evaluation, time | {1 / figures['evaluation_one']:.2f} × | {1 / figures['evaluation_each']:.2f} × |",
        "",
        f"On one free core, {result.threads} threads take {core.prefill:.2f} times as long as one to read a prompt, and "
        f"{core.decoding:.2f} times as long to write. {result.threads} threads on {result.cores} cores; medians of "
        f"{len(result.rounds['training_one'])} rounds.",
    ]
    return "\n".join(lines) + "\n"


RESULT = BusyResult

if __name__ == "__main__":
    main("busy")
