"""The files of a checkpoint folder, and its config, read without PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig, parse_config

MODEL_TYPE = "multiscale_transformer"
CONFIG_FILE, WEIGHTS_FILE, TRAINING_FILE = "config.json", "model.safetensors", "training.json"


def read_config(folder: Path) -> ModelConfig:
    """The config of a checkpoint. Raises AxlError when the folder is no checkpoint or the file is damaged."""
    return parse_config(_model_fields(folder), str(folder / CONFIG_FILE))


def _model_fields(folder: Path) -> dict[str, Any]:
    """`config.json` without the fields that other tools want."""
    fields = config_fields(folder)
    if fields.get("model_type") != MODEL_TYPE:
        raise AxlError(f"{folder} is not an AXL checkpoint (its config.json is for something else)")
    known = ModelConfig.model_fields
    return {name: value for name, value in fields.items() if name in known}


def config_fields(folder: Path) -> dict[str, Any]:
    """`config.json` of a checkpoint. Raises AxlError when the folder is none or the file is damaged."""
    path = folder / CONFIG_FILE
    if not path.is_file():
        what = "there is no folder" if not folder.exists() else "no checkpoint in"
        raise AxlError(f"{what} {folder} (no {CONFIG_FILE}); give the folder that axl train wrote")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AxlError(f"{path} is damaged ({error}); restore it or train again") from error
    if not isinstance(fields, dict):
        raise AxlError(f"{folder} is not an AXL checkpoint (its config.json is for something else)")
    return fields
