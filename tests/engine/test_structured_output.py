"""Whatever a model's logits are, what is written under a constraint fits it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from multiscale_transformer.engine.structured_output import GrammarConstraint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.sampling import Sampler, Sampling
from multiscale_transformer.model.vocabulary import BOS, EOS, VOCAB_SIZE

ENDS = [*b'"}]', EOS]  # made likelier, so that random text comes to an end

seeds = st.integers(0, 2**32)
few = settings(max_examples=40)


def written(constraint: GrammarConstraint, seed: int, temperature: float = 1.0, most: int = 2000) -> tuple[bytes, bool]:
    """Text from random logits, and whether it came to its end."""
    rng, text = np.random.default_rng(seed), bytearray()
    sampler = Sampler(Sampling(temperature=temperature, seed=seed), [BOS])
    for _ in range(most):
        logits_V = rng.normal(size=VOCAB_SIZE)
        logits_V[ENDS] += 4.0
        drawn = sampler.draw(logits_V, constraint.allowed()).id
        constraint.advance(drawn)
        if drawn == EOS:
            return bytes(text), True
        text.append(drawn)
    return bytes(text), False


def after(constraint: GrammarConstraint, text: str | bytes) -> GrammarConstraint:
    for index in text.encode() if isinstance(text, str) else text:
        assert constraint.allowed()[index], (text, index)
        constraint.advance(index)
    return constraint


def accepts(constraint: GrammarConstraint, text: str | bytes) -> bool:
    """Whether `text` may be written and may then end."""
    for index in text.encode() if isinstance(text, str) else text:
        if not constraint.allowed()[index]:
            return False
        constraint.advance(index)
    return bool(constraint.allowed()[EOS])


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["bolt", "Mutter", "écrou"]
    width: int = Field(ge=-5, le=1200)


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=12)
    paid: bool
    weight: float | None
    parts: list[Part] = Field(min_length=1, max_length=3)
    code: str = Field(pattern=r"^[A-Z]{2}-\d{3}$")


@few
@given(seed=seeds, temperature=st.sampled_from([0.0, 1.0, 3.0]))
def test_random_logits_write_what_the_schema_asks_for(seed: int, temperature: float) -> None:
    text, ended = written(GrammarConstraint.json_schema(Order.model_json_schema()), seed, temperature)
    assert ended
    order = Order.model_validate_json(text)
    assert re.fullmatch(r"[A-Z]{2}-[0-9]{3}", order.code)


@few
@given(seed=seeds)
def test_any_object_is_an_object(seed: int) -> None:
    text, ended = written(GrammarConstraint.json_object(), seed)
    if ended:
        assert isinstance(json.loads(text.decode("utf-8")), dict)
    else:
        assert text.startswith(b"{")


def test_most_random_objects_come_to_an_end() -> None:
    assert sum(written(GrammarConstraint.json_object(), seed)[1] for seed in range(20)) > 10


@few
@given(
    seed=seeds,
    pattern=st.sampled_from(
        [
            "ab?é|[0-9]{2}",
            r"(def|class) [a-z_]{1,8}\(\):\n",
            "[äöü€🙂]{3,9}x?",
            r"a/b\\c\.d{0,4}",
            "",
            r"^[^\x00-\x1f]{2,5}$",
            "(a|bc){0,20}",
        ]
    ),
)
def test_random_logits_write_what_the_pattern_matches_as_a_whole(seed: int, pattern: str) -> None:
    text, ended = written(GrammarConstraint.regex(pattern), seed)
    assert ended
    assert re.fullmatch(pattern, text.decode("utf-8"))


@few
@given(seed=seeds)
def test_random_logits_write_what_the_grammar_derives(seed: int) -> None:
    grammar = 'start: sum\nsum: term (" + " term)*\nterm: /[0-9]{1,3}/ | "(" sum ")"\n'
    text, ended = written(GrammarConstraint.lark(grammar), seed)
    if ended:
        assert isinstance(eval(re.sub(r"\b0+(?=\d)", "", text.decode())), int)
    assert written(GrammarConstraint.lark('start: "a" "b"?'), seed)[0] in {b"a", b"ab"}


@given(value=st.dictionaries(st.text(max_size=6), st.text(max_size=12) | st.integers() | st.booleans() | st.none(), max_size=4))
def test_every_object_can_be_written_with_its_characters_as_they_are(value: dict[str, Any]) -> None:
    value = {key: text for key, text in value.items() if "\x7f" not in key + str(text)}  # which the library wants escaped
    for indent in (None, 2):
        text = json.dumps(value, ensure_ascii=False, indent=indent)
        assert accepts(GrammarConstraint.json_object(), text)


def test_characters_of_many_bytes_come_whole() -> None:
    schema = {"type": "object", "properties": {"täg": {"type": "string"}}, "required": ["täg"], "additionalProperties": False}
    text = '{"täg": "naïve €uro 🙂 日本語 \\n"}'
    constraint = after(GrammarConstraint.json_schema(schema), text)
    assert constraint.ended
    half = after(GrammarConstraint.json_schema(schema), text.encode()[: text.encode().index("🙂".encode()) + 2])
    assert np.flatnonzero(half.allowed()).tolist() == list(range(0x80, 0xC0))
    surrogate = after(GrammarConstraint.json_schema(schema), '{"täg": "'.encode() + b"\xed")
    assert np.flatnonzero(surrogate.allowed()).tolist() == list(range(0x80, 0xA0))
    inside = after(GrammarConstraint.json_schema(schema), '{"täg": "').allowed()
    assert not inside[[*range(0x20), 0xC0, 0xC1, *range(0xF5, 0x100), BOS, EOS]].any()
    assert inside[[*range(0x20, 0x7F), *range(0xC2, 0xF5)]].all()


def test_eos_is_permitted_exactly_where_the_text_may_end() -> None:
    constraint = GrammarConstraint.regex("ab*")
    ends = []
    for index in b"abbb":
        ends.append((bool(constraint.allowed()[EOS]), constraint.ended))
        constraint.advance(index)
    assert ends == [(False, False), (True, False), (True, False), (True, False)]
    constraint.advance(EOS)
    assert constraint.ended
    whole = after(GrammarConstraint.regex("ab"), "ab")
    assert whole.ended
    assert np.flatnonzero(whole.allowed()).tolist() == [EOS]
    whole.advance(EOS)
    assert whole.ended


def test_marks_and_what_is_not_permitted_are_refused_and_change_nothing() -> None:
    constraint = after(GrammarConstraint.regex("(?s:.*)z"), "ab")
    assert not constraint.allowed()[[BOS, EOS, 0xFF]].any()
    before_V = constraint.allowed()
    for index in (BOS, EOS, 0xFF, 0x80):
        with pytest.raises(AxlError, match=f"does not permit id {index} "):
            constraint.advance(index)
        assert np.array_equal(constraint.allowed(), before_V)
    after(constraint, "z")


def test_a_copy_goes_its_own_way() -> None:
    first = after(GrammarConstraint.json_object(), '{"a')
    second = first.copy()
    after(first, '":1}')
    assert first.ended
    assert not second.ended
    after(second, 'b": [true]}')
    assert second.ended


def test_between_the_parts_of_json_there_is_room_to_indent_and_not_for_ever() -> None:
    assert accepts(GrammarConstraint.json_object(), '{\r\n\t"a" : [ 1 , 2\n\n' + " " * 20 + "]\n}")
    for most in (" ", "\n\n" + "\t" * 20, "\r\n\r\n" + " " * 20):
        endless = after(GrammarConstraint.json_object(), "{" + most)
        assert np.flatnonzero(endless.allowed()).tolist() == [*b'"}']


@pytest.mark.parametrize(
    ("make", "bad", "reason"),
    [
        (GrammarConstraint.regex, "[", "unclosed character class"),
        (GrammarConstraint.regex, "(?=a)b", "look-around"),
        (GrammarConstraint.regex, r"(a)\1", "backreferences"),
        (GrammarConstraint.regex, "a^", "lookarounds"),
        (GrammarConstraint.regex, "a\\", "backslash"),
        (GrammarConstraint.regex, "[^\\x00-\\x{10ffff}]", "no text fits"),
        (GrammarConstraint.json_schema, {"type": "objct"}, "objct"),
        (GrammarConstraint.json_schema, {"type": "string", "pattern": "["}, "unclosed character class"),
        (GrammarConstraint.json_schema, {"$ref": "#/nowhere"}, "nowhere"),
        (GrammarConstraint.json_schema, {"enum": []}, "empty"),
        (GrammarConstraint.json_schema, {"type": "string", "minLength": 3, "maxLength": 2}, "greater"),
        (GrammarConstraint.json_schema, {"type": "array", "uniqueItems": True}, "uniqueItems"),
        (GrammarConstraint.json_schema, {"const": {1, 2}}, "not JSON serializable"),
        (GrammarConstraint.json_schema, {"minimum": float("nan")}, "not JSON compliant"),
        (GrammarConstraint.json_schema, ["object"], "must be an object"),
        (GrammarConstraint.json_schema, {"type": "y" * 50_000}, "Invalid type"),
        (GrammarConstraint.lark, "strt: /a/", "start rule"),
        (GrammarConstraint.lark, 'start: "a" | b', 'unknown name: "b"'),
    ],
)
def test_a_bad_form_is_refused_in_one_line(make: Any, bad: Any, reason: str) -> None:
    with pytest.raises(AxlError, match=re.escape(reason)) as caught:
        make(bad)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_schema_that_holds_itself_is_refused() -> None:
    schema: dict[str, Any] = {"type": "object"}
    schema["items"] = schema
    with pytest.raises(AxlError, match="Circular"):
        GrammarConstraint.json_schema(schema)


def test_a_pattern_that_gets_too_complex_while_writing_is_refused_in_one_line() -> None:
    constraint = GrammarConstraint.regex("(a{1,500}){500}")

    def write() -> None:
        for _ in range(3000):
            assert constraint.allowed()[ord("a")]
            constraint.advance(ord("a"))

    with pytest.raises(AxlError, match="too many expressions") as caught:
        write()
    assert "\n" not in str(caught.value)
    assert not constraint.ended
    with pytest.raises(AxlError, match="too many expressions"):
        constraint.allowed()


def test_neither_pytorch_nor_llguidance_is_loaded_in_advance() -> None:
    code = (
        "import sys; from multiscale_transformer.engine.structured_output import GrammarConstraint;"
        "assert 'llguidance' not in sys.modules;"
        "GrammarConstraint.json_object().allowed(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
