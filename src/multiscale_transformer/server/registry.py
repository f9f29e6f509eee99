"""The models that a server knows by name: where they are, which are loaded, and which have to go when memory is short.

A name is a checkpoint folder, or a variant of one: the same weights with another system prompt, template or defaults, as
Ollama's `create` makes them. Variants are kept as small files in a folder of the user's; folders of weights are never touched.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import CONFIG_FILE, WEIGHTS_FILE, read_config
from multiscale_transformer.server.errors import ApiError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}(/[A-Za-z0-9][A-Za-z0-9._-]{0,79})?(:[A-Za-z0-9._-]{1,40})?\Z")
LATEST = ":latest"  # Ollama's clients add it to names


class Variant(BaseModel):
    """What `create` changes about a model: the words before a chat, and the defaults of its options."""

    model_config = ConfigDict(extra="forbid")

    folder: str
    system: str = ""
    template: str = ""
    options: dict[str, Any] = {}


@dataclass(frozen=True)
class Entry:
    """A model by its name."""

    name: str
    folder: Path
    variant: Variant | None = None

    @property
    def config(self) -> ModelConfig:
        """Raises AxlError where the folder is damaged or gone."""
        return read_config(self.folder)

    @property
    def created(self) -> int:
        """When its weights were written, in seconds since 1970; 0 where they are gone."""
        try:
            return int((self.folder / WEIGHTS_FILE).stat().st_mtime)
        except OSError:
            return 0

    @property
    def weight_bytes(self) -> int:
        """Size of its weights on disk."""
        try:
            return (self.folder / WEIGHTS_FILE).stat().st_size
        except OSError:
            return 0


@dataclass
class Catalogue:
    """All names: the folders the server was started with, and the variants in `kept`."""

    folders: dict[str, Path]
    kept: Path
    started: float = field(default_factory=time.time)

    def entries(self) -> list[Entry]:
        """All models, the server's first one first."""
        named = [Entry(name, folder) for name, folder in self.folders.items()]
        kept = (entry for path in sorted(self.kept.glob("*.json")) if (entry := self._read(path)) is not None)
        return named + [entry for entry in kept if (entry.folder / CONFIG_FILE).is_file()]  # of models that are still there

    def find(self, name: str | None) -> Entry:
        """The model of this name, or the first one where none is given. Raises ApiError (404) for another."""
        entries = self.entries()
        if not name:
            return entries[0]
        for wanted in (name, name.removesuffix(LATEST)):
            for entry in entries:
                if entry.name == wanted:
                    return entry
        known = ", ".join(entry.name for entry in entries[:8])
        raise ApiError(404, f"model {name!r} not found; there are: {known}", param="model", code="model_not_found")

    def create(self, name: str, variant: Variant) -> None:
        """Keep a variant under a new name, or under the one it had. Raises ApiError for a bad name or one of a folder."""
        name = name.removesuffix(LATEST)
        if not _NAME.match(name):
            raise ApiError(400, f"{name!r} is no name for a model: letters, digits and . _ - : with at most one /")
        if name in self.folders:
            raise ApiError(409, f"{name!r} is a model that the server was started with; choose another name")
        files.write_json(self._path(name), {"name": name, **variant.model_dump()})

    def copy(self, source: str, name: str) -> None:
        """A second name for a model."""
        entry = self.find(source)
        self.create(name, entry.variant or Variant(folder=str(entry.folder)))

    def delete(self, name: str) -> None:
        """Forget a variant. Raises ApiError for the name of a folder, whose weights are not the server's to delete."""
        entry = self.find(name)
        if entry.variant is None:
            raise ApiError(403, f"{name!r} is a folder that the server was started with; it is not deleted from here")
        self._path(entry.name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.kept / f"{name.replace('/', '%2F').replace(':', '%3A')}.json"

    @staticmethod
    def _read(path: Path) -> Entry | None:
        """The variant in a file; none where somebody has damaged it."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            name = fields.pop("name")
            variant = Variant.model_validate(fields)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError):
            return None
        return Entry(str(name), Path(variant.folder), variant)


def names_of(folders: Iterable[Path], name: str | None) -> dict[str, Path]:
    """A name for each folder: its own, or `name` for the only one. Raises AxlError for no checkpoint or a name given twice."""
    named: dict[str, Path] = {}
    folders = list(folders)
    if name is not None and len(folders) != 1:
        raise AxlError(f"--name is for one model, and {len(folders)} are given; leave it out")
    for folder in folders:
        read_config(folder)
        called = name or re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._") or "model"
        if not _NAME.match(called):
            raise AxlError(f"--name {called!r} is no name for a model: letters, digits and . _ - : with at most one /")
        if called in named:
            raise AxlError(f"two models are called {called}: {named[called]} and {folder}; rename a folder")
        named[called] = folder.resolve()
    return named
