"""Keeping benchmarks out of training data: shared runs of 13 tokens, and functions that a benchmark asks for.

Tokens are words and marks, without spaces and without case, so that neither layout nor a renamed file hides a copy. 13 of them
in a row are the length that Brown et al. 2020 (appendix C) chose. A function with the name and the number of parameters of one
that a benchmark asks for is dropped too, whatever its body.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from multiscale_transformer.errors import AxlError

RUN = 13
SUFFIXES = (".jsonl", ".jsonl.gz", ".json")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_FUNCTION = re.compile(r"\bdef\s+(\w+)\s*\(([^()]*)\)")
_MIN_NAME = 6  # characters: `add(a, b)` says nothing


class Decontamination:
    """The texts of benchmarks, and whether another text holds some of them."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._runs: set[int] = set()
        self._functions: set[tuple[str, int]] = set()
        for text in texts:
            self._runs.update(_runs(text))
            self._functions.update(_functions(text))

    @classmethod
    def of_folder(cls, folder: Path) -> Decontamination:
        """All strings in the JSON files below a folder. Raises AxlError where there is none, or one cannot be read."""
        paths = sorted(path for path in folder.rglob("*") if path.name.endswith(SUFFIXES) and path.is_file())
        if not paths:
            raise AxlError(f"{folder} holds no benchmark as JSON lines; name the folder of HumanEval, MBPP and their like")
        return cls(text for path in paths for text in _strings_in(path))

    def finds(self, text: str) -> str | None:
        """Why a text is to be dropped; None where it holds nothing of a benchmark."""
        if any(run in self._runs for run in _runs(text)):
            return f"{RUN} tokens of a benchmark"
        if any(function in self._functions for function in _functions(text)):
            return "a function that a benchmark asks for"
        return None


def _runs(text: str) -> Iterator[int]:
    tokens = _TOKEN.findall(text.lower())
    for k in range(len(tokens) - RUN + 1):
        yield hash(tuple(tokens[k : k + RUN]))


def _functions(text: str) -> Iterator[tuple[str, int]]:
    for name, parameters in _FUNCTION.findall(text):
        if len(name) >= _MIN_NAME and not name.startswith("__"):
            yield name, len([one for one in parameters.split(",") if one.strip() and one.strip() not in ("self", "cls")])


def _strings_in(path: Path) -> Iterator[str]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode()
        rows = [json.loads(line) for line in text.splitlines() if line.strip()] if "jsonl" in path.name else [json.loads(text)]
    except (OSError, ValueError) as error:
        raise AxlError(f"{path} is no benchmark that can be read ({error})") from None
    for row in rows:
        yield from _strings(row)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)
