"""Whether this machine can hold untrusted code: tests that run some are skipped where it cannot, as the commands refuse."""

from __future__ import annotations

from functools import cache

import pytest

from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.run import Sandbox


@cache
def why_not() -> str:
    """The reason why there is no sandbox here; empty where there is one."""
    try:
        Sandbox().close()
    except AxlError as error:
        return str(error)
    return ""


needs_sandbox = pytest.mark.skipif(bool(why_not()), reason=why_not() or "there is a sandbox")
