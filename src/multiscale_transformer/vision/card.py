"""The model card of a net that sees, written from its record and from nothing else."""

from __future__ import annotations

from pathlib import Path

from multiscale_transformer import files
from multiscale_transformer.training.model_card import CARD_FILE
from multiscale_transformer.zoo.training_record import TrainingRecord


def write_card(folder: Path, record: TrainingRecord) -> None:
    """Write `README.md` into a checkpoint folder."""
    files.write_text(folder / CARD_FILE, "\n".join(_lines(record)))


def _lines(record: TrainingRecord) -> list[str]:
    data, machine = record.data, record.machine
    where = f" on {machine.threads} threads of {machine.processor}" if machine is not None else ""
    lines = [
        f"# {record.name}",
        "",
        f"A net that sees the elements of pages, with {record.parameters:,} parameters, trained for "
        f"{record.seconds / 60:.1f} minutes{where}.",
        "",
    ]
    if record.init is not None:
        lines += [
            f"What names elements in it began as {record.init.name} (weights {record.init.sha256[:12]}…), not at random.",
            "",
        ]
    for name, figures in (record.pictures or {}).items():
        rest = ", ".join(f"{figure} {value:.3f}" for figure, value in figures.items() if figure != "pages")
        lines += [f"On {figures['pages']:.0f} held-out pages of {name}: {rest}.", ""]
    if data is not None:
        licences = ", ".join(f"{name} {licence}" for name, licence in (data.parts or {}).items())
        lines += [
            "## Data",
            "",
            f"{data.train_documents:,} pages that Chromium rendered from a grammar over libraries of CSS ({licences}); "
            f"{data.held_out_documents:,} more were held out. SHA-256 of what is on them: `{data.sha256}`.",
            "",
        ]
    software = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return [
        *lines,
        "## Training",
        "",
        f"{record.optimizer}, {record.steps:,} steps, seed {record.seed}, {record.compute_dtype}; {software}. "
        "Every setting is in `training.json`, the curve in `metrics.csv`.",
        "",
        "## Use",
        "",
        "```sh",
        "axl see screenshot.png --model .   # in this folder",
        "```",
        "",
        "It was shown rendered pages of a few libraries and nothing else: check what it sees elsewhere.",
        "",
    ]
