"""Arrays of an index on the disk: written in pieces, and opened as what they ought to be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def write_array(path: Path, kind: type[np.generic], shape: tuple[int, ...], pieces: Iterable[npt.NDArray[Any]]) -> None:
    """`np.save` of an array that comes in pieces; when it fails it says what the system says, as numpy does not.

    Raises OSError when the disk is full.
    """
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece).data)


def map_array(path: Path, kind: type[np.generic], dimensions: int = 1) -> npt.NDArray[Any]:
    """An array as it lies on the disk. Raises OSError or ValueError when it is missing, damaged or of another kind."""
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r")
    if array.dtype != kind or array.ndim != dimensions:
        raise ValueError(f"{path.name} has the wrong type or shape")
    return array
