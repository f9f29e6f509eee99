"""Cuts as editors ask: each kind leaves the middle that it names."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.data import fim_cuts
from multiscale_transformer.data.fim_cuts import MIX, draw_cuts

CODE = b"def area(side):\n    if side < 0:\n        raise ValueError\n\n    return side * side\n\n\nx = 1\n"
TEXTS = st.lists(st.sampled_from([b"", b"    ", b"x = 1", b"    y = f(x)", b"\tz", b"        pass"]), max_size=12).map(
    b"\n".join
)


def ids(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8).astype(np.int64)


def middles(kind: fim_cuts.Kind, text: bytes = CODE) -> set[bytes]:
    out = set()
    for seed in range(300):
        cuts = kind(ids(text), np.random.default_rng(seed))
        if cuts is not None:
            out.add(text[slice(*cuts)])
    return out


@given(text=TEXTS, seed=st.integers(0, 1000))
def test_cuts_lie_in_the_text(text: bytes, seed: int) -> None:
    first, second = draw_cuts(ids(text), np.random.default_rng(seed))
    assert 0 <= first <= second <= len(text)


def test_parts_of_lines_hold_no_newline_and_end_where_they_should() -> None:
    for kind in (fim_cuts.rest_of_line, fim_cuts.part_of_line, fim_cuts.whole_line):
        assert all(middle and b"\n" not in middle for middle in middles(kind))
    assert middles(fim_cuts.whole_line) == {line.strip() for line in CODE.split(b"\n") if line.strip()}
    lines = [line for line in CODE.split(b"\n") if line]
    assert all(any(line.endswith(middle) for line in lines) for middle in middles(fim_cuts.rest_of_line))


def test_a_block_ends_before_a_line_of_less_indentation() -> None:
    assert b"raise ValueError" in middles(fim_cuts.block)
    assert b"if side < 0:\n        raise ValueError\n\n    return side * side" in middles(fim_cuts.block)
    assert not any(middle.startswith(b"return") and b"x = 1" in middle for middle in middles(fim_cuts.block))


def test_the_shares_are_those_of_the_mix() -> None:
    assert sum(share for _, share in MIX) == 1.0
    rng = np.random.default_rng(0)
    cuts = [draw_cuts(ids(CODE * 20), rng) for _ in range(2000)]
    one_line = sum(second - first > 0 and b"\n" not in (CODE * 20)[first:second] for first, second in cuts)
    assert 0.7 <= one_line / len(cuts) <= 0.85
