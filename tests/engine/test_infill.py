"""What an engine is asked at a cursor, and what it writes there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.engine.detokenizer import IncrementalDetokenizer
from multiscale_transformer.engine.infill import continue_text, fill_gap, fitted_fim_ids
from multiscale_transformer.engine.session import open_session
from multiscale_transformer.engine.stop_rules import NO_RULES, StopRules, rules_at
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_MIDDLE
from tiny import SHAPES, checkpoint

TEXT = st.text("ab é\n\t()", max_size=30)


def shown(rules: StopRules, written: bytes, *, crlf: bool = False, ended: bool = True) -> str:
    stream = IncrementalDetokenizer((), rules, crlf=crlf)
    return "".join(stream.push(byte) for byte in written) + stream.close(ended=ended)


@given(TEXT, TEXT)
def test_a_text_with_crlf_is_read_like_one_with_lf_and_continued_with_crlf(before: str, after: str) -> None:
    plain = fill_gap(before.encode(), after.encode(), 256)
    windows = fill_gap(before.replace("\n", "\r\n").encode(), after.replace("\n", "\r\n").encode(), 256)
    assert windows.ids == plain.ids
    assert windows.rules == plain.rules
    assert not plain.crlf
    assert windows.crlf == ("\n" in before + after)
    assert shown(NO_RULES, b"a\nb\r\nc", crlf=True) == "a\r\nb\r\nc"


@given(TEXT, TEXT.filter(lambda text: not text.strip()))
def test_a_cursor_at_the_end_of_a_file_has_no_gap(before: str, after: str) -> None:
    cursor = fill_gap(before.encode(), after.encode(), 256)
    assert cursor.ids == [BOS, *before.encode()]
    assert FIM_MIDDLE not in cursor.ids
    assert cursor.rules.any


def test_raw_completion_has_no_rules_unless_they_are_asked_for() -> None:
    cursor = continue_text(b"def f(", 64)
    assert cursor.rules is NO_RULES
    assert cursor.with_stop_rules(True, b"def f(").rules == rules_at(b"def f(", b"")
    gap = fill_gap(b"def f(", b")", 64)
    assert gap.ids == fitted_fim_ids(b"def f(", b")", 64)[0]
    assert gap.with_stop_rules(None, b"def f(", b")") is gap
    assert gap.with_stop_rules(False, b"def f(", b")").rules is NO_RULES


@given(before=TEXT, after=TEXT, written=st.text("ab é\n()", max_size=40), cut=st.integers(0, 3))
def test_what_streams_is_what_comes_whole_and_no_character_is_split(before: str, after: str, written: str, cut: int) -> None:
    raw, rules = written.encode(), rules_at(before.encode(), after.encode())
    raw = raw[: max(0, len(raw) - cut)]
    text = shown(rules, raw, ended=False)
    assert "\ufffd" not in text
    assert raw.startswith(text.encode())
    stream = IncrementalDetokenizer((), rules)
    pieces = [stream.push(id_) for id_ in [*raw, EOS]]
    assert text.startswith("".join(pieces))


@pytest.mark.parametrize("engine", ["compiled", "torch"])
def test_both_engines_end_a_gap_at_the_line(engine: str, tmp_path: Path) -> None:
    checkpoint(SHAPES["three scales"], tmp_path)
    session = open_session(tmp_path, compiled=engine == "compiled", threads=1)
    cursor = fill_gap(b"def f(", b"):\n    return 1\n", 64)
    text = "".join(session.stream(cursor, Sampling(temperature=1.0, seed=5, max_new_tokens=40)))
    assert "\n" not in text
