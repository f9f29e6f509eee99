"""Arrays with named columns: NumPy structured dtypes, whose rows a kernel reads as records (`row.position`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Records = npt.NDArray[np.void]


def record(*names: str, of: type[np.generic] = np.int64) -> np.dtype[np.void]:
    """The type of a row whose fields are numbers of one type."""
    return np.dtype([(name, of) for name in names], align=True)
