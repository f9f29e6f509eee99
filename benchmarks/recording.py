"""The moving picture of the README: real commands with what they really print, as one SVG whose lines come one after the other.

`make recording` writes docs/recording.svg. Each command runs in a small project that is made for it; waiting is shortened to
WAIT seconds. The picture is Rich's own of a terminal, to which an animation is added that browsers play in an <img>, too.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from benchmarks.result import ROOT
from multiscale_transformer.files import write_text

WIDTH = 92  # columns
TYPED, LINE, WAIT, REST = 0.9, 0.06, 0.5, 5.0  # seconds: a command, a line of output, until it comes, before it begins again
COMMANDS = (
    'axl fix --test "python -m unittest -q"',
    "axl refactor shop.py",
    'axl explain shop.py:largest --call "largest([3, 7, 5])"',
)
SHOP = '''\
def largest(prices):
    """The largest price, or None where there is none."""
    best = None
    for price in prices:
        if best is None or price < best:
            best = price
    return best


def names(items):
    found = []
    for item in items:
        found.append(str(item).strip())
    if not found:
        raise ValueError()
    return ", ".join(found)
'''
TEST = """\
import unittest

from shop import largest


class Largest(unittest.TestCase):
    def test_it(self):
        self.assertEqual(largest([3, 7, 5]), 7)
"""
THEME = TerminalTheme(
    (24, 26, 31),
    (214, 217, 224),
    [
        (24, 26, 31),
        (235, 110, 110),
        (120, 200, 130),
        (229, 192, 123),
        (97, 175, 239),
        (198, 120, 221),
        (86, 182, 194),
        (200, 204, 212),
    ],
    [
        (92, 99, 112),
        (235, 110, 110),
        (120, 200, 130),
        (229, 192, 123),
        (97, 175, 239),
        (198, 120, 221),
        (86, 182, 194),
        (255, 255, 255),
    ],
)


def record() -> str:
    """The SVG of all commands."""
    console = Console(record=True, width=WIDTH, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("shop.py", SHOP), ("test_shop.py", TEST)):
            Path(folder, name).write_text(text, encoding="utf-8")
        at = 0.5
        for command in COMMANDS:
            lines = [Text(f"$ {command}", style="bold"), *_output(command, Path(folder)), Text("")]
            for number, line in enumerate(lines):
                for row in line.wrap(console, WIDTH):
                    console.print(row, no_wrap=True)
                    times.append(at)
                at += {0: TYPED + WAIT}.get(number, LINE)
            at += 1.5
    return _moving(console.export_svg(title="axl", theme=THEME), times)


def _output(command: str, folder: Path) -> list[Text]:
    """What a command prints, in colour; what it says meanwhile is left out. Raises CalledProcessError where it fails."""
    program = Path(sys.executable).with_name("axl")
    env = {**os.environ, "FORCE_COLOR": "1", "TTY_INTERACTIVE": "0", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    done = subprocess.run(
        [str(program), *shlex.split(command)[1:]], cwd=folder, env=env, capture_output=True, text=True, check=True
    )
    return list(Text.from_ansi(done.stdout.rstrip("\n")).split("\n"))


def _moving(svg: str, times: list[float]) -> str:
    """The SVG with each line of text hidden until its time; it begins again when all has been seen."""
    total = times[-1] + REST
    rules = [
        f"@keyframes r{number}{{0%,{100 * at / total:.2f}%{{opacity:0}}{100 * at / total + 0.01:.2f}%,100%{{opacity:1}}}}"
        f".r{number}{{animation:r{number} {total:.1f}s linear infinite}}"
        for number, at in enumerate(times)
    ]
    still = "@media (prefers-reduced-motion:reduce){*{animation:none!important}}"
    svg = svg.replace("</style>", "\n".join(rules) + f"\n{still}\n</style>", 1)
    svg = re.sub(r'(<text class=")([^"]*")([^>]*clip-path="url\(#[^)]*line-(\d+)\)")', r"\1r\4 \2\3", svg)
    return re.sub(r"@font-face \{.*?\}\n?", "", svg, flags=re.DOTALL)  # which would be loaded from elsewhere


if __name__ == "__main__":
    write_text(ROOT / "docs" / "recording.svg", record())
