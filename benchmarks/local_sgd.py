"""Does training apart cost quality? Bits per byte at equal text: rounds of local steps against one step of all.

The members are simulated one after the other on one core, so that a machine of any size can measure how many members it wants;
what they add up is added up here, as fp16, as it would be sent. Nothing here is a speed.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean
from typing import Annotated, Literal

import torch
import typer

from benchmarks.command import LIBRARY, Data, Seeds, main
from benchmarks.result import Result, Row, origin
from multiscale_transformer.data.corpus import Corpus, load_corpus
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.outer_step import OuterStep
from multiscale_transformer.training.process_group import ALONE, ProcessGroup
from multiscale_transformer.training.settings import TrainSettings
from multiscale_transformer.training.trainer import Trainer

PLENTY = 1 << 33
CONFIG = ModelConfig(d_model=64, n_heads=2, d_ff=176, n_layers_per_scale=2, downsample_factors=(1,), max_seq_len=256)


class Way(Row):
    """A way to train, and the bits per byte that each seed ended with; `round_steps` is null where every step is one of all."""

    round_steps: int | None
    lost: bool  # whether a member dies after a third of the run, and another comes after two thirds
    bits_per_byte: list[float]


class LocalSgdResult(Result):
    """All ways, over the same text."""

    kind: Literal["local_sgd"] = "local_sgd"
    members: int
    steps: int
    text_bytes: int
    parameters: int
    held_out_bytes: int
    ways: list[Way]


class Member(ProcessGroup):
    """One of several that read parts of the same batches and add nothing up but their weights."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.world_size = rank, count


def run(
    data: Data = None,
    members: Annotated[int, typer.Option(metavar="N", min=2, help="Members that train one model.")] = 4,
    own_bytes: Annotated[int, typer.Option(metavar="N", min=256, help="Bytes a member reads in a step.")] = 1024,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Steps of each member.")] = 900,
    round_steps: Annotated[int, typer.Option(metavar="N", min=1, help="Steps between two meetings.")] = 50,
    seeds: Seeds = 3,
) -> LocalSgdResult:
    """Rounds of local steps against one step of all at equal text, also while a member dies and one joins."""
    torch.set_num_threads(1)
    corpus = load_corpus(data or LIBRARY)
    shape = (corpus, members, own_bytes, steps)
    ways = [Way(round_steps=None, lost=False, bits_per_byte=[together(*shape, seed) for seed in range(seeds)])]
    for lost in (False, True):
        found = [apart(*shape, seed, round_steps, lost) for seed in range(seeds)]
        ways.append(Way(round_steps=round_steps, lost=lost, bits_per_byte=found))
    return LocalSgdResult(
        **origin("local_sgd", 1).model_dump(),
        members=members,
        steps=steps,
        text_bytes=members * own_bytes * steps,
        parameters=CONFIG.parameters(),
        held_out_bytes=len(corpus.held_out.data),
        ways=ways,
    )


def trainer_of(corpus: Corpus, group: ProcessGroup, batch_bytes: int, seed: int) -> Trainer:
    """A trainer that begins with the weights of the seed."""
    torch.manual_seed(seed)
    model = MultiScaleTransformer(CONFIG)
    settings = TrainSettings(optimizer="muon", batch_bytes=batch_bytes, stages=((0.0, 256),), seed=seed)
    return Trainer(model, CONFIG, corpus.train, settings, PLENTY, None, None, group)


def bits(trainer: Trainer, corpus: Corpus) -> float:
    """Bits per byte on all held-out files."""
    trainer.model.eval()
    return score_documents(trainer.model, corpus.held_out, threads=1).bits_per_byte


def together(corpus: Corpus, members: int, own: int, steps: int, seed: int) -> float:
    """One process that reads in a step what all members read in one."""
    trainer = trainer_of(corpus, ALONE, own * members, seed)
    for step in range(steps):
        trainer.progress.fraction = step / steps
        trainer.step()
    return bits(trainer, corpus)


def apart(corpus: Corpus, members: int, own: int, steps: int, seed: int, round_steps: int, lost: bool) -> float:
    """Members that meet after every `round_steps`; with `lost`, one dies after a third of the run and one comes at two."""
    trainers = [trainer_of(corpus, Member(rank, members), own, seed) for rank in range(members)]
    outer = [OuterStep(trainer.model) for trainer in trainers]
    for begin in range(0, steps, round_steps):
        there = range(members - 1) if lost and steps / 3 <= begin < 2 * steps / 3 else range(members)
        for rank in there:
            for step in range(begin, min(steps, begin + round_steps)):
                trainers[rank].progress.fraction = step / steps
                trainers[rank].step()
        mean = sum((outer[rank].way(1 / len(there)) for rank in there), torch.zeros(()))
        for rank in there:
            outer[rank].take(mean)
        if lost and len(there) < members:  # who comes later has the state of the others and an optimizer of its own
            trainers[-1] = trainer_of(corpus, Member(members - 1, members), own, seed)
            trainers[-1].progress.steps_at_window = dict(trainers[0].progress.steps_at_window)
            outer[-1] = OuterStep(trainers[-1].model)
            outer[-1].load(outer[0].state())
    return bits(trainers[0], corpus)


def table(result: LocalSgdResult) -> str:
    """Each way beside the one whose steps are steps of all."""
    lines = [
        f"| {result.members} members, {result.text_bytes / 1e6:.1f} MB read | bits per byte | beside steps together |",
        "|---|---:|---:|",
    ]
    base = result.ways[0].bits_per_byte
    for way in result.ways:
        name = "each step together" if way.round_steps is None else f"rounds of {way.round_steps} steps"
        name += ", one member dies and one joins" if way.lost else ""
        lines.append(f"| {name} | {mean(way.bits_per_byte):.4f} | {_ratios(way.bits_per_byte, base)} |")
    return "\n".join(
        [
            *lines,
            "",
            f"Means over {len(base)} seeds, on {result.held_out_bytes / 1e6:.2f} MB held out, and the ratios of all seeds; "
            f"{result.steps} steps each, {result.parameters:,} parameters.",
            "",
        ]
    )


def _ratios(values: Iterable[float], base: Iterable[float]) -> str:
    return ", ".join(f"{value / other - 1:+.1%}" for value, other in zip(values, base, strict=True))


RESULT = LocalSgdResult

if __name__ == "__main__":
    main("local_sgd")
