"""Calls of a function whose results are known: what a translation of it is held to, and what tells the types of its arguments.

They come from the code and are varied a little, or are made at random. Where nothing says which types a function takes, those
are believed on which it gives the most values. A call on which Python stumbles without meaning to is no part of what the
function does.
"""

from __future__ import annotations

import ast
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.calls import Call, Result, calls_in, results_of
from multiscale_transformer.tasks.javascript import MAX_INTEGER, arguments_of
from multiscale_transformer.tasks.module_driver import Module
from multiscale_transformer.tasks.random_calls import random_calls
from multiscale_transformer.tasks.transpile.types import type_of_value

MOST = 12  # calls that are kept
_RANDOM, _VARIED = 60, 24  # calls that are tried


@dataclass(frozen=True)
class KnownCalls:
    """Calls with the values of their arguments and what Python gave for them: a value, or an exception that the code raises."""

    function: ast.FunctionDef
    calls: list[Call]
    arguments: list[list[Any]]
    results: list[Result]

    @property
    def examples(self) -> list[list[Any]]:
        """Arguments for which there was a value."""
        return [given for given, result in zip(self.arguments, self.results, strict=True) if result.kind == "value"]

    def of(self, sandbox: Sandbox, module: Module) -> KnownCalls:
        """The same calls of another text of the function."""
        return _kept(sandbox, module, self.function, self.calls)


def known_calls(sandbox: Sandbox, module: Module, function: ast.FunctionDef, texts: Iterable[str]) -> KnownCalls:
    """Up to `MOST` calls of a function at the top of a module, those in the texts first."""
    rng = random.Random(function.name)
    written = _kept(sandbox, module, function, calls_in(texts, function.name))
    if not written.calls:
        tried = _kept(sandbox, module, function, list(random_calls(function, _RANDOM, rng)))
        by_types: dict[str, list[Call]] = defaultdict(list)
        for call, given, result in zip(tried.calls, tried.arguments, tried.results, strict=True):
            if result.kind == "value":
                by_types[repr([type_of_value(value) for value in given])].append(call)
        if not by_types:
            return tried
        calls = max(sorted(by_types.items()), key=lambda item: len(item[1]))[1]
        written = _kept(sandbox, module, function, calls[: MOST // 2])
    if not written.examples:
        return written
    varied = [
        Call(text=_written(function.name, _varied(rng.choice(written.arguments), rng)), source="random") for _ in range(_VARIED)
    ]
    calls = list({call.text: call for call in (*written.calls, *varied)}.values())
    kept = _kept(sandbox, module, function, calls)
    return KnownCalls(function, kept.calls[:MOST], kept.arguments[:MOST], kept.results[:MOST])


def _kept(sandbox: Sandbox, module: Module, function: ast.FunctionDef, calls: Sequence[Call]) -> KnownCalls:
    """The calls that count, with their results."""
    names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
    given = [(call, arguments_of(call, names)) for call in calls]
    usable = [(call, values) for call, values in given if values is not None and not _is_large(values)]
    results = results_of(sandbox, module, [call for call, _ in usable]) if usable else []
    meant = {
        node.id
        for one in ast.walk(function)
        if isinstance(one, ast.Raise) and one.exc
        for node in ast.walk(one.exc)
        if isinstance(node, ast.Name)
    } | {"AssertionError" for one in ast.walk(function) if isinstance(one, ast.Assert)}
    kept = [
        (call, values, result)
        for (call, values), result in zip(usable, results, strict=True)
        if (result.kind == "value" and not _is_large(ast.literal_eval(result.text)))
        or (result.kind == "raised" and result.text in meant)
    ]
    return KnownCalls(
        function, [call for call, _, _ in kept], [values for _, values, _ in kept], [result for _, _, result in kept]
    )


def _is_large(value: object) -> bool:
    """Whether a value holds an integer that JavaScript cannot."""
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_is_large, value))
    if isinstance(value, dict):
        return any(map(_is_large, (*value.keys(), *value.values())))
    return (isinstance(value, int) and abs(value) > MAX_INTEGER) or isinstance(value, bytes | complex)


def _written(name: str, values: Sequence[object]) -> str:
    return f"{name}({', '.join(map(repr, values))})"


def _varied(values: Sequence[object], rng: random.Random) -> list[object]:
    """The arguments of a call, one or two of them a little different, of the same types."""
    varied = list(values)
    for at in {rng.randrange(len(varied)) for _ in range(2)} if varied else ():
        varied[at] = _other(varied[at], rng)
    return varied


def _other(value: Any, rng: random.Random) -> object:  # noqa: PLR0911 - one for each type
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice((-3, -1, 1, 2, 5)) if rng.random() < 0.8 else -value
    if isinstance(value, float):
        return round(value * rng.choice((0.5, 1.5, -1)) + rng.choice((0, 0.25)), 4)
    if isinstance(value, str):
        letters = list(value) or ["a"]
        rng.shuffle(letters)
        return (
            "".join(letters)[: rng.randint(0, len(letters))]
            if rng.random() < 0.4
            else value[::-1]
            if rng.random() < 0.5
            else value.swapcase()
        )
    if isinstance(value, list) or (isinstance(value, tuple) and len(value) > 3):
        items = list(value)
        if items and rng.random() < 0.5:
            items[rng.randrange(len(items))] = _other(rng.choice(items), rng)
        rng.shuffle(items)
        kept = items[: rng.randint(1, len(items))] if items and rng.random() < 0.5 else items
        return tuple(kept) if isinstance(value, tuple) else kept
    if isinstance(value, tuple):
        return tuple(_other(one, rng) for one in value)
    if isinstance(value, dict):
        return {key: _other(one, rng) for key, one in value.items()}
    return value
