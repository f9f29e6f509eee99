"""`engine.json` of a checkpoint: how many bits each linear map gets in the compiled engine, as `axl tune` has measured it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.locks import writing

ENGINE_FILE = "engine.json"
WIDTHS = (8, 4)


def read_bits(folder: Path) -> dict[str, int]:
    """Bits by the name of each map that was given some; the others have 8. Raises AxlError for a damaged file."""
    path = folder / ENGINE_FILE
    if not path.exists():
        return {}
    try:
        bits = {str(name): int(width) for name, width in json.loads(path.read_text(encoding="utf-8"))["bits"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AxlError(f"{path} is damaged ({error}); delete it, or measure again with axl tune") from error
    if not set(bits.values()) <= set(WIDTHS):
        raise AxlError(f"{path} asks for other widths than {WIDTHS} bits; delete it, or measure again with axl tune")
    return bits


def write_bits(folder: Path, bits: Mapping[str, int], **measured: Any) -> None:
    """Write the file; `measured` are figures that go with the choice. Raises AxlError when another process is writing there."""
    with writing(folder):
        files.write_json(folder / ENGINE_FILE, {"bits": dict(bits), **measured})
