"""What a tool is and what a call of one is: JSON schemas as OpenAI's clients send them.

The server's dialects and the router read tools through this module, so both mean the same by them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from multiscale_transformer.errors import AxlError

Schema = dict[str, Any]
NUMERIC = ("integer", "number")
MAX_DEPTH = 8  # of parameters within parameters that are looked at


@dataclass(frozen=True)
class Tool:
    """A function that a model may ask for."""

    name: str
    description: str = ""
    parameters: Schema = field(default_factory=lambda: {"type": "object"})

    @property
    def call_schema(self) -> Schema:
        """JSON schema of a call; arguments that the tool does not name are not made up."""
        arguments = {"additionalProperties": False, **self.parameters} if "properties" in self.parameters else self.parameters
        return {
            "type": "object",
            "properties": {"name": {"const": self.name}, "arguments": arguments},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool; `arguments` are JSON."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Parameter:
    """A parameter by its name, and whether a call without it is one."""

    name: str
    schema: Schema
    required: bool

    @property
    def description(self) -> str:
        """What is said of it, or nothing."""
        return str(self.schema.get("description") or "")

    @property
    def choices(self) -> list[Any]:
        """The values it may have, its own or those of its items, where they are listed."""
        found = self.schema.get("enum")
        if found is None and isinstance(self.schema.get("items"), dict):
            found = self.schema["items"].get("enum")
        return list(found) if isinstance(found, list) else []


def tools_of(schemas: Iterable[object]) -> list[Tool]:
    """Tools from a request's `tools`: functions as they are, or each within {"type": "function"}.

    Raises AxlError for what is no schema of a function.
    """
    found = []
    for schema in schemas:
        inner = schema.get("function", schema) if isinstance(schema, dict) else None
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str) or not inner["name"]:
            raise AxlError("tools: each is an object with the name, description and parameters of a function")
        parameters = inner.get("parameters") or {"type": "object"}
        if not isinstance(parameters, dict):
            raise AxlError(f"tools: the parameters of {inner['name']} are no JSON schema")
        found.append(Tool(inner["name"], str(inner.get("description") or ""), parameters))
    return found


def parameters_of(schema: Schema) -> list[Parameter]:
    """The parameters of an object's schema, in its order."""
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict):
        return []
    needed = set(map(str, required)) if isinstance(required, list) else set()
    return [Parameter(name, inner, name in needed) for name, inner in properties.items() if isinstance(inner, dict)]


def all_parameters(schema: Schema, depth: int = MAX_DEPTH) -> Iterator[Parameter]:
    """Parameters with those within them, down to `depth`; what is in an optional one is optional."""
    for parameter in parameters_of(schema) if depth else ():
        yield parameter
        inner = parameter.schema.get("items") if type_of(parameter.schema) == "array" else parameter.schema
        for below in all_parameters(inner, depth - 1) if isinstance(inner, dict) else ():
            yield Parameter(below.name, below.schema, below.required and parameter.required)


def type_of(schema: Schema) -> str:
    """The type of a value: of several the first that is not null; a string where none is said."""
    found = schema.get("type")
    names: Sequence[object] = found if isinstance(found, list) else [found]
    kept = next((str(name) for name in names if name not in (None, "null")), None)
    if kept is not None:
        return kept
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return json_type(choices[0])
    return "object" if "properties" in schema else "string"


def json_type(value: object) -> str:
    """The name that JSON schema has for the type of a value."""
    names = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object", type(None): "null"}
    return names.get(type(value), "string")
