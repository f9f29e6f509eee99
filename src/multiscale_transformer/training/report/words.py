"""Numbers as people read them: thousands separated, as many digits as mean something, nothing at all for what is not known."""

from __future__ import annotations

import json


def words(value: object) -> str:
    """Anything JSON can say, for people: whole numbers with thousands separators, the rest as it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def count(value: float | None) -> str:
    """A number of things."""
    return "" if value is None else f"{value:,.0f}"


def plain(value: float | None) -> str:
    """A whole number that names something, such as a seed."""
    return "" if value is None else f"{value:.0f}"


def bits(value: float | None) -> str:
    """Bits per byte."""
    return "" if value is None else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """Such as 45 s, 3 min, 3 min 20 s, 2 h 5 min."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"
    return " ".join(filter(None, [f"{minutes} min" if minutes else "", f"{rest} s" if rest or not minutes else ""]))
