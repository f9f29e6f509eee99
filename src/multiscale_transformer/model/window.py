"""Which part of a long text a model reads: the one rule for the reference path and the engine."""

from __future__ import annotations

from collections.abc import Iterator


def window_start(length: int, context: int, *, full: bool = False) -> int:
    """Where the window of a text of `length` ids begins when the model reads `context` of them at most.

    It moves in steps of an eighth of a context, so that it stands still while a text grows and what was read can be used
    again. When a window has become `full` while writing, the newer half of it goes on.
    """
    step = max(1, context // 8)
    most = max(1, context // 2) if full else context
    return max(0, -(-(length - most) // step) * step)


def scoring_windows(length: int, context: int) -> Iterator[tuple[int, int, int]]:
    """Windows (start, end, scored) of a text of `length` that is scored: the last `scored` of each count.

    The first counts all of its own; each later one begins half a context before the first that it counts.
    """
    done = 0
    while done < length:
        start = max(0, done - context // 2)
        end = min(length, start + context)
        yield start, end, end - done
        done = end
