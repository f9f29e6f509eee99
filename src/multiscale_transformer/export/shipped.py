"""Make a trained checkpoint the model of the package: bfloat16, no index, and a card that lists what it was trained on.

`python -m multiscale_transformer.export.shipped CHECKPOINT`, after `axl train` with the config and data of docs/shipped.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from multiscale_transformer import files
from multiscale_transformer.data.mixture import PREFIX as MIXTURE
from multiscale_transformer.data.named_sources import INSTALLED
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.checkpoint import load_model, save_model
from multiscale_transformer.model.folder import WEIGHTS_FILE
from multiscale_transformer.training.model_card import CARD_FILE, kind_shares
from multiscale_transformer.zoo.shipped import shipped_model
from multiscale_transformer.zoo.training_record import FinishedRecord, read_training, write_training

MAX_BYTES = 2_000_000  # of the weights, which every installation downloads


def ship(checkpoint: Path, folder: Path) -> None:
    """Write the checkpoint into `folder` as the package holds it.

    Raises AxlError when its weights are too large for the package.
    """
    model, record = load_model(checkpoint), read_training(checkpoint)
    save_model(model, folder, dtype=torch.bfloat16, name=record.name)
    size = (folder / WEIGHTS_FILE).stat().st_size
    if size > MAX_BYTES:
        raise AxlError(f"the weights take {size:,} bytes; the package holds at most {MAX_BYTES:,}")
    data = record.data.model_copy(update={"sources": list(map(_portable, record.data.sources))})
    record = record.model_copy(update={"data": data})
    write_training(folder, record)
    files.write_text(folder / CARD_FILE, shipped_card(record))


def shipped_card(record: FinishedRecord) -> str:
    """The model card, from `training.json`. Raises AxlError for a run that is not measured."""
    data, held_out = record.data, record.held_out
    if held_out is None:
        raise AxlError(f"{record.name} is not measured; run axl train --resume --out with its folder")
    lines = [
        f"# {record.name}",
        "",
        f"The model that comes with AXL: {record.parameters:,} parameters in bfloat16, a byte-level transformer that looks",
        "things up in a memory. Its memory is not in the package: it is the library of the Python that runs, indexed on the",
        "first use.",
        "",
        f"Trained for {record.seconds / 60:.0f} minutes on {data.train_documents:,} files "
        f"({data.train_bytes:,} bytes), of which it read {record.bytes:,} bytes. On {held_out.bytes:,} bytes of files",
        f"it never read, with an index of the training files: **{held_out.bits_per_byte:.3f} bits per byte** "
        f"(PPMd {held_out.ppmd:.3f}, xz {held_out.xz:.3f}).",
        *_began_as(record),
        "",
        "## Trained on",
        "",
        f"{_parts(record)}These packages, with the licences that their metadata name:",
        "",
        "| package | version and licence |",
        "|---|---|",
        *(f"| {name} | {licence} |" for name, licence in sorted(_packages(record).items())),
        "",
        "The weights are under the licence of AXL. A model this small knows the look of code, not its meaning: check what it",
        "writes.",
        "",
    ]
    return "\n".join(lines)


def _portable(source: str) -> str:
    """A mixture by its path in the repository, from which the package is made."""
    place = Path(source.removeprefix(MIXTURE))
    return f"{MIXTURE}{place.relative_to(Path.cwd())}" if source.startswith(MIXTURE) and place.is_absolute() else source


def _parts(record: FinishedRecord) -> str:
    """What kinds of text were read, and the parts of the mixture that are no packages of Python."""
    parts = {part: licence for part, licence in (record.data.parts or {}).items() if part != INSTALLED}
    if not parts:
        return "The library of CPython (PSF-2.0). "
    named = "".join(f"- `{part}`: {licence or 'not stated'}\n" for part, licence in parts.items())
    return f"By bytes: {kind_shares(record.data)}.\n\n{named}\n"


def _began_as(record: FinishedRecord) -> list[str]:
    base = record.init
    if base is None or base.data is None:
        return []
    read = f"{base.data.train_documents:,} files ({base.data.train_bytes:,} bytes)"
    return [f"It began as an earlier {base.name} (weights with the SHA-256 {base.sha256[:12]}…), trained on {read}."]


def _packages(record: FinishedRecord) -> dict[str, str]:
    """The licences of all packages that the model, or the one it began as, was trained on."""
    before = record.init.data.packages if record.init is not None and record.init.data is not None else None
    return {**(before or {}), **(record.data.packages or {})}


if __name__ == "__main__":
    ship(Path(sys.argv[1]), shipped_model())
