"""What a failed test says about the bug, in one word: the kind of error, or how the value that came differs from the right one.

A value one too small asks for another edit than a list in the wrong order or an index out of range. The words are what a table
of weights is kept for (`tasks.fix_order`), so there are few of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sized
from numbers import Number
from typing import Any

from multiscale_transformer.tasks.observe import Observed

ERRORS = (
    "TypeError", "NameError", "UnboundLocalError", "IndexError", "KeyError", "AttributeError", "ValueError",
    "ZeroDivisionError", "RecursionError", "Timeout", "SyntaxError",
)  # fmt: skip
VALUES = (
    "nothing came", "true for false", "another type", "one more", "one less", "another sign", "another number", "another text",
    "one longer", "one shorter", "longer", "shorter", "another order", "other items",
)  # fmt: skip
OTHER = "something else"
SYMPTOMS = (*ERRORS, *VALUES, OTHER)
_NAME = re.compile(r"'([A-Za-z_]\w*)'")


def symptom(failure: Observed) -> str:
    """One of SYMPTOMS."""
    if failure.error in ERRORS:
        return failure.error
    if failure.actual is None or failure.expected is None:
        return OTHER
    try:
        actual, expected = ast.literal_eval(failure.actual), ast.literal_eval(failure.expected)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return "nothing came" if failure.actual == "None" else OTHER
    return _difference(actual, expected)


def named(failure: Observed) -> set[str]:
    """Names that the message of the failure quotes."""
    return set(_NAME.findall(failure.message))


def _difference(actual: Any, expected: Any) -> str:
    if actual is None:
        return "nothing came"
    if isinstance(actual, bool) or isinstance(expected, bool):
        return "true for false" if type(actual) is type(expected) else "another type"
    if isinstance(actual, Number) and isinstance(expected, Number):
        return _of_numbers(actual, expected)
    if type(actual) is not type(expected):
        return "another type"
    if isinstance(actual, Sized):
        return _of_collections(actual, expected)
    return OTHER


def _of_numbers(actual: Any, expected: Any) -> str:
    difference = actual - expected
    if difference in (1, -1):
        return "one more" if difference == 1 else "one less"
    return "another sign" if actual == -expected else "another number"


def _of_collections(actual: Any, expected: Any) -> str:
    more = len(actual) - len(expected)
    if more in (1, -1):
        return "one longer" if more == 1 else "one shorter"
    if more:
        return "longer" if more > 0 else "shorter"
    items = [value.items() if isinstance(value, dict) else value for value in (actual, expected)]
    if sorted(map(repr, items[0])) == sorted(map(repr, items[1])):
        return "another order"
    return "another text" if isinstance(actual, str) else "other items"
