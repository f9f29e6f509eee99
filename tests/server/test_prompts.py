"""From texts to ids: what is kept of a long one, and what a conversation becomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.engine.infill import fim_ids, fitted_fim_ids
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.server.core.chat_template import (
    ChatTemplate,
    Message,
    Tool,
    chat_prompt,
    may_be_call,
    parse_answer,
)
from multiscale_transformer.server.core.prompts import FIM_TOKENS, FIM_TOKENS_SUFFIX_FIRST, id_prompt, parse_fim, text_prompt
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.ollama.go_templates import to_jinja

TOOL = Tool("f", "A function.", {"type": "object", "properties": {"x": {"type": "boolean"}}})


@given(prefix=st.binary(max_size=200), suffix=st.binary(max_size=200), context=st.integers(32, 256))
def test_fim_fits_with_room_to_write(prefix: bytes, suffix: bytes, context: int) -> None:
    ids, truncated = fitted_fim_ids(prefix, suffix, context)
    assert len(ids) <= context - context // 8
    assert len(ids) + truncated == len(prefix) + len(suffix) + 4
    if not truncated:
        assert ids == fim_ids(prefix, suffix)


def test_the_text_next_to_the_gap_stays() -> None:
    ids, _ = fitted_fim_ids(b"a" * 100 + b"END", b"START" + b"b" * 100, 64)
    text = bytes(i for i in ids if i < BOS)
    assert b"\x12START" in text
    assert text.endswith(b"aEND")


def test_a_prompt_that_is_cut_only_grows_while_somebody_types() -> None:
    """What was read for the last keystroke is read again by none: the prefix cache holds it."""
    prefix, suffix, context = b"abc def\n" * 60, b"return x\n" * 30, 256
    changes, last = 0, fitted_fim_ids(prefix, suffix, context)[0]
    for typed in range(1, 33):
        ids, truncated = fitted_fim_ids(prefix + b"x" * typed, suffix, context)
        assert truncated == len(prefix) + typed + len(suffix) + 4 - len(ids)
        changes += ids[: len(last)] != last
        last = ids
    assert changes <= 2


@given(data=st.data(), text=st.text(max_size=40))
def test_texts_with_some_of_the_fim_tokens_are_no_fim(data: st.DataObject, text: str) -> None:
    """One of them is missing, or they stand behind a text: both are texts about FIM tokens."""
    tokens = data.draw(st.sampled_from((*FIM_TOKENS, FIM_TOKENS_SUFFIX_FIRST)))
    missing = data.draw(st.sampled_from(tokens))
    some = data.draw(st.lists(st.sampled_from([token for token in tokens if token != missing]), min_size=1, max_size=4))
    assert parse_fim(text.join(["", *some, ""]).replace(missing, "")) is None
    assert parse_fim("x" + text.join([*tokens, ""])) is None


@given(prefix=st.text(max_size=40), suffix=st.text(max_size=40))
def test_texts_with_all_of_the_fim_tokens_are_fim(prefix: str, suffix: str) -> None:
    for tokens in FIM_TOKENS:
        assert parse_fim(f"{tokens[0]}{prefix}{tokens[1]}{suffix}{tokens[2]}") == (prefix, suffix)
    assert parse_fim(f"[SUFFIX]{suffix}[PREFIX]{prefix}") == (prefix, suffix)


@pytest.mark.parametrize(
    "text", ['MARKS = ("<PRE>", "<SUF>", "<MID>")', " <fim_prefix>a<fim_suffix>b<fim_middle>", "x[SUFFIX]a[PREFIX]b"]
)
def test_a_file_about_fim_tokens_is_no_fim(text: str) -> None:
    assert parse_fim(text) is None
    assert text_prompt(text, 128).before == text.encode()


def test_a_prompt_that_begins_with_a_fim_token_is_fim() -> None:
    assert parse_fim("<PRE> a <SUF> b <MID>") == (" a ", " b ")
    assert parse_fim("[SUFFIX]b[PREFIX]a") == ("a", "b")


def test_ids_begin_with_bos_whatever_stood_there() -> None:
    for ids in ([65, 66], [BOS, 65, 66], [EOS, 65, 66]):
        assert id_prompt(ids, 64).ids == [BOS, 65, 66]
    assert text_prompt("é", 64).ids == [BOS, 0xC3, 0xA9]


def test_the_published_template() -> None:
    messages = [Message("system", "S"), Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    assert ChatTemplate().render(messages) == "S\n\nUser: a\nAssistant: b\nUser: c\nAssistant: "


def test_what_does_not_fit_goes_in_order() -> None:
    messages = [Message("system", "S" * 20), Message("user", "old" * 30), Message("assistant", "b"), Message("user", "new")]
    texts = [bytes(chat_prompt(ChatTemplate(), messages, [TOOL], context).ids[1:]).decode() for context in (600, 250, 110, 40)]
    assert "<tool_call>" in texts[0]
    assert "Tools" not in texts[1]
    assert "old" in texts[1]
    assert "old" not in texts[2]
    assert texts[2].startswith("S" * 20)
    assert texts[3] == "User: new\nAssistant: "
    assert all(text.endswith("User: new\nAssistant: ") for text in texts)


def test_calls_are_found_and_broken_ones_are_text() -> None:
    text, calls = parse_answer('<tool_call>{"name": "f", "arguments": {"x": true}}</tool_call>', [TOOL])
    assert text is None
    assert [(call.name, call.arguments) for call in calls] == [("f", '{"x": true}')]
    assert parse_answer('<tool_call>{"name": "f"', [TOOL]) == ('<tool_call>{"name": "f"', [])
    assert parse_answer("<tool_call>{}", []) == ("<tool_call>{}", [])
    assert may_be_call("<to")
    assert not may_be_call("<b")


def test_a_template_cannot_reach_out() -> None:
    with pytest.raises(ApiError, match="refuses"):
        ChatTemplate("{{ messages.__class__.__mro__ }}").render([Message("user", "x")])
    with pytest.raises(ApiError, match="no system"):
        ChatTemplate("{{ raise_exception('no system') }}").render([Message("user", "x")])


def test_gos_templates() -> None:
    assert to_jinja("{{ if .System }}{{ .System }}{{ else }}-{{ end }}") == "{% if system %}{{ system }}{% else %}-{% endif %}"
