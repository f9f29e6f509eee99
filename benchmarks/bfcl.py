"""The Berkeley Function Calling Leaderboard, version 4, from its wheel (`bfcl-eval`, Apache-2.0), and its rules.

The wheel's JSON files are read from a folder that the user names; nothing of them is in this repository. A question is asked
of the tools beside it; each accepted value of each argument is listed, and "" among them means that it may be left out. The
rules are those of the leaderboard's check of syntax trees, for single calls: types as declared, strings alike without spaces,
signs and case.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.errors import AxlError

CHOICES = ("multiple", "live_multiple")  # several tools, one is right
SINGLES = ("simple_python", "live_simple")  # one tool, which is right
IRRELEVANT = ("irrelevance", "live_irrelevance")  # no tool is right
CATEGORIES = (*CHOICES, *SINGLES, *IRRELEVANT)
TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string", "String": "string", "Boolean": "boolean"}
_IGNORED = re.compile(r"[ ,./\-_*^]")

Answers = dict[str, list[Any]]


@dataclass(frozen=True)
class Question:
    """What is asked of which tools; `right` is the tool's name and the accepted values of its arguments, or None."""

    category: str
    id: str
    text: str
    tools: tuple[Tool, ...]
    right: tuple[str, Answers] | None

    @property
    def validates(self) -> bool:
        """Whether weights are learnt from it: by the hash of the part of its id that names its set of tools."""
        parts = self.id.split("-")
        group = f"{parts[0].rpartition('_')[0]}-{parts[1]}" if len(parts) > 1 else self.id
        return hashlib.sha256(group.encode()).digest()[0] < 128


def questions(folder: Path, category: str) -> list[Question]:
    """The questions of a category that have tools, in the order of their file. Raises AxlError where the folder lacks it."""
    rows = _lines(_find(folder, f"BFCL_v4_{category}.json"))
    answers: dict[str, list[Any]] = {}
    if category not in IRRELEVANT:
        path = _find(folder, f"possible_answer/BFCL_v4_{category}.json")
        answers = {row["id"]: row["ground_truth"] for row in _lines(path)}
    found = []
    for row in rows:
        tools = tuple(
            Tool(one["name"], one.get("description") or "", _schema(one.get("parameters") or {})) for one in row["function"]
        )
        text = "\n".join(message["content"] for message in row["question"][0] if message["role"] == "user")
        right = next(iter(answers[row["id"]][0].items())) if row["id"] in answers else None
        if tools:
            found.append(Question(category, row["id"], text, tools, right))
    return found


def _find(folder: Path, name: str) -> Path:
    for place in (folder, folder / "data", folder / "bfcl_eval" / "data"):
        if (place / name).is_file():
            return place / name
    raise AxlError(f"{folder} has no {name}; pip download bfcl-eval, unpack the wheel, and name its folder with --bfcl")


def _lines(path: Path) -> list[Any]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise AxlError(f"cannot read {path} ({error})") from None


def _schema(schema: Any, depth: int = 20) -> Any:
    """A schema with the names of types that JSON schema has."""
    if isinstance(schema, list) and depth:
        return [_schema(one, depth - 1) for one in schema]
    if not isinstance(schema, dict) or not depth:
        return schema
    found = {name: _schema(value, depth - 1) for name, value in schema.items()}
    if isinstance(found.get("type"), str):
        found["type"] = TYPES.get(found["type"], found["type"])
    return found


def right_call(question: Question, name: str, arguments: dict[str, Any]) -> bool:
    """Whether a call is right: its tool, all required arguments, none that is not accepted, and each with an accepted value."""
    if question.right is None or name != question.right[0]:
        return False
    tool = next(tool for tool in question.tools if tool.name == name)
    properties, accepted = tool.parameters.get("properties") or {}, question.right[1]
    if any(one not in arguments for one in tool.parameters.get("required") or ()):
        return False
    if any(one not in accepted or one not in properties for one in arguments):
        return False
    return all(
        accepts(values, arguments.get(one), properties.get(one) or {}, given=one in arguments)
        for one, values in accepted.items()
    )


def accepts(values: list[Any], value: Any, schema: dict[str, Any], *, given: bool = True) -> bool:
    """Whether a value is among the accepted ones, and of the type that is declared or that an accepted one has."""
    if not given:
        return "" in values
    declared = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}.get(
        str(schema.get("type"))
    )
    if declared is float and type(value) is int:
        value = float(value)
    types = {declared} | {type(one) for one in values if one != ""}
    if type(value) not in types:
        return False
    if isinstance(value, dict):
        return any(_same_object(one, value) for one in values if isinstance(one, dict))
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        lists = [one for one in values if isinstance(one, list) and len(one) == len(value)]
        return any(all(isinstance(e, dict) and _same_object(e, v) for e, v in zip(one, value, strict=True)) for one in lists)
    return any(_plain(value) == _plain(one) for one in values)


def _same_object(accepted: Answers, value: dict[str, Any]) -> bool:
    """Whether each value within an object is accepted for its key, and what is missing may be."""
    if any(key not in accepted for key in value):
        return False
    return all(
        any(_plain(value[key]) == _plain(one) for one in _list(values)) if key in value else "" in _list(values)
        for key, values in accepted.items()
    )


def _list(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _plain(value: Any) -> Any:
    """What two values are compared by: strings without spaces and signs, in small letters."""
    if isinstance(value, str):
        return _IGNORED.sub("", value).lower().replace("'", '"')
    return [_plain(one) for one in value] if isinstance(value, list) else value
