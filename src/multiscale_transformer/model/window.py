"""Which part of a long text a model reads: the one rule for the reference path and the engine."""

from __future__ import annotations


def window_start(length: int, context: int) -> int:
    """Where the window of a text of `length` ids begins when the model reads `context` of them at most.

    It moves in steps of half a context, so that it stands still while a text grows and what was read can be used again.
    """
    half = max(1, context // 2)
    return max(0, -(-(length - context) // half) * half)
