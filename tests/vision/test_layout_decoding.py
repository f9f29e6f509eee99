"""Whatever a decoder would like to write, what it writes is a layout in which each element stands once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vocabulary import BOS, EOS, VOCAB_SIZE
from multiscale_transformer.vision.elements import CLASSES, STATES, Element
from multiscale_transformer.vision.layout import PATTERN, line_of, parse, tokens
from multiscale_transformer.vision.layout_decoding import LINE, Draft, LayoutConstraint, drafted, prompt, text_of, write_line
from multiscale_transformer.vision.maps import possible

SIDE = 384


@st.composite
def elements(draw: st.DrawFn) -> Element:
    kind = draw(st.sampled_from(CLASSES))
    x0, y0 = (draw(st.integers(0, SIDE - 9)) for _ in range(2))
    x1, y1 = (draw(st.integers(start + 1, SIDE)) for start in (x0, y0))
    return Element(kind, (x0, y0, x1, y1), possible(kind, tuple(state for state in STATES if draw(st.booleans()))))


@given(st.lists(elements(), max_size=14), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 3.0, 1000.0]))
def test_any_preference_ends_in_a_layout_of_the_elements(given_: list[Element], seed: int, trust: float) -> None:
    rng = np.random.default_rng(seed)
    draft = drafted(given_, [None] * len(given_))
    line = write_line(lambda ids: rng.normal(size=VOCAB_SIZE).astype(np.float32), draft, SIDE, trust)
    if not given_:
        assert line == ""
        return
    assert PATTERN.fullmatch(line)
    assert line_of(parse(line)) == line
    assert sorted(token for token in tokens(line) if token[0].isalpha()) == sorted(map(text_of, given_))
    assert trust < 1000 or line == draft.line


@pytest.mark.parametrize("wanted", ["HT[FB]", "{[LLL]}HT[FB][{HTB}{HTB}]C+C-", "[(HT)I]", "R+-R", "[{[LL]}T]"])
def test_a_decoder_that_knows_the_line_writes_it(wanted: str) -> None:
    written = ""

    def read(ids: list[int]) -> np.ndarray:
        nonlocal written
        if ids[0] != BOS:
            written += chr(ids[0])
        logits = np.zeros(VOCAB_SIZE, np.float32)
        logits[ord(wanted[len(written)]) if len(written) < len(wanted) else EOS] = 1
        return logits

    kinds = {letter: kind for kind, letter in zip(CLASSES, "HTLBFASCRGPIMUKW", strict=True)}
    signs = {"+": "checked", "-": "disabled"}
    leaves = [token for token in tokens(wanted) if token[0].isalpha()]
    there = [Element(kinds[leaf[0]], (0, 0, 9, 9), tuple(signs[sign] for sign in leaf[1:])) for leaf in leaves]
    assert write_line(read, Draft("".join(leaves), tuple(there)), SIDE, trust=0.5) == wanted


@given(st.lists(elements(), max_size=60))
def test_a_prompt_is_bytes_and_does_not_depend_on_the_order_of_what_was_found(given_: list[Element]) -> None:
    draft = drafted(given_, [None] * len(given_))
    ids = prompt(draft, SIDE)
    assert ids[0] == BOS
    assert ids[-1] == LINE
    brackets = [chr(number) for number in ids if chr(number) in "()[]{}" and number < 128]
    assert len(ids) <= 2 + 5 * len(given_) + len(brackets)
    assert len(ids) <= 302
    assert all(LINE < number < BOS for number in ids[1:-1])
    if len({element.box for element in given_}) == len(given_):
        assert prompt(drafted(given_[::-1], [None] * len(given_)), SIDE) == ids


def test_what_may_not_follow_is_refused() -> None:
    constraint = LayoutConstraint([Element("text", (0, 0, 9, 9))])
    with pytest.raises(AxlError):
        constraint.advance("B")
    constraint.advance("T")
    assert constraint.done
