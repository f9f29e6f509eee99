"""Rules in the syntax of .gitignore: which paths they rule out.

The patterns come from folders that nobody vouches for. Python's regular expressions need exponential time for some of them
(`*a*a*a*a*a*b`), RE2 never does; patterns and names are matched as bytes, as git does, so names that are no UTF-8 match too.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import re2
from pathspec import GitIgnoreSpec

from multiscale_transformer.data.names import native
from multiscale_transformer.data.reading import read_whole

_MAX_BYTES = 1 << 20  # of a file of rules
_LONGEST = 1_000  # bytes of a pattern; no path that it could name is much longer
_TOGETHER = 64  # patterns in one automaton: RE2 bounds its memory, thousands do not fit


@dataclass(frozen=True)
class Rules:
    """The patterns of one file. They are relative to the folder `base`, an absolute carried path (`/` as an empty one)."""

    base: str
    specs: tuple[GitIgnoreSpec, ...]

    def verdict(self, path: str, *, is_folder: bool) -> bool | None:
        """Whether the absolute carried `path` below `base` is ruled out (True), in (False), or neither (None)."""
        name = _bytewise(path[len(self.base) + 1 :]) + "/" * is_folder
        for spec in reversed(self.specs):
            include = spec.check_file(name).include
            if include is not None:
                return include
        return None


def rules_from_lines(base: str, lines: Iterable[str]) -> Rules | None:
    """Rules of carried `lines`; patterns that cannot be understood are dropped, as git does. None when no pattern is left."""
    patterns = [_bytewise(line) for line in lines]
    patterns = [line for line in patterns if line.strip() and not line.startswith("#") and len(line) <= _LONGEST]
    specs = [spec for at in range(0, len(patterns), _TOGETHER) for spec in _compiled(patterns[at : at + _TOGETHER])]
    return Rules(base, tuple(specs)) if specs else None


def rules_in_file(base: str, path: str, *, follow: bool = False) -> Rules | None:
    """Rules of the file at the carried `path`, None where there is none. A link is not followed, as git does not."""
    content = read_whole(native(path), _MAX_BYTES, follow=follow)
    if content is None:
        return None
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    return rules_from_lines(base, (line.removesuffix("\r") for line in text.split("\n")))


def ruled_out(chain: Iterable[Rules], path: str, *, is_folder: bool) -> bool:
    """The verdict of the last of `chain` that has one on the absolute carried `path`."""
    for rules in reversed(tuple(chain)):
        verdict = rules.verdict(path, is_folder=is_folder)
        if verdict is not None:
            return verdict
    return False


def _compiled(patterns: list[str]) -> list[GitIgnoreSpec]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `[[` is odd in Python and common in no one's rules
            return [GitIgnoreSpec.from_lines(patterns, backend="re2")]
    except (ValueError, re.error, re2.error):
        if len(patterns) == 1:
            return []
        middle = len(patterns) // 2
        return _compiled(patterns[:middle]) + _compiled(patterns[middle:])


def _bytewise(text: str) -> str:
    """One character for each byte."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")
