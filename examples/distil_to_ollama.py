"""A model with its memory teaches a net without one, which stock Ollama runs.

    python examples/distil_to_ollama.py checkpoints/project export/project --minutes 10
    ollama create project -f export/project/Modelfile

llama.cpp has no memory to look up in, so what the memory knows has to go into the weights: the student learns the
distributions of the whole model on the teacher's own training files.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from multiscale_transformer.export.ollama import export_ollama
from multiscale_transformer.training.distill import DistillationTrainer
from multiscale_transformer.training.held_out import evaluate_bpb, run_corpus


def main(checkpoint: Path, out: Path, minutes: float) -> None:
    """Distil, measure and export."""
    with tempfile.TemporaryDirectory() as folder:
        student = Path(folder) / "student"
        DistillationTrainer(checkpoint).train(run_corpus(checkpoint), 60 * minutes, student)
        for name, model in (("teacher with its memory", checkpoint), ("student", student)):
            print(f"{evaluate_bpb(model, None)['bits_per_byte']:.3f} bits per byte: {name}")
        for path, report in export_ollama(student, out, checkpoint.name, "Q8_0"):
            print(f"{path}: {path.stat().st_size:,} bytes, {report.bits_per_weight:.1f} bits a weight")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("checkpoint", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--minutes", type=float, default=10.0)
    main(**vars(options.parse_args()))
