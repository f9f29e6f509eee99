"""Which part of a long text a model reads: the one rule for the reference path and the engine."""

from __future__ import annotations


def window_start(length: int, context: int, *, full: bool = False) -> int:
    """Where the window of a text of `length` ids begins when the model reads `context` of them at most.

    It moves in steps of an eighth of a context, so that it stands still while a text grows and what was read can be used
    again. When a window has become `full` while writing, the newer half of it goes on.
    """
    step = max(1, context // 8)
    most = max(1, context // 2) if full else context
    return max(0, -(-(length - most) // step) * step)
