"""The model card of a checkpoint, written from `training.json` and from nothing else.

A card is made to be handed on with the weights, so it names the data by the last part of each path and not by where it
lies on this machine; `training.json` has the whole paths.
"""

from __future__ import annotations

import platform
from pathlib import Path

import torch

import multiscale_transformer
from multiscale_transformer import files
from multiscale_transformer.data.corpus import Corpus
from multiscale_transformer.data.installed import licences, permissive_packages
from multiscale_transformer.data.mixture import downloaded_packages, part_licences
from multiscale_transformer.data.named_sources import INSTALLED
from multiscale_transformer.data.prompted import skill_licences
from multiscale_transformer.data.selection import EVERYTHING
from multiscale_transformer.evaluation.compression_baselines import labelled
from multiscale_transformer.zoo.training_record import DataRecord, MachineRecord, TrainingRecord

CARD_FILE = "README.md"
SHOWN_SHARE = 0.001  # of the text: kinds with less are in training.json only


def data_record(corpus: Corpus) -> DataRecord:
    """What `training.json` says of the data."""
    return DataRecord(
        sources=list(corpus.sources),
        sha256=corpus.sha256,
        train_documents=len(corpus.train),
        train_bytes=corpus.train.nbytes,
        held_out_documents=len(corpus.held_out),
        held_out_bytes=corpus.held_out.nbytes,
        dropped=corpus.dropped,
        note=corpus.note,
        **({"selection": corpus.selection.as_json()} if corpus.selection != EVERYTHING else {}),
        **({"packages": packages} if (packages := _packages(corpus)) else {}),
        **({"parts": parts} if (parts := part_licences(corpus.sources) | skill_licences(corpus.sources)) else {}),
        suffixes=dict(corpus.train.suffixes()),
    )


def _packages(corpus: Corpus) -> dict[str, str]:
    """Version and licence of packages that were read, because they are installed or because they were downloaded."""
    reads_installed = INSTALLED in {*corpus.sources, *corpus.train.sources}  # by itself, or as a part of a mixture
    return (licences(permissive_packages()) if reads_installed else {}) | downloaded_packages(
        corpus.sources, corpus.train.names
    )


def software_versions() -> dict[str, str]:
    """What `training.json` says of the software."""
    return {"axl": multiscale_transformer.__version__, "python": platform.python_version(), "torch": torch.__version__}


def write_model_card(folder: Path, record: TrainingRecord) -> None:
    """Write `README.md` into a checkpoint folder from the content of its `training.json`."""
    files.write_text(folder / CARD_FILE, "\n".join((*_head(record), *_figures(record), *_data(record), *_how(record))))


def _head(record: TrainingRecord) -> list[str]:
    machine = record.machine
    where = "" if machine is None else f" on {machine.accelerator or _processor(machine)}"
    lines = [
        f"# {record.name}",
        "",
        f"A byte-level multi-scale transformer for code with {record.parameters:,} parameters, trained for "
        f"{record.seconds / 60:.1f} minutes{where}.",
        "",
    ]
    if record.init is not None:
        lines += [f"It began as {record.init.name} (weights with the SHA-256 {record.init.sha256[:12]}…), not at random.", ""]
    if record.distilled is not None:
        teacher = Path(record.distilled.teacher).name
        lines += [
            f"It was distilled from `{teacher}`: it learned what that model and its memory would say of the same files.",
            "",
        ]
    return lines


def _processor(machine: MachineRecord) -> str:
    return f"{_counted(machine.threads, 'thread')} of {machine.processor}"


_MEMORY = (
    "The model looks things up in `memory/`, which holds the training files themselves: hand it on only where those may go. "
    "Without it the model works too, but worse; `axl index` makes another."
)


def _figures(record: TrainingRecord) -> list[str]:
    held_out = record.held_out
    if held_out is None:
        return ["Not yet measured on held-out files.", ""]
    rows = [("this model", held_out.bits_per_byte), *labelled(held_out.model_dump())]
    return [
        f"Bits per byte over all {held_out.bytes:,} bytes of the held-out files (lower is better):",
        "",
        "| | bits per byte |",
        "|---|---|",
        *(f"| {label} | {bits:.3f} |" for label, bits in rows if bits is not None),
        "",
    ]


def _data(record: TrainingRecord) -> list[str]:
    data = record.data
    if data is None:
        return []
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in sorted(data.dropped.items())) or "none"
    sources = ", ".join(f"`{_source(source, record)}`" for source in data.sources)
    return [
        "## Data",
        "",
        f"Trained on {_counted(data.train_documents, 'file')} ({data.train_bytes:,} bytes) from {sources}; held out: "
        f"{_counted(data.held_out_documents, 'file')} ({data.held_out_bytes:,} bytes). Files dropped: {dropped}.",
        *([f"Note: {data.note}."] if data.note else []),
        *_kinds(data),
        *_data_of_base(record),
        "",
        f"SHA-256 of the corpus: `{data.sha256}`. Whoever hands these weights on should look at the licences of the files.",
        *(["", _MEMORY] if record.memory else []),
        "",
    ]


def _kinds(data: DataRecord) -> list[str]:
    """What kinds of text were read, and the licences that the parts of a mixture are under."""
    lines = []
    if data.suffixes and len(data.suffixes) > 1:
        lines.append(f"Kinds: {kind_shares(data)}.")
    if data.parts:
        named = (f"`{Path(part).name or part}` {licence or 'not stated'}" for part, licence in data.parts.items())
        lines.append(f"Licences of its parts: {', '.join(named)}.")
    return lines


def kind_shares(data: DataRecord) -> str:
    """The share of each kind of text, most first, without those that hardly count."""
    shares = ((suffix or "no suffix", count / data.train_bytes) for suffix, count in (data.suffixes or {}).items())
    return ", ".join(f"{suffix} {share:.1%}" for suffix, share in shares if share >= SHOWN_SHARE)


def _data_of_base(record: TrainingRecord) -> list[str]:
    if record.init is None or record.init.data is None:
        return []
    data = record.init.data
    sources = ", ".join(f"`{Path(source).name or source}`" for source in data.sources)
    packages = ", ".join(f"{name} {licence}" for name, licence in sorted((data.packages or {}).items()))
    read = f"{_counted(data.train_documents, 'file')} ({data.train_bytes:,} bytes) from {sources}"
    return ["", f"Before that, as {record.init.name}: {read}{f' ({packages})' if packages else ''}."]


def _how(record: TrainingRecord) -> list[str]:
    software = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return [
        "## Training",
        "",
        f"{record.optimizer}, {_counted(record.steps, 'step')}, {record.bytes:,} bytes read, seed {record.seed}, "
        f"{record.compute_dtype}; {software}. Every setting is in `training.json`"
        + ("." if record.distilled is not None else ", the curve in `metrics.csv`."),
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


def _source(source: str, record: TrainingRecord) -> str:
    """The last part of a path (what matters of a glob), or which library `stdlib` was."""
    return f"library of Python {record.versions['python']}" if source == "stdlib" else Path(source).name or source


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
