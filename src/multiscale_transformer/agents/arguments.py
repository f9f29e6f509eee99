"""The arguments of a call, copied from the request: each value is a piece of it, one of those listed, or a default.

For every parameter the candidates (`agents.candidates`) are scored by a learned sum of features, required parameters first
and the surest first among them; a piece that one argument took is no other's. What comes out is held to the tool's schema by
the grammar that constrains decoding (`engine.structured_output`), so a call is valid or it is none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer.agents.candidates import Asked, Candidate, Wanted, candidates, features
from multiscale_transformer.agents.spans import Span
from multiscale_transformer.agents.tool_schema import Parameter, Schema, Tool, parameters_of, type_of
from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vocabulary import EOS
from multiscale_transformer.tasks.fix_order import Order

WEIGHTS_FILE = Path(__file__).with_name("argument_weights.json")
MAX_REQUEST = 4000  # characters of a request that are copied from
MAX_TRIED = 40  # candidates of a parameter that are held to its schema
MAX_DEPTH = 4  # of objects within objects
MAX_OBJECTS = 200  # parameters that are filled in


class ArgumentWeights(BaseModel):
    """Weights of the candidates' features, and how they were learnt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learnt: str
    order: Order


@cache
def load_weights(path: Path = WEIGHTS_FILE) -> ArgumentWeights:
    """Weights from a JSON file. Raises AxlError for one that holds none."""
    try:
        return ArgumentWeights.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise AxlError(f"{path} holds no weights of arguments ({error})") from error


def arguments_of(request: str, tool: Tool, weights: ArgumentWeights | None = None) -> str | None:
    """The arguments of a call of `tool` as JSON that its schema accepts; None where the request lacks what a call needs."""
    filling = _Filling(Asked(request[:MAX_REQUEST]), tool, (weights or load_weights()).order)
    filled = filling.object(tool.parameters, MAX_DEPTH)
    if filled is None:
        return None
    return json.dumps(filled, ensure_ascii=False) if fits(filled, tool.parameters) else None


def fits(value: Any, schema: Schema) -> bool:
    """Whether a schema accepts a value; one that the grammar cannot express accepts nothing."""
    try:
        constraint = GrammarConstraint.json_schema(schema)
        for byte in json.dumps(value, ensure_ascii=False, allow_nan=False).encode():
            constraint.advance(byte)
        return bool(constraint.ended or constraint.allowed()[EOS])
    except (AxlError, ValueError):
        return False


def ranked(asked: Asked, wanted: Wanted, order: Order) -> list[tuple[Candidate, float]]:
    """The candidates of a parameter with their probabilities, likeliest first."""
    found = candidates(asked, wanted)
    if not found:
        return []
    scores = order.scores([features(asked, wanted, one) for one in found]).tolist()
    top = max(scores)
    total = sum(math.exp(score - top) for score in scores)
    pairs = [(one, math.exp(score - top) / total) for one, score in zip(found, scores, strict=True)]
    return sorted(pairs, key=lambda pair: -pair[1])


@dataclass
class _Filling:
    """A call that is being filled in: the pieces of the request that arguments have taken so far."""

    asked: Asked
    tool: Tool
    order: Order
    taken: list[Span] = field(default_factory=list)
    left: int = MAX_OBJECTS

    def object(self, schema: Schema, depth: int) -> dict[str, Any] | None:
        """The values of an object's parameters in its order; None where a required one has none."""
        parameters = parameters_of(schema)
        self.left -= len(parameters)
        if self.left < 0 or depth < 0:
            return None
        waiting = {
            one.name: ranked(self.asked, Wanted(self.tool, one), self.order) for one in parameters if not _is_object(one)
        }
        by_name = {one.name: one for one in parameters}
        values: dict[str, Any] = {}
        for needed in (True, False):
            names = [name for name in waiting if by_name[name].required == needed]
            while names:
                offers = {name: self._free(by_name[name], waiting[name]) for name in names}
                name = max(names, key=lambda one: offers[one][0][1] if offers[one] else -1.0)
                names.remove(name)
                if not offers[name]:
                    if needed:
                        return None
                    continue
                best = offers[name][0][0]
                if not best.left_out:
                    values[name] = best.value
                    self.taken += [best.span] if best.span is not None else []
        for one in filter(_is_object, parameters):
            inner = self.object(_inner(one.schema), depth - 1)
            if inner or (one.required and inner is not None):
                values[one.name] = [inner] if type_of(one.schema) == "array" else inner
            elif one.required:
                return None
        return {one.name: values[one.name] for one in parameters if one.name in values}

    def _free(self, parameter: Parameter, offers: Sequence[tuple[Candidate, float]]) -> list[tuple[Candidate, float]]:
        """The best candidate that no other argument has taken and the schema accepts, alone, or none."""
        for candidate, probability in offers[:MAX_TRIED]:
            if candidate.span is not None and any(map(candidate.span.overlaps, self.taken)):
                continue
            if candidate.left_out or fits(candidate.value, parameter.schema):
                return [(candidate, probability)]
        return []


def _is_object(parameter: Parameter) -> bool:
    return bool(parameters_of(_inner(parameter.schema))) or type_of(parameter.schema) == "object"


def _inner(schema: Schema) -> Schema:
    items = schema.get("items")
    return items if type_of(schema) == "array" and isinstance(items, dict) else schema
