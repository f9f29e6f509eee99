"""The models that a server knows by name.

A name is a checkpoint folder, or a variant of one: the same weights with another system prompt, template or defaults, as
Ollama's `create` makes them. Variants are kept as small files in a folder of the user's; folders of weights are never touched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import CONFIG_FILE, WEIGHTS_FILE, read_config
from multiscale_transformer.model.vision_config import read_vision_config, sees
from multiscale_transformer.server.errors import ApiError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}(/[A-Za-z0-9][A-Za-z0-9._-]{0,79})?(:[A-Za-z0-9._-]{1,40})?\Z")
_NAME_RULE = "letters, digits and . _ - : with at most one /"
LATEST = ":latest"  # Ollama's clients add it to names


class Variant(BaseModel):
    """What `create` changes about a model: its system prompt, its chat template and the defaults of its options."""

    model_config = ConfigDict(extra="forbid")

    folder: str
    system: str = ""
    template: str = ""
    options: dict[str, Any] = {}


@dataclass(frozen=True)
class ModelEntry:
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
class ModelRegistry:
    """All names: the folders the server was started with, and the variants that are stored in `variants`."""

    folders: dict[str, Path]
    variants: Path

    def entries(self) -> list[ModelEntry]:
        """All models, the server's first one first."""
        started_with = [ModelEntry(name, folder) for name, folder in self.folders.items()]
        variants = (entry for path in sorted(self.variants.glob("*.json")) if (entry := self._read(path)) is not None)
        return started_with + [entry for entry in variants if (entry.folder / CONFIG_FILE).is_file()]  # its model is there

    def find(self, name: str | None) -> ModelEntry:
        """The model of this name, or the first one where none is given. Raises ApiError (404) for another.

        A server that was started with one model answers with it whatever it is called: many clients send a name of their own.
        """
        if not name:
            return self.entries()[0]
        try:
            return self.named(name)
        except ApiError:
            if len(self.folders) == 1:
                return self.entries()[0]
            raise

    def named(self, name: str) -> ModelEntry:
        """The model of exactly this name. Raises ApiError (404) for another."""
        entries = self.entries()
        for wanted in (name, name.removesuffix(LATEST)):
            for entry in entries:
                if entry.name == wanted:
                    return entry
        names = ", ".join(entry.name for entry in entries[:8])
        raise ApiError(404, f"model {name!r} not found; there are: {names}", param="model", code="model_not_found")

    def create(self, name: str, variant: Variant) -> None:
        """Keep a variant under a new name, or under the one it had. Raises ApiError for a bad name or one of a folder."""
        name = name.removesuffix(LATEST)
        if not _NAME.match(name):
            raise ApiError(400, f"{name!r} is no name for a model: {_NAME_RULE}")
        if name in self.folders:
            raise ApiError(409, f"{name!r} is a model that the server was started with; choose another name")
        files.write_json(self._path(name), {"name": name, **variant.model_dump()})

    def copy(self, source: str, name: str) -> None:
        """A second name for a model."""
        entry = self.named(source)
        self.create(name, entry.variant or Variant(folder=str(entry.folder)))

    def delete(self, name: str) -> None:
        """Forget a variant. Raises ApiError for the name of a folder, whose weights are not the server's to delete."""
        entry = self.named(name)
        if entry.variant is None:
            raise ApiError(403, f"{name!r} is a folder that the server was started with; it is not deleted from here")
        self._path(entry.name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self.variants / f"{name.replace('/', '%2F').replace(':', '%3A')}.json"

    @staticmethod
    def _read(path: Path) -> ModelEntry | None:
        """The variant in a file; none where somebody has damaged it."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            name = fields.pop("name")
            variant = Variant.model_validate(fields)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError):
            return None
        return ModelEntry(str(name), Path(variant.folder), variant)


def names_of(folders: Iterable[Path], name: str | None) -> dict[str, Path]:
    """A name for each folder: its own, or `name` for the only one. Raises AxlError for no checkpoint or a name given twice."""
    models: dict[str, Path] = {}
    folders = list(folders)
    if name is not None and len(folders) != 1:
        raise AxlError(f"--served-model-name is for one model, and {len(folders)} are given; leave it out")
    for folder in folders:
        read_vision_config(folder) if sees(folder) else read_config(folder)
        served_name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().name).strip("-._") or "model"
        if not _NAME.match(served_name):
            raise AxlError(f"--served-model-name {served_name!r} is no name for a model: {_NAME_RULE}")
        if served_name in models:
            raise AxlError(f"two models are called {served_name}: {models[served_name]} and {folder}; rename a folder")
        models[served_name] = folder.resolve()
    return models
