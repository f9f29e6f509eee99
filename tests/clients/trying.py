"""Trying clients one after the other, as the scripts beside this do it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable


def try_all(clients: Iterable[Callable[[], None]]) -> None:
    """Run those that are named on the command line behind address and model, or all; ends with status 1 when one failed."""
    failed = 0
    for client in clients:
        if sys.argv[3:] and client.__name__ not in sys.argv[3:]:
            continue
        try:
            client()
            print(f"{client.__name__}: ok", flush=True)
        except Exception:
            failed += 1
            traceback.print_exc()
            print(f"{client.__name__}: FAILED", flush=True)
    sys.exit(failed > 0)
