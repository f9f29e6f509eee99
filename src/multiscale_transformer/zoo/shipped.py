"""The model in the package: weights of two megabytes, so that completion works right after the installation.

Its memory is not in the package (an index of code that everybody has would be a hundred megabytes): `zoo.library` makes one on
the machine it runs on. How it was trained, on what, and under which licences stands in its model card.
"""

from __future__ import annotations

from pathlib import Path

SHIPPED = "shipped"  # how commands call it


def shipped_model() -> Path:
    """The checkpoint folder that is a part of the package."""
    return Path(__file__).resolve().parent / "axl_shipped"
