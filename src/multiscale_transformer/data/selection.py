"""What the user says about which files count: `--include` and `--exclude`.

It is part of what a run was trained on, so it is stored with the run: `--resume` and `axl eval` read the same files again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from multiscale_transformer.data.ignoring import Rules, rules_from_lines
from multiscale_transformer.data.names import carried, shown
from multiscale_transformer.errors import AxlError

_KINDS = ("include", "exclude")


@dataclass(frozen=True)
class Selection:
    """Patterns in the syntax of .gitignore, relative to each path that is read.

    `include` adds what would be dropped for its suffix, its folder or a .gitignore: `*.dat`, or `target/` for a whole folder.
    A folder that is skipped is entered only for a pattern that names it. `exclude` drops, whatever else holds.

    Raises AxlError for a pattern that cannot be understood.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for kind in _KINDS:
            for pattern in getattr(self, kind):
                if rules_from_lines("", [pattern]) is None:
                    raise AxlError(
                        f"--{kind} {shown(pattern)!r} is no pattern; write it as in a .gitignore: *.dat, docs/ or a/b.py"
                    )

    @classmethod
    def of(cls, include: Sequence[str] | None, exclude: Sequence[str] | None) -> Selection:
        """The selection of a command line."""
        return cls(*(tuple(carried(pattern).removeprefix("./") for pattern in given or ()) for given in (include, exclude)))

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Selection:
        """What `as_json` gave; runs of before there was a selection have none."""
        return cls(*(tuple(map(str, fields.get(kind, ()))) for kind in _KINDS))

    def as_json(self) -> dict[str, list[str]]:
        """The patterns by kind, without a kind that has none."""
        return {kind: list(getattr(self, kind)) for kind in _KINDS if getattr(self, kind)}

    def excludes(self, name: str, *, is_folder: bool) -> bool:
        """Whether the carried `name`, relative to the path that is read, is excluded."""
        return _rule(self._excluded, name, is_folder)

    def includes(self, name: str, *, is_folder: bool) -> bool:
        """Whether `name` is included by name, whatever speaks against it."""
        return _rule(self._included, name, is_folder)

    def names_folder(self, name: str) -> bool:
        """Whether a pattern of `include` has the last part of the folder's `name` as a part, so that it is to be entered."""
        return name.rpartition("/")[2] in self._included_parts

    @cached_property
    def _excluded(self) -> Rules | None:
        return rules_from_lines("", self.exclude)

    @cached_property
    def _included(self) -> Rules | None:
        return rules_from_lines("", self.include)

    @cached_property
    def _included_parts(self) -> frozenset[str]:
        return frozenset(part for pattern in self.include for part in pattern.split("/"))


EVERYTHING = Selection()


def _rule(rules: Rules | None, name: str, is_folder: bool) -> bool:
    return rules is not None and bool(rules.verdict(f"/{name}", is_folder=is_folder))
