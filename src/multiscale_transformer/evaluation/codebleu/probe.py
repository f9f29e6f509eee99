"""Whether a text can be parsed within limits, tried out in a process of its own.

tree-sitter takes memory and time with the square of the text for a few that mean harm (25 kB of `a<a<a<…` in Java are 1.3 GB,
16 kB of `?!?!…` half a minute), within one step in which nothing stops it. So what is longer than `SAFE_BYTES` is parsed by a
process that may die of it first.
"""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

SAFE_BYTES = 1 << 12  # of 2,137 made-up repetitions as long the worst took 2.5 s, and another 0.85 GB
MAX_SECONDS = 10  # of the processor; a megabyte of code that people write takes one
MAX_MEMORY = 1 << 30
OUT_OF_MEMORY = 3  # exit status


def can_parse(content: bytes, module: str) -> bool:
    """Whether the grammar in `module` reads a text within the limits."""
    if len(content) <= SAFE_BYTES:
        return True
    ended = subprocess.run([sys.executable, "-m", __name__, module], input=content, capture_output=True, check=False)
    if ended.returncode > 0 and ended.returncode != OUT_OF_MEMORY:
        ended.check_returncode()  # a defect, no hostile text
    return ended.returncode == 0


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> int:
    """Parse standard input; a status other than 0, or a signal, says that it takes too much."""
    from tree_sitter import Language, Parser

    parser = Parser(Language(import_module(sys.argv[1]).language()))
    content = sys.stdin.buffer.read()
    _limit()
    try:
        parser.parse(content)
    except MemoryError:
        return OUT_OF_MEMORY
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
