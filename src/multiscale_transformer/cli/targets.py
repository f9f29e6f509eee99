"""FILE[:FUNCTION] on a command line: the file, its parsed text, and the functions in it that are meant."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from multiscale_transformer.errors import AxlError, unknown_name
from multiscale_transformer.tasks.source_text import SourceText, qualified_functions

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Target:
    """A Python file, and functions of it by their qualified names, in the order of the text."""

    path: Path
    source: SourceText
    functions: dict[str, Function]


def split_target(where: str) -> tuple[Path, str]:
    """The file and the function's name, or an empty one. A file whose own name has a colon is the file."""
    name, _, function = where.rpartition(":")
    return (Path(where), "") if Path(where).is_file() or not name else (Path(name), function)


def open_target(where: str) -> Target:
    """The file, and the functions of it: all, or the one that is named, as `function` or `Class.method`.

    Raises AxlError where the file cannot be read or parsed, where there is no such function, and where there is none at all.
    """
    path, wanted = split_target(where)
    try:
        source = SourceText(path.read_bytes().decode())
    except (OSError, UnicodeDecodeError, SyntaxError, ValueError, RecursionError) as error:
        raise AxlError(f"{path} cannot be read as Python ({error})") from None
    functions = dict(qualified_functions(source.tree))
    if not functions:
        raise AxlError(f"{path} has no function")
    if wanted:
        known = next((name for name in functions if name == wanted or name.endswith(f".{wanted}")), None)
        if known is None:
            raise unknown_name(f"function of {path}", wanted, functions)
        functions = {known: functions[known]}
    return Target(path, source, functions)
