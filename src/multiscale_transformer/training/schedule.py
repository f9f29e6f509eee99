"""Learning rate and window length as functions of the elapsed share of the time box.

A run is told minutes, not steps: how many steps fit is known only when they are over. So everything that other trainers
schedule by step is scheduled here by elapsed fraction, and a faster machine simply gets more steps of the same shape.
"""

from __future__ import annotations

from collections.abc import Sequence

WARM_UP = 0.02
FLOOR = 0.05


def rate_multiplier(fraction: float, cooldown: float = 0.5) -> float:
    """Linear warm-up over the first 2 %, flat, then linear cooldown over the last `cooldown` down to 0.05."""
    warm = min(1.0, 0.02 + fraction / WARM_UP)
    cool = min(1.0, FLOOR + (1.0 - FLOOR) * max(0.0, 1.0 - fraction) / cooldown)
    return warm * cool


def window_at(fraction: float, stages: Sequence[tuple[float, int]]) -> int:
    """The window of the stage that `fraction` lies in; a stage is (elapsed fraction it begins at, bytes)."""
    return [window for begins, window in stages if begins <= fraction][-1]
