"""Sources with a name instead of a path, which commands, mixtures and cards say alike: what every Python has."""

from __future__ import annotations

STDLIB = "stdlib"  # the standard library of the Python that runs
INSTALLED = "installed"  # the packages beside it
NAMED_SOURCES = (STDLIB, INSTALLED)
