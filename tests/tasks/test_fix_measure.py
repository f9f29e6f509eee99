"""Measuring the order of the skill fix: baselines are what they say, and a better order solves more with fewer runs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from held import needs_sandbox
from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.bugs import LIMITS, Checked, bugs_of
from multiscale_transformer.tasks.fix_measure import WITHIN, orders, tried
from multiscale_transformer.tasks.fix_order import Gains, Order
from multiscale_transformer.tasks.ngrams import Ngrams
from multiscale_transformer.tasks.operators import edits_of
from multiscale_transformer.tasks.source_text import SourceText
from tiny import SHAPES, checkpoint


@given(st.binary(max_size=60), st.binary(max_size=9))
def test_ngrams_are_a_probability(text: bytes, before: bytes) -> None:
    model = Ngrams(text)
    assert sum(math.exp(model.log_probability(before, bytes([byte]))) for byte in range(256)) == pytest.approx(1)


def test_ngrams_learn_what_follows() -> None:
    model = Ngrams(b"for x in range(10):\n" * 50)
    code = "for x in range(10):\n    pass\n"
    edits = edits_of(SourceText(code))
    assert all(gain < 0 for gain in model.gains(code, edits))
    assert model.log_probability(b"for x in", b" range") > model.log_probability(b"for x in", b" other")


@needs_sandbox
def test_an_order_that_knows_the_answer_solves_at_once(tmp_path: Path) -> None:
    checkpoint(SHAPES["flat"].model_copy(update={"max_seq_len": 1024}), tmp_path)
    program = Checked(name="x", code="def f(a, b):\n    return a - b\n", tests=("assert f(3, 1) == 2", "assert f(1, 5) == -4"))
    with Sandbox(LIMITS) as box:
        everything = tried(box, bugs_of(box, [program], each=3))
    assert len(everything) == 3
    assert all(any(one.mends) for one in everything)
    gains = Gains(load_engine(tmp_path))
    rows = orders(everything, Order(weights={}), gains, Ngrams(b"return a - b\n" * 20))
    assert [row.order for row in rows] == ["random", "byte n-grams", "the model's bits", "the failure alone", "all of it"]
    for row in rows:
        shares = [row.within[most] for most in WITHIN]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
    assert rows[1].within[1] > 0.5
