"""Errors that a person reads: one line that says what is wrong and what to do.

The command line prints an `AxlError` as it is and exits with status 2; everything else is a defect and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AxlError(ValueError):
    """Wrong input or a failing machine, in one line: what is wrong, then what to do."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> AxlError:
    """The error for a name that is not one of `known`: it lists the near ones, or all when none is near."""
    known = sorted(known)
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    near = difflib.get_close_matches(name.lower().replace("-", "_"), folded, n=4, cutoff=0.5)
    hint = "did you mean " + ", ".join(folded[match] for match in near) if near else "known are " + ", ".join(known)
    return AxlError(f"unknown {kind} {name!r}; {hint}")
