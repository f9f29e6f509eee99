"""What every command writes with: one console for output, one for errors, and numbers as people read them."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

out = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def byte_bar() -> Progress:
    """A bar for work that is counted in bytes, with a time of arrival; it vanishes when done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    )


def megabytes(count: float) -> str:
    """1234567 as '1.2 MB'."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} KB"


def millions(count: float) -> str:
    """1234567 as '1.23 M'."""
    return f"{count / 1e6:,.2f} M" if count < 1e8 else f"{count / 1e6:,.0f} M"
