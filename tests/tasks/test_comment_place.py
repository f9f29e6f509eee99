"""Where comments stand: learnt from functions that have some, on any function that Python reads."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from multiscale_transformer.tasks.comment_lines import Block, statement_places
from multiscale_transformer.tasks.comment_place import MIN_TIMES, features_of, learn_places, likely_places, load_place
from multiscale_transformer.tasks.source_text import SourceText

LOOP = "def f{0}(a):\n    b = a + {0}\n    for c in b:\n        b += c\n    return b"
PLAIN = "def g{0}(a):\n    b = a - {0}\n    b *= {0}\n    return b"


def test_what_people_do_is_learnt() -> None:
    loops = [(LOOP.format(number), [Block(2, ())]) for number in range(2 * MIN_TIMES)]
    plain = [(PLAIN.format(number), []) for number in range(2 * MIN_TIMES)]  # that have none teach nothing
    order = learn_places([*loops, *plain])
    assert likely_places(LOOP.format(999), order) == [2]
    behind = learn_places([(code, [Block(4, ())]) for code, _ in loops])
    assert likely_places(LOOP.format(999), behind) == [4]


def test_several_places_that_are_about_as_likely_all_get_one() -> None:
    code = "def f{0}(a):\n    for b in a:\n        a += b\n    x = {0}\n    for c in a:\n        a -= c\n    return a"
    order = learn_places([(code.format(number), [Block(1, ()), Block(4, ())]) for number in range(2 * MIN_TIMES)])
    assert likely_places(code.format(999), order) == [1, 4]


@pytest.mark.parametrize(
    "code", ["def f(): pass", "def f():\n    'doc'", "async def é(a):\n    async with a:\n        return 1"]
)
def test_any_function_has_features(code: str) -> None:
    lines, features = features_of(code)
    assert lines == list(statement_places(code))
    assert len(features) == len(lines)
    assert all(features)


def test_lines_of_the_library_are_those_at_which_a_statement_begins() -> None:
    chosen = 0
    for path in sorted(Path(ast.__file__).parent.glob("t*.py"))[:12]:
        source = SourceText(path.read_text())
        for node in source.functions():
            begin, end = source.whole_lines(node)
            code = source.text[begin:end]
            found = likely_places(code)
            assert found == sorted(found)
            assert set(found) <= set(statement_places(code))
            assert bool(found) == bool(statement_places(code))
            chosen += bool(found)
    assert chosen


def test_the_weights_in_the_package_are_of_features_that_are_made() -> None:
    names = {name for number in range(9) for one in features_of(LOOP.format(number))[1] for name in one}
    assert names & load_place().weights.keys()
