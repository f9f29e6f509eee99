"""Fields from files as checked models: what is wrong is said in one line, with its place and the names that are near."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from multiscale_transformer.errors import AxlError, unknown_name

T = TypeVar("T", bound=BaseModel)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds. Raises AxlError when it cannot be read."""
    if not path.is_file():
        raise AxlError(f"there is no config file {path}; give the path of a YAML file or the name of a shipped model")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: bytes, and dates that are none
        raise AxlError(f"cannot read {path}: {' '.join(str(error).split())}; it must be a YAML file") from error


def validated(kind: type[T], fields: Any, source: str) -> T:
    """`fields` as a `kind`. Raises AxlError with one line that names `source`."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise AxlError(f"{source} is not a valid config: {_explained(kind, error)}") from error


def _explained(kind: type[BaseModel], error: ValidationError) -> str:
    """The first thing that is wrong, with the place of it; an unknown field lists the near ones."""
    first = error.errors()[0]
    *place, last = [str(part) for part in first["loc"]] or [""]
    if first["type"] == "extra_forbidden":
        return str(unknown_name("field", last, _at(kind, place).model_fields))
    where = ".".join([*place, last]).strip(".")
    what = "it must hold named fields, like d_model: 256" if first["type"] == "model_type" else first["msg"]
    return f"{where + ': ' if where else ''}{what.removeprefix('Value error, ')}"


def _at(kind: type[BaseModel], place: list[str]) -> type[BaseModel]:
    """The model that a field of a model holds, or of which it holds a list or a choice, and so on along `place`."""
    kinds = [kind]
    for name in place:
        if name.isdigit():  # the place in a list, whose items are of one kind
            continue
        if (field := kinds[0].model_fields.get(name)) is not None:
            parts = [field.annotation, *getattr(field.annotation, "__args__", ())]
            kinds = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        else:  # the tag of a choice, its member's `kind`, or the key of a dict
            kinds = [part for part in kinds if getattr(part.model_fields.get("kind"), "default", "") == name] or kinds
    return kinds[0]
