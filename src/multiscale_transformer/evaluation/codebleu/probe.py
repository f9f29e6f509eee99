"""Whether a text can be parsed within limits, tried out in a process that may die of it.

tree-sitter takes memory and time with the square of the text for a few that mean harm (25 kB of `a<a<a<…` in Java are 1.3 GB,
16 kB of `?!?!…` half a minute), within one step in which nothing stops it. So what is longer than `SAFE_BYTES` is parsed first
by a fork of a small process, which takes milliseconds. Where processes do not fork (Windows), there are no limits.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
from importlib import import_module
from typing import BinaryIO

from multiscale_transformer.errors import AxlError

SAFE_BYTES = 1 << 12  # of 2,137 made-up repetitions as long the worst took 2.5 s, and another 0.85 GB
MAX_SECONDS = 10  # of the processor; a megabyte of code that people write takes one
MAX_MEMORY = 1 << 30
_LENGTH = struct.Struct("<Q")  # before each text
_YES, _NO = b"y", b"n"


class Probe:
    """Answers for texts in one language; the process starts with the first that is long, and ends with the `with` block."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def can_parse(self, content: bytes) -> bool:
        """Whether the parser reads a text within the limits. Raises AxlError where the process cannot do its work."""
        if len(content) <= SAFE_BYTES or not hasattr(os, "fork"):
            return True
        if self._process is None:
            command = [sys.executable, "-m", __name__, self._module]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(_LENGTH.pack(len(content)) + content)
            self._process.stdin.flush()
        answer = self._process.stdout.read(1)
        if not answer:
            raise AxlError("the process that tries out how long texts parse has ended; is there memory left?")
        return answer == _YES


def _answer(content: bytes, module: str) -> bytes:
    """Parse in a fork. A signal, or running out of memory, is a no."""
    pid = os.fork()
    if not pid:
        status = 1
        with contextlib.suppress(MemoryError):
            from tree_sitter import Language, Parser

            parser = Parser(Language(import_module(module).language()))
            _limit()
            parser.parse(content)
            status = 0
        os._exit(status)
    return _NO if os.waitpid(pid, 0)[1] else _YES


def _limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(requests: BinaryIO, answers: BinaryIO, module: str) -> None:
    """Answer for one text after the other until there are no more."""
    for name in ("tree_sitter", module):  # once, before the forks
        import_module(name)
    while length := requests.read(_LENGTH.size):
        answers.write(_answer(requests.read(*_LENGTH.unpack(length)), module))
        answers.flush()


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer, sys.argv[1])
