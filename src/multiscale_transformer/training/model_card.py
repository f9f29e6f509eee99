"""The model card of a checkpoint, written from `training.json` and from nothing else.

A card is made to be handed on with the weights, so it names the data by the last part of each path and not by where it
lies on this machine; `training.json` has the whole paths.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

import multiscale_transformer
from multiscale_transformer import files
from multiscale_transformer.data.corpus import Corpus
from multiscale_transformer.data.installed import licences, permissive_packages
from multiscale_transformer.data.selection import EVERYTHING
from multiscale_transformer.data.sources import INSTALLED
from multiscale_transformer.evaluation.compression_baselines import labelled

CARD_FILE = "README.md"


def data_facts(corpus: Corpus) -> dict[str, Any]:
    """What `training.json` says of the data."""
    return {
        "sources": list(corpus.sources),
        "train_documents": len(corpus.train),
        "train_bytes": corpus.train.nbytes,
        "held_out_documents": len(corpus.held_out),
        "held_out_bytes": corpus.held_out.nbytes,
        "left_out": corpus.left_out,
        "sha256": corpus.sha256,
        "note": corpus.note,
        **({"selection": corpus.selection.as_json()} if corpus.selection != EVERYTHING else {}),
        **({"packages": licences(permissive_packages())} if INSTALLED in corpus.sources else {}),
    }


def versions() -> dict[str, str]:
    """What `training.json` says of the software."""
    return {"axl": multiscale_transformer.__version__, "python": platform.python_version(), "torch": torch.__version__}


def write_card(folder: Path, facts: dict[str, Any]) -> None:
    """Write `README.md` into a checkpoint folder from the content of its `training.json`."""
    files.write_text(folder / CARD_FILE, "\n".join((*_head(facts), *_figures(facts), *_data(facts), *_how(facts))))


def _head(facts: dict[str, Any]) -> list[str]:
    machine = facts["machine"]
    return [
        f"# {facts['name']}",
        "",
        f"A byte-level multi-scale transformer for code with {facts['parameters']:,} parameters, trained for "
        f"{facts['seconds'] / 60:.1f} minutes on {_counted(machine['threads'], 'thread')} of {machine['processor']}.",
        "",
        *_taught(facts),
    ]


def _taught(facts: dict[str, Any]) -> list[str]:
    if "teacher" not in facts:
        return []
    teacher = Path(facts["teacher"]).name
    return [f"It was distilled from `{teacher}`: it learned what that model and its memory would say of the same files.", ""]


_MEMORY = (
    "The model looks things up in `memory/`, which holds the training files themselves: hand it on only where those may go. "
    "Without it the model works too, but worse; `axl index` makes another."
)


def _figures(facts: dict[str, Any]) -> list[str]:
    held_out = facts.get("held_out")
    if not held_out:
        return ["Not yet measured on held-out files.", ""]
    rows = [("this model", held_out["bits_per_byte"]), *labelled(held_out)]
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
    left_out = ", ".join(f"{reason} {count:,}" for reason, count in sorted(data["left_out"].items())) or "none"
    sources = ", ".join(f"`{_source(source, facts)}`" for source in data["sources"])
    return [
        "## Data",
        "",
        f"Trained on {_counted(data['train_documents'], 'file')} ({data['train_bytes']:,} bytes) from {sources}; held out: "
        f"{_counted(data['held_out_documents'], 'file')} ({data['held_out_bytes']:,} bytes). Files left out: {left_out}.",
        *([f"Note: {data['note']}."] if data["note"] else []),
        "",
        f"SHA-256 of the corpus: `{data['sha256']}`. Whoever hands these weights on should look at the licences of the files.",
        *(["", _MEMORY] if facts.get("memory") else []),
        "",
    ]


def _how(facts: dict[str, Any]) -> list[str]:
    software = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return [
        "## Training",
        "",
        f"{facts['optimizer']}, {_counted(facts['steps'], 'step')}, {facts['bytes']:,} bytes read, seed {facts['seed']}, "
        f"{facts['compute_dtype']}; {software}. Every setting is in `training.json`"
        + ("." if "teacher" in facts else ", the curve in `metrics.csv`."),
        "",
        "## Use",
        "",
        "```sh",
        'axl complete "def fibonacci(n):" --model .   # in this folder',
        "```",
        "",
        "A model this small knows the look of code, not its meaning: check what it writes.",
        "",
    ]


def _source(source: str, facts: dict[str, Any]) -> str:
    """The last part of a path (what matters of a glob), or which library `stdlib` was."""
    return f"library of Python {facts['versions']['python']}" if source == "stdlib" else Path(source).name or source


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
