"""Places as an editor asks, and what a person keeps of the answers."""

from __future__ import annotations

import pytest

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.editing import (
    KINDS,
    WITHOUT_SUFFIX,
    Answer,
    Place,
    common_length,
    draw_places,
    ends_right,
    runs_on,
    score_places,
)

CODE = b"""import os


def area(side):
    if side < 0:
        raise ValueError(side)
    return side * side


x = area(2)
"""


def files(count: int = 6) -> Documents:
    return Documents.from_items((f"pkg/{number}.py", CODE.replace(b"area", b"area%d" % number)) for number in range(count))


@pytest.mark.parametrize("kind", KINDS)
def test_places_are_parts_of_files_in_turn(kind) -> None:
    documents = files()
    whole = dict(zip(documents.names, (documents[number] for number in range(len(documents))), strict=True))
    places = draw_places(documents, 12, kind)
    assert len(places) == 12
    assert len({place.name for place in places[:6]}) == 6
    for place in places:
        assert whole[place.name].startswith(place.before + place.wanted)
        assert place.after is None or place.before + place.wanted + place.after == whole[place.name]
        assert (place.after is None) == (kind in WITHOUT_SUFFIX)
        assert (b"\n" in place.wanted) == (kind == "block")
        assert place.language == ".py"
    assert places == draw_places(documents, 12, kind)
    assert places != draw_places(documents, 12, kind, seed=1)


def test_no_place_is_said() -> None:
    with pytest.raises(AxlError, match="no place"):
        draw_places(Documents.from_items([("a", b"\n\n\n")]), 3, "line")


def test_scores_are_of_what_a_person_keeps() -> None:
    places = draw_places(files(), 4, "line")
    answers = iter(
        [
            Answer(places[0].wanted, True, 0.1),
            Answer(places[1].wanted[:2] + b"~", True, 0.2),
            Answer(places[2].wanted + b"\nmore", True, 0.3),
            Answer(places[3].wanted, False, 0.4),
        ]
    )
    score = score_places(places, lambda _: next(answers))["all"]
    assert score.exact == 0.5
    assert score.ends_right == 0.5
    assert score.accepted == (sum(len(place.wanted) for place in places) - len(places[1].wanted) + 2) / 4
    assert score.first_seconds == pytest.approx(0.25)
    assert score.places == 4


def test_bytes_until_the_first_error() -> None:
    assert common_length(b"abc", b"abd") == 2
    assert common_length(b"abc", b"abcde") == 3
    assert common_length(b"", b"x") == 0


def test_an_end_is_right_on_the_same_line_without_what_follows() -> None:
    place = Place("part of a line", "a.py", b"f(", b"x, y", b", z)\n")
    assert ends_right(place, Answer(b"q", True, 0.0))
    assert not ends_right(place, Answer(b"q", False, 0.0))
    assert not ends_right(place, Answer(b"q\nr", True, 0.0))
    assert not ends_right(place, Answer(b"x, y, z)", True, 0.0))


def test_running_on_is_blanks_and_lines_again() -> None:
    assert runs_on(b"x\nx_one\nx_one\n")
    assert runs_on(b"x" + b"\n" * 10)
    assert runs_on(b"x" + b" " * 50 + b"y")
    assert not runs_on(b"x = 1\ny = 2\n\n\nz = 3\n")
    assert not runs_on(b"}\n}\n")
