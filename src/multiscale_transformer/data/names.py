"""Names of files as AXL carries them, opens them and shows them.

A file name is bytes. Python decodes them by the locale, so the same file has other names on another machine, and some names
cannot be written as UTF-8 at all. Everywhere in AXL a name is its bytes read as UTF-8, where each byte that is none stands as a
lone surrogate (PEP 383): the same string, hash and split on every machine. Only opening needs the locale's form, and only
showing needs to be safe: a name can hold line ends and terminal codes.
"""

from __future__ import annotations

import os


def carried(path: str) -> str:
    """The form of a path of this system (of `os.scandir`, `sys.argv` …) that does not depend on the locale."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def native(name: str) -> str:
    """The form of a carried name that opens the file on this system."""
    return os.fsdecode(name.encode("utf-8", "surrogateescape"))


def shown(name: str) -> str:
    """A carried name in one line of printable characters; what is none is escaped as in Python, a stray byte as `\\xe9`."""
    return "".join(character if character.isprintable() else _escaped(character) for character in name)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else character.encode("unicode_escape").decode("ascii")
