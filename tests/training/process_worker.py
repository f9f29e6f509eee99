"""Some steps of a tiny model, alone or as one of the processes of torchrun: `process_worker.py OUT PROCESSES STEPS`.

Alone it reads in a step what that many processes read together. The first process saves the weights in OUT.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors.torch import save_file

from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.training.data_parallel import joined_group, under_torchrun
from multiscale_transformer.training.process_group import ALONE
from multiscale_transformer.training.trainer import Trainer
from tiny import PLENTY, corpus_memory, documents, model_of, settings_of

CONFIG = ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=1, memory=True, max_seq_len=64)
OWN_BYTES = 128


def main(out: str, processes: int, steps: int) -> None:
    torch.set_num_threads(1)
    with ExitStack() as stack:
        group = stack.enter_context(joined_group()) if under_torchrun() else ALONE
        own = OWN_BYTES * (1 if under_torchrun() else processes)
        settings = settings_of(batch_bytes=own, stages=((0.0, 32), (0.5, 64)), optimizer="muon", fim_rate=0.5)
        trainer = Trainer(model_of(CONFIG), CONFIG, documents(), settings, PLENTY, None, corpus_memory(), group)
        for step in range(steps):
            trainer.progress.fraction = step / steps
            trainer.step()
            trainer.progress.seconds = group.clock(float(step + group.rank))
        assert trainer.progress.seconds == steps - 1  # the clock of the first process
        assert trainer.progress.bytes == OWN_BYTES * processes * steps
        if group.rank == 0:
            save_file(trainer.model.state_dict(), Path(out))
    assert "gloo" not in " ".join(threads()), "a group that outlives its end may abort the process"


def threads() -> list[str]:
    """The names of the threads of this process, those of C++ too."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
