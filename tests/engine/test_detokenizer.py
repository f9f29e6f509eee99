"""Text that streams is the text that was written: no half characters, nothing of a stop text."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.engine.detokenizer import IncrementalDetokenizer, stream_text
from multiscale_transformer.model import generate
from multiscale_transformer.model.generate import Sampling
from multiscale_transformer.model.vocabulary import BOS, EOS
from tiny import TINY, Scripted, model_of

few = st.text("ab\nä€🙂", max_size=30)
stop_texts = st.lists(st.text("ab\nä€", min_size=1, max_size=4), max_size=4)


def pieces(ids: Sequence[int], stops: Sequence[str] = (), between: Callable[[int, list[str]], None] | None = None) -> list[str]:
    """What is shown, piece by piece, when the model draws `ids`; `between` hears how many are drawn and what is shown."""
    shown: list[str] = []

    def scripted(*_: Any, **__: Any) -> Iterator[int]:
        for count, drawn in enumerate(ids):
            if between is not None:
                between(count, shown)
            yield drawn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "stream_ids", scripted)
        for piece in stream_text(model_of(), [BOS], Sampling(stop=tuple(stop.encode() for stop in stops))):
            shown += [piece]
    return shown


def before_first_stop(text: bytes, stops: Sequence[bytes]) -> bytes:
    """The part of `text` before the stop that is complete first; of several complete at once the longest."""
    for end in range(len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))]
    return text


@given(text=st.text(max_size=40))
def test_any_text_comes_through_and_no_character_is_split(text: str) -> None:
    shown = pieces([*text.encode(), EOS])
    assert "".join(shown) == text
    assert "\ufffd" in text or all("\ufffd" not in piece for piece in shown)
    assert all(shown)


@given(raw=st.binary(max_size=40))
def test_bytes_that_are_no_text_become_replacement_characters(raw: bytes) -> None:
    assert "".join(pieces([*raw, EOS])) == raw.decode("utf-8", errors="replace")


@given(text=few, stops=stop_texts)
def test_the_text_ends_before_the_first_stop_and_shows_nothing_of_it(text: str, stops: list[str]) -> None:
    wanted = before_first_stop(text.encode(), [stop.encode() for stop in stops]).decode("utf-8", errors="replace")
    shown = pieces([*text.encode(), EOS], stops)
    assert "".join(shown) == wanted
    assert all(stop not in wanted for stop in stops)


@given(text=few, stops=stop_texts)
def test_what_can_be_shown_is_shown_at_once(text: str, stops: list[str]) -> None:
    """Held back are at most a stop text short of one byte and a character short of one byte."""
    raw, most = text.encode(), max((len(stop.encode()) for stop in stops), default=1) - 1 + 3

    def check(drawn: int, shown: list[str]) -> None:
        assert drawn - len("".join(shown).encode()) <= most

    pieces(raw, stops, check)


def test_a_possible_stop_is_held_back_until_it_is_none() -> None:
    assert pieces(b"a\n\nb", ["\n\n\n"]) == ["a", "\n\nb"]
    assert pieces(b"a\n\n\nb", ["\n\n\n"]) == ["a"]
    assert pieces(b"a\n\n", ["\n\n\n"]) == ["a", "\n\n"]


def test_of_two_stops_that_end_together_nothing_of_the_longer_is_shown() -> None:
    assert pieces(b"x = 1\n\ndef", ["\n", "1\n"]) == [*"x = "]


EMOJI = "aä€🙂👩‍👩‍👧‍👦 # 注释 🏳️‍🌈"


@pytest.mark.parametrize("count", range(1, 60))
def test_a_character_that_the_limit_cuts_short_is_left_away(count: int) -> None:
    raw = EMOJI.encode()
    model = Scripted(raw, 1)
    shown = "".join(stream_text(model, [BOS], Sampling(max_new_tokens=count, temperature=0.0)))  # type: ignore[arg-type]
    assert shown == (raw * 2)[:count].decode("utf-8", errors="ignore")
    assert "\ufffd" not in shown


@pytest.mark.parametrize("count", range(1, 60))
def test_in_the_batch_it_is_left_away_too(count: int) -> None:
    stream = IncrementalDetokenizer()
    shown = "".join(map(stream.push, EMOJI.encode()[:count])) + stream.close(ended=False)
    assert shown == EMOJI.encode()[:count].decode("utf-8", errors="ignore")


def test_what_the_model_ended_within_a_character_is_a_replacement() -> None:
    assert "".join(pieces([*b"a\xe2\x82", EOS])) == "a\ufffd"
    assert "".join(pieces([*b"a\xff\xe2\x82"])) == "a\ufffd"  # invalid, then cut short


def test_a_real_model_writes_what_its_ids_say() -> None:
    model = model_of(TINY)
    ids = model.generate([BOS], max_new_tokens=40, seed=3)[1:]
    text = "".join(stream_text(model, [BOS], Sampling(max_new_tokens=40, seed=3)))
    assert text == getincrementaldecoder("utf-8")("replace").decode(bytes(i for i in ids if i != EOS), final=EOS in ids)
