"""Does training apart cost quality? Bits per byte at equal text: rounds of local steps against one step of all.

    python -m benchmarks.local_sgd --data PATH --out runs/local_sgd.json

The members are simulated one after the other on one core, so that a machine of any size can measure how many members it wants;
what they add up is added up here, as fp16, as it would be sent. Nothing here is a speed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from multiscale_transformer.data.corpus import Corpus, load_corpus
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.outer_step import OuterStep
from multiscale_transformer.training.peers import ALONE, Peers
from multiscale_transformer.training.settings import TrainSettings
from multiscale_transformer.training.trainer import Trainer

PLENTY = 1 << 33
CONFIG = ModelConfig(d_model=64, n_heads=2, d_ff=176, n_layers_per_scale=2, downsample_factors=(1,), max_seq_len=256)


class Member(Peers):
    """One of several that read parts of the same batches and add nothing up but their weights."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count


def trainer_of(corpus: Corpus, peers: Peers, batch_bytes: int, seed: int) -> Trainer:
    """A trainer that begins with the weights of the seed."""
    torch.manual_seed(seed)
    model = MultiScaleTransformer(CONFIG)
    settings = TrainSettings(optimizer="muon", batch_bytes=batch_bytes, stages=((0.0, 256),), seed=seed)
    return Trainer(model, CONFIG, corpus.train, settings, PLENTY, None, None, peers)


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Train both ways and write the figures."""
    options = argparse.ArgumentParser()
    options.add_argument("--data", action="append", required=True)
    options.add_argument("--members", type=int, default=4)
    options.add_argument("--own-bytes", type=int, default=1024)
    options.add_argument("--steps", type=int, default=900)
    options.add_argument("--round-steps", type=int, nargs="+", default=[50])
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    options.add_argument("--out", type=Path, required=True)
    chosen = options.parse_args(arguments)
    torch.set_num_threads(1)
    corpus = load_corpus(chosen.data)
    rows = []
    for seed in chosen.seeds:
        shape = (corpus, chosen.members, chosen.own_bytes, chosen.steps, seed)
        base = {"seed": seed, "members": chosen.members, "steps": chosen.steps, "parameters": CONFIG.parameters()}
        base["text"] = chosen.members * chosen.own_bytes * chosen.steps
        rows.append({**base, "way": "together", "bits": together(*shape)})
        print(rows[-1], flush=True)
        for round_steps in chosen.round_steps:
            for lost in (False, True):
                row = {
                    **base,
                    "way": "apart",
                    "round_steps": round_steps,
                    "lost": lost,
                    "bits": apart(*shape, round_steps, lost),
                }
                rows.append(row)
                print(row, flush=True)
        chosen.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
