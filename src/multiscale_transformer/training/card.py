"""The model card of a checkpoint, written from `training.json` and from nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multiscale_transformer import files

CARD_FILE = "README.md"


def write_card(folder: Path, facts: dict[str, Any]) -> None:
    """Write `README.md` into a checkpoint folder from the content of its `training.json`."""
    files.write_text(folder / CARD_FILE, "\n".join((*_head(facts), *_figures(facts), *_data(facts), *_how(folder, facts))))


def _head(facts: dict[str, Any]) -> list[str]:
    return [
        f"# {facts['name']}",
        "",
        f"A byte-level multi-scale transformer for code with {facts['parameters']:,} parameters, trained for "
        f"{facts['seconds'] / 60:.1f} minutes on {facts['machine']['threads']} threads of {facts['machine']['processor']}.",
        "",
    ]


def _figures(facts: dict[str, Any]) -> list[str]:
    held_out = facts.get("held_out")
    if not held_out:
        return ["Not yet measured on held-out files.", ""]
    rows = [("this model", held_out["bits_per_byte"]), ("xz -9e", held_out["xz"]), ("PPMd, order 8", held_out["ppmd"])]
    if "ppmd_primed" in held_out:
        rows.append(("PPMd primed with the training files", held_out["ppmd_primed"]))
    return [
        f"Bits per byte over all {held_out['bytes']:,} bytes of the held-out files (lower is better):",
        "",
        "| | bits per byte |",
        "|---|---|",
        *(f"| {label} | {bits:.3f} |" for label, bits in rows),
        "",
    ]


def _data(facts: dict[str, Any]) -> list[str]:
    data = facts["data"]
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(data["left_out"].items())) or "none"
    return [
        "## Data",
        "",
        f"Trained on {data['train_documents']:,} files ({data['train_bytes']:,} bytes) from {', '.join(data['sources'])}; "
        f"{data['held_out_documents']:,} files ({data['held_out_bytes']:,} bytes) were held out. Files left out: {left_out}.",
        f"SHA-256 of the corpus: `{data['sha256']}`. The licence of the weights' use follows the licences of these files.",
        "",
    ]


def _how(folder: Path, facts: dict[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return [
        "## Training",
        "",
        f"{facts['optimizer']}, {facts['steps']:,} steps, {facts['bytes']:,} bytes read, seed {facts['seed']}; {versions}. "
        "Every setting is in `training.json`, the curve in `metrics.csv`.",
        "",
        "## Use",
        "",
        "```",
        f'axl complete "def fibonacci(n):" --model {folder}',
        "```",
        "",
        "A model this small knows the look of code, not its meaning: check what it writes.",
        "",
    ]
