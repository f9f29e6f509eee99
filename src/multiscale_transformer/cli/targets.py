"""What commands are pointed at: FILE[:FUNCTION] and the functions that are meant, the file they write, the test they run."""

from __future__ import annotations

import ast
import shlex
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


def target_text(path: Path) -> str:
    """The text of a file that is to be written, empty where there is none. Raises AxlError where it is no file of text."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise AxlError(f"{path} cannot be read as text ({error}); name another file") from None


def words_of(command: str) -> tuple[str, ...]:
    """The words of --test, which may be none. Raises AxlError where they cannot be told apart."""
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise AxlError(f"--test {command!r} cannot be read as a command ({error}); quote it as for a shell") from None
