"""Which documents a person means: by their whole path, by a name that only one has, or all of a source."""

from __future__ import annotations

import os
from collections.abc import Collection

from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.document import path_of

Key = tuple[str, str]
_SHOWN = 4  # candidates in a message


def matching(given: str, keys: Collection[Key], where: str) -> list[Key]:
    """The documents (source, name) of `keys` that `given` means: one, or all of a source.

    Raises AxlError when there is none, or when several are called so.
    """
    whole = {given, os.path.abspath(given).replace(os.sep, "/")}
    if matches := [key for key in keys if path_of(*key) in whole]:
        return _only(given, matches)
    if matches := [key for key in keys if key[0] in whole and key[0]]:
        return matches
    if matches := [key for key in keys if key[1] == given]:
        return _only(given, matches)
    ending = "/" + given.replace(os.sep, "/").lstrip("/")
    if matches := [key for key in keys if path_of(*key).endswith(ending)]:
        return _only(given, matches)
    raise AxlError(f"{where} holds no document {given}")


def _only(given: str, matches: list[Key]) -> list[Key]:
    if len(matches) == 1:
        return matches
    paths = sorted(path_of(*key) for key in matches)
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    raise AxlError(f"{given} may be any of {', '.join(paths[:_SHOWN])}{more}; give the whole path of one")
