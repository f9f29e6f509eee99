"""Words for pages: sentences, headings, labels and code of Python's own library, so that no page is made of a word list.

Modules are split by the hash of their names: the words on pages of the test are of modules that no page to train on quotes.
What a page says depends on the version of Python, which the manifest of a data set names.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

HELD_OUT = 0.25  # share of the modules whose words are for the tests
MODULES = 160  # that are read, in the order of the hashes of their names: enough words, in about a second
SOURCE = f"standard library of Python {sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
_SENTENCE = re.compile(r"[A-Z][^.!?<>`|=_*\\]{15,300}[.!?](?=\s|$)")


@dataclass
class Texts:
    """What may be quoted: whole sentences, names as words ("Read text"), and lines of code."""

    sentences: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    code: list[tuple[str, ...]] = field(default_factory=list)

    def sentence(self, rng: Random, most: int = 300) -> str:
        """A sentence of at most so many characters, which is cut at a word where it has more."""
        return cut(rng.choice(self.sentences), most)

    def paragraph(self, rng: Random, characters: int) -> str:
        """Sentences, about so many characters of them."""
        found = ""
        while len(found) < characters:
            found += (" " if found else "") + rng.choice(self.sentences)
        return cut(found, characters + 20)

    def name(self, rng: Random, words: int = 2) -> str:
        """A name of at most so many words."""
        return " ".join(rng.choice(self.names).split()[:words]).capitalize()

    def heading(self, rng: Random) -> str:
        """A few words: the beginning of a sentence, or a name."""
        if rng.random() < 0.4:
            return self.name(rng, 3)
        return " ".join(rng.choice(self.sentences).split()[: rng.randint(2, 5)]).rstrip(".,;:!?")

    def lines(self, rng: Random, count: int, width: int = 44) -> str:
        """So many lines of code, or fewer, none wider than `width` characters."""
        return "\n".join(line[:width] for line in rng.choice(self.code)[:count])


def cut(text: str, most: int) -> str:
    """At most so many characters, whole words."""
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0].rstrip(" ,;:")


@cache
def texts(*, held_out: bool) -> Texts:
    """The words for the tests, or those for pages to train on."""
    found = Texts()
    for name, text in _modules():
        at = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
        if (at < HELD_OUT) == held_out:
            _read(text, found)
    return found


def _modules() -> Iterator[tuple[str, str]]:
    """Names and texts of modules of the standard library, without its tests."""
    folder = Path(sysconfig.get_path("stdlib"))
    paths = [
        path for pattern in ("*.py", "*/*.py") for path in folder.glob(pattern) if not _is_foreign(path.relative_to(folder))
    ]
    by_hash = sorted(paths, key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())
    for path in by_hash[:MODULES]:
        yield path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8", errors="replace")


def _is_foreign(path: Path) -> bool:
    return path.parts[0] in {"site-packages", "dist-packages", "test", "idlelib", "lib2to3", "this.py"} or "test" in path.stem


def _read(text: str, found: Texts) -> None:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        words = " ".join((ast.get_docstring(node) or "").split())
        found.sentences += [sentence for sentence in _SENTENCE.findall(words) if sentence.isascii()]
        if isinstance(node, ast.FunctionDef):
            name = node.name.strip("_").replace("_", " ")
            if 3 <= len(name) <= 24 and name.isascii():
                found.names.append(name)
            lines = tuple(line.rstrip() for line in ast.unparse(node.body[-1]).splitlines())
            if len(lines) >= 2 and all(line.isascii() for line in lines):
                found.code.append(lines)
