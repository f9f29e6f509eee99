"""Line completion: the right lines are drawn, and what is written is compared as it is said."""

from __future__ import annotations

import pytest

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation import lines
from multiscale_transformer.evaluation.lines import MAX_LINE_BYTES, MIN_LINE_BYTES, Line, draw_lines, score_lines
from tiny import model_of

TEXT = b"import os\n\n\ndef f(width):\n    return width\n)\n" + b"x" * (MAX_LINE_BYTES + 1) + b"\n    height = 100  # last"


def test_lines_are_those_between_short_and_long_after_the_first() -> None:
    drawn = draw_lines(Documents.from_items([("a.py", TEXT)]), 100)
    assert [line.text for line in drawn] == ["def f(width):", "return width", "height = 100  # last"]
    for line in drawn:
        assert TEXT.startswith(line.before)
        assert TEXT[len(line.before) :].splitlines()[0].strip().decode() == line.text
        assert MIN_LINE_BYTES <= len(line.text) <= MAX_LINE_BYTES


def test_the_same_seed_draws_the_same_lines() -> None:
    documents = Documents.from_items((f"{n}.py", TEXT) for n in range(30))
    assert draw_lines(documents, 10) == draw_lines(documents, 10)
    assert draw_lines(documents, 10) != draw_lines(documents, 10, seed=1)
    assert len(draw_lines(documents, 10)) == 10


def test_no_line_is_said() -> None:
    with pytest.raises(AxlError, match="no line"):
        draw_lines(Documents.from_items([("a", b"a\nb\n")]), 5)


def test_exact_and_similar_are_of_the_line_without_white_space_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    written = iter([["    ret", "urn width"], ["return height"], []])
    monkeypatch.setattr(lines, "stream_text", lambda *_: iter(next(written)))
    asked = [Line("a", b"x\n", "return width"), Line("a", b"x\n", "return width "[:-1]), Line("a", b"x\n", "return width")]
    told: list[int] = []
    score = score_lines(model_of(), asked, on_line=lambda: told.append(1))
    assert score.exact == pytest.approx(1 / 3)
    wrong = 5  # of 13 characters: w-i-d-t-h to h-e-i-g-h-t
    assert score.similarity == pytest.approx((1 + (1 - wrong / 13) + 0) / 3)
    assert (score.lines, len(told)) == (3, 3)
