"""Requests to the tools of the lab with real names in them: of files, functions, tests, lines and errors of installed packages.

Phrases and packages are split alike (`router_phrases`, `tasks.examples`): a request of the test has a phrase that no other
split has, about a package that no other split names.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.router_phrases import ARGUMENTS, FIXED, PHRASES, Split, split_of_phrase
from multiscale_transformer.data.installed import permissive_packages
from multiscale_transformer.tasks.examples import split_of

FILES_OF_PACKAGE = 6
MAX_FILE = 60_000  # characters of a file that names are taken from
ERRORS = (
    "KeyError: '{name}'", "AttributeError: 'NoneType' object has no attribute '{name}'",
    "NameError: name '{name}' is not defined",
    "ModuleNotFoundError: No module named '{module}'", "ImportError: cannot import name '{name}' from '{module}'",
    "TypeError: {name}() missing 1 required positional argument: 'self'", "IndexError: list index out of range",
    "RecursionError",
    "FileNotFoundError: [Errno 2] No such file or directory: '{file}'", "ZeroDivisionError: division by zero", "AssertionError",
    "TypeError: {name}() got an unexpected keyword argument 'timeout'", "ValueError: too many values to unpack (expected 2)",
    "UnicodeDecodeError", "TypeError: unhashable type: 'list'", "SyntaxError: invalid syntax", "StopIteration",
    "UnboundLocalError: cannot access local variable '{name}'", "ValueError: invalid literal for int() with base 10: '{name}'",
)  # fmt: skip
CODE = (
    "print({n} * {m})", "import {module}; print({module}.__name__)", "len('{name}')", "sum(range({n}))",
    "[x ** 2 for x in range({n})]",
    "'{name}'.upper()", "sorted('{name}')", "from {module} import {name}", "{n} ** {m} % 7", "print('{name}'[::-1])",
    "for i in range({n}): print(i)", "max({n}, {m})", "import sys; print(sys.version)", "dict(zip('ab', [{n}, {m}]))",
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A request, the tool that it asks for, and the arguments of the call."""

    request: str
    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Names:
    """What a file of a package gives to fill in."""

    file: str
    functions: tuple[str, ...]
    lines: tuple[str, ...]


def requests(split: Split, *, each: int, seed: int = 0) -> list[Asked]:
    """For every phrase of a split `each` requests about packages of the same split, the same ones for the same packages."""
    rng = random.Random(f"{split} {seed}")
    names = list(_names(split))
    found = []
    for tool, phrases in PHRASES.items():
        for phrase in phrases:
            if split_of_phrase(phrase) == split:
                found += [_filled(tool, phrase, rng.choice(names), rng) for _ in range(each if "{" in phrase else 1)]
    return found


def _names(split: Split) -> Iterator[Names]:
    for package in permissive_packages(max_bytes=1 << 40, without=("axl",)):
        if split_of(package.name.lower()) != split:
            continue
        files = list(package.files())
        random.Random(package.name).shuffle(files)
        found = (_names_of(name, path) for name, path in files[: 4 * FILES_OF_PACKAGE])
        yield from islice((names for names in found if names.functions and names.lines), FILES_OF_PACKAGE)


def _names_of(name: str, path: Path) -> Names:
    text = path.read_text(encoding="utf-8", errors="replace")[:MAX_FILE]
    lines = (line.strip() for line in text.splitlines())
    return Names(
        name,
        tuple(dict.fromkeys(_functions(text))),
        tuple(line for line in lines if 8 < len(line) < 60 and "`" not in line and "#" not in line),
    )


def _functions(text: str) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
            if isinstance(node, ast.ClassDef):
                yield from (
                    f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef) and one.name[:1] != "_"
                )


def _filled(tool: str, phrase: str, names: Names, rng: random.Random) -> Asked:
    folder, _, base = names.file.rpartition("/")
    line = rng.randrange(1, 400)
    name = rng.choice(names.functions)
    values: dict[str, Any] = {
        "file": names.file,
        "folder": folder if "/" in folder else f"{folder}/",  # as people write one that is no path
        "name": name,
        "phrase": " ".join(re.findall(r"\w+", rng.choice(names.lines))[:4]),
        "line": line,
        "last": line + rng.randrange(1, 40),
        "text": rng.choice(names.lines),
        "tests": f"tests/test_{base}",
        "test": f"test_{name.rpartition('.')[2].lower().strip('_')}",
    }
    rest = {"module": folder.replace("/", "."), "n": rng.randrange(2, 90), "m": rng.randrange(2, 90)} | values
    values |= {"error": rng.choice(ERRORS).format(**rest), "code": rng.choice(CODE).format(**rest)}
    slots = re.findall(r"\{(\w+)\}", phrase)
    given = {ARGUMENTS[tool][slot]: values[slot] for slot in slots}
    return Asked(phrase.format(**values), tool, FIXED.get(tool, {}) | given)


def is_right(asked: Asked, arguments: dict[str, Any]) -> bool:
    """Whether arguments are those that a request gives, texts without spaces, stops and slashes at their ends."""
    return _plain(arguments) == _plain(asked.arguments)


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value.strip(" .?!/") if isinstance(value, str) else value for name, value in arguments.items()}
