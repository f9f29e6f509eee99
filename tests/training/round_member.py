"""A member of a run in rounds: `round_member.py LIGHTHOUSE MEMBER MEMBERS ADDRESS SECONDS ROUND_SECONDS OUT`.

It begins when it is sent a line, says when it has begun, and leaves its weights and what it sent in OUT.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from multiscale_transformer.training.local_sgd import LocalSgd
from multiscale_transformer.training.trainer import Progress, Trainer
from tiny import PLENTY, TINY, documents, model_of, settings_of


def main(lighthouse: str, member: str, members: str, address: str, seconds: str, round_seconds: str, out: str) -> None:
    torch.set_num_threads(1)
    print("loaded", flush=True)
    sys.stdin.readline()
    group = LocalSgd(lighthouse, int(member), int(members), address, float(round_seconds))
    settings = settings_of(minutes=float(seconds) / 60)
    trainer = Trainer(model_of(TINY), TINY, documents(), settings, PLENTY, None, None, group)
    first: list[int] = []

    def show(progress: Progress) -> None:
        if not first:
            first.append(progress.step)
            print(json.dumps({"first": progress.step}), flush=True)

    trainer.run((show,))
    facts = {"steps": trainer.progress.step, "rounds": group.rounds, "sums": group.sums, "first": first[0]}
    save_file(trainer.model.state_dict(), Path(out), metadata={"facts": json.dumps(facts)})


if __name__ == "__main__":
    main(*sys.argv[1:])
