"""Whether this machine can hold untrusted code: tests that run some are skipped where it cannot, as the commands refuse.

In CI, whose machine can, nothing is skipped: a sandbox that is broken looks as one that is not there.
"""

from __future__ import annotations

import os
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


IN_CI = os.environ.get("CI") == "true"
needs_sandbox = pytest.mark.skipif(not IN_CI and bool(why_not()), reason=why_not() or "there is a sandbox")
