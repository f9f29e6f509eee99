"""`axl export pt`: the published file, `{"config", "model_state_dict"}`, so that the published loading snippet runs."""

from __future__ import annotations

from pathlib import Path

import torch

from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import write_with
from multiscale_transformer.model.checkpoint import load_model


def export_pt(folder: Path, path: Path) -> None:
    """Write a checkpoint as one file of tensors and plain values, which `torch.load(weights_only=True)` reads.

    Raises AxlError when the folder is no checkpoint, the file is there already or the disk is full.
    """
    if path.exists():
        raise AxlError(f"{path} already exists; choose another --out, or delete it")
    model = load_model(folder)
    content = {"config": model.config.model_dump(mode="json"), "model_state_dict": model.state_dict()}
    write_with(path, lambda temporary: torch.save(content, temporary))
