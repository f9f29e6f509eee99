"""What every command writes with: one console for output, one for errors, and numbers as people read them.

Results go to standard output, progress and errors to standard error, so that a pipe holds results and nothing else. Lines that
are meant to be copied (paths, commands) are never broken; prose is, at the width of the terminal, and never in a pipe.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from multiscale_transformer.cli.heartbeat import EVERY_SECONDS, FIRST_SECONDS, heartbeat

out = Console(highlight=False, emoji=False, markup=False)  # what users bring may hold brackets, and is shown as it is
errors = Console(stderr=True, highlight=False, emoji=False, markup=False)

LABEL_WIDTH = 10
BAR_WIDTH = 30
PIPE_WIDTH = 1000
NARROW = 72  # columns below which a figure says more than the rest
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def print_field(label: str, text: str) -> None:
    """A line behind a label: in a terminal wrapped under itself, in a pipe one line."""
    if not out.is_terminal:
        out.print(f"{label:<{LABEL_WIDTH}}  {text}", soft_wrap=True)
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", width=LABEL_WIDTH, no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label), Text(text))
    out.print(grid)


def counts_by_reason(reasons: dict[str, int]) -> str:
    """Counts by reason, the most frequent first: 'generated 71, empty 28'."""
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def print_text(text: str) -> None:
    """Lines for people: wrapped in a terminal, never in a pipe."""
    out.print(text, soft_wrap=not out.is_terminal)


def note(text: str) -> None:
    """Something to know, on standard error."""
    errors.print(f"note: {text}", soft_wrap=not errors.is_terminal)


def print_command(text: str) -> None:
    """A command or path on a line of its own, whole however narrow the terminal is."""
    out.print(f"  {text}", style="cyan", soft_wrap=True)


def command(*words: str | Path) -> str:
    """A command line of this program that can be pasted into the shell it was started from."""
    return " ".join([_program(), *(_quoted(str(word)) for word in words)])


def _quoted(word: str) -> str:
    """In the double quotes that every shell knows, unless the word holds what they do not protect."""
    quoted = shlex.quote(word)
    return f'"{word}"' if quoted != word and not set(word) & set('"$`\\!%') else quoted


def _program() -> str:
    """`axl` where the shell finds this one, else the path it was started with (`make quickstart` activates nothing)."""
    started, found = Path(sys.argv[0]), shutil.which("axl")
    if started.stem != "axl" or (found and Path(found).resolve() == started.resolve()):
        return "axl"
    return shlex.quote(str(started))


def write(text: str, *, dim: bool = False) -> None:
    """Write `text` at once. A pipe gets it as it is; a terminal is spared the control characters a model may come up with."""
    if out.is_terminal:
        text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
        if dim and not out.is_dumb_terminal:
            text = f"\x1b[2m{text}\x1b[22m"
    sys.stdout.write(text)
    sys.stdout.flush()


def print_line(text: object) -> None:
    """A line of results, whole however narrow the terminal is: a path, an address, JSON."""
    out.print(str(text), soft_wrap=True)


def print_error_line(text: str) -> None:
    """The same on standard error."""
    errors.print(text, soft_wrap=True)


def new_table(title: str | None, columns: Sequence[str], *, boxed: bool = False) -> Table:
    """An empty table; the columns whose name ends with > are flush right."""
    table = Table(title=title, title_justify="left", box=HEAVY_HEAD if boxed else None)
    for column in columns:
        table.add_column(column.removesuffix(" >"), justify="right" if column.endswith(">") else "left", no_wrap=not boxed)
    return table


def show_table(table: Table) -> None:
    """A table: cut to the width of a terminal, whole in a pipe."""
    (out if out.is_terminal else Console(file=sys.stdout, width=PIPE_WIDTH, height=1, emoji=False, markup=False)).print(table)


def bits_per_byte(title: str, rows: Sequence[tuple[str, float]], ours: str) -> None:
    """Figures by name with a bar each, the best first; the row named `ours` stands out."""
    longest = max(bits for _, bits in rows)
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    for name, bits in sorted(rows, key=lambda row: row[1]):
        style, colour = ("bold", "cyan") if name == ours else ("", "bright_black")
        bar = ProgressBar(total=1, completed=1, width=max(1, round(BAR_WIDTH * bits / longest)), finished_style=colour)
        cells = [Text(f"  {name}", style), Text(f"{bits:.3f}", style)]
        grid.add_row(*cells, *([bar] if out.width >= NARROW else []))
    print_text(title)
    out.print(grid)


class _Lines(Progress):
    """Progress where lines cannot be rewritten: one after three seconds (or at once), and one every ten seconds."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__(disable=True)
        self._at_once, self._beating = at_once, ExitStack()

    def start(self) -> None:
        self._beating.enter_context(heartbeat(self._say, first=EVERY_SECONDS if self._at_once else FIRST_SECONDS))

    def stop(self) -> None:
        self._beating.close()

    def add_task(self, description: str, *args: Any, **fields: Any) -> TaskID:
        task = super().add_task(description, *args, **fields)
        if self._at_once:
            print_error_line(description)
        return task

    def _say(self, seconds: float) -> None:
        for task in self.tasks[-1:]:
            share = f" {min(1.0, task.completed / task.total):.0%}" if task.total else ""
            print_error_line(f"{task.description}{share} ({seconds:.0f} s)")


def bar(*columns: ProgressColumn | str, at_once: bool = False, lines: bool = True) -> Progress:
    """A live bar on standard error that vanishes when done; where lines cannot be rewritten, a line every ten seconds.

    The first line comes after three seconds, or `at_once`; with `lines` False the caller writes its own.
    """
    if lines and not errors.is_interactive:
        return _Lines(at_once=at_once)
    words = TextColumn("{task.description}", markup=False)
    shown = (words, BarColumn(), TaskProgressColumn(), *(columns or (TimeRemainingColumn(),)))
    return Progress(*shown, console=errors, transient=True, disable=not errors.is_interactive)


def busy(doing: str) -> AbstractContextManager[object]:
    """A spinner on standard error while something of unknown length is done, or a line every ten seconds."""
    if errors.is_interactive:
        return errors.status(Text(doing))
    return heartbeat(lambda seconds: print_error_line(f"{doing} ({seconds:.0f} s)"))


def size(count: float) -> str:
    """1234567 bytes as '1.2 MB'."""
    for unit, name, digits in ((1e9, "GB", 1), (1e6, "MB", 1), (1e3, "KB", 0)):
        if count >= unit:
            return f"{count / unit:,.{digits}f} {name}"
    return f"{count:,.0f} bytes"


def millions(count: float) -> str:
    """1234567 as '1.23 M'."""
    return f"{count / 1e6:,.2f} M" if count < 1e8 else f"{count / 1e6:,.0f} M"


def counted(count: float, noun: str) -> str:
    """1 as '1 file', 1234 as '1,234 files'."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:g}"
    return f"{number} {noun}" if count == 1 else f"{number} {noun}s"
